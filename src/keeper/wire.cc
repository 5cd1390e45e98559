#include "keeper/wire.h"

namespace supv::wire {

const char* step_name(Step step) {
  switch (step) {
    case Step::none:
      return "none";
    case Step::record:
      return "record";
    case Step::fork:
      return "fork";
    case Step::tree:
      return "cgroup";
    case Step::plan:
      return "plan";
    case Step::session:
      return "session";
    case Step::group_list:
      return "supplementary groups";
    case Step::gid:
      return "gid";
    case Step::uid:
      return "uid";
    case Step::verify:
      return "privileges could be regained";
    case Step::chroot:
      return "chroot";
    case Step::dir:
      return "dir";
    case Step::out:
      return "output";
    case Step::err:
      return "error output";
    case Step::limit:
      return "limit";
    case Step::exec:
      return "exec";
    case Step::slot:
      return "slot";
    case Step::take:
      return "take";
  }
  return "unknown step";
}

}  // namespace supv::wire
