#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "keeper/kernel.h"

namespace supv {

/// Which mechanisms may be used; all, unless SUPV_DISABLE names them.
struct Features {
  bool cgroup = true;
  bool cgroup_kill = true;
  bool clone3 = true;
  bool pidfd_open = true;
  bool pidfs = true;
  bool close_range = true;
};
/// Reads SUPV_DISABLE=cgroup,pidfs,clone3,pidfd_open,close_range,cgroup.kill; for tests, and for
/// kernels that misbehave. Ignored in a set-uid process.
Features enabled_features();

/// One fresh version 2 cgroup for each run, under one directory for this instance.
class CgroupTrees {
 public:
  /// Finds (or makes) the directory under this process's own cgroup, if there is one that children
  /// can enter. `runtime` is the instance; its file `trees` remembers where earlier keepers, in
  /// other cgroups perhaps, put theirs.
  void start(const Fd& runtime, const Features& features);

  /// Whether new runs get a cgroup.
  bool usable() const { return current_ != 0; }
  /// Whether clone3 may create children inside. A cgroup below one that was ever killed gives birth
  /// to dead children on some kernels (6.18), so this was tried.
  bool clone_into() const { return clone_into_; }

  /// Makes the run's directory; sets life.tree. 0 or errno.
  int make(Life& life);
  void remove(const Life& life) const;
  Left count(const Life& life) const;
  void kill(const Life& life) const;
  /// Calls visit(context, pid) for each process, in cgroups below too.
  using Visit = void (*)(void* context, std::int32_t pid);
  void each(const Life& life, Visit visit, void* context) const;
  bool contains(const Life& life, std::int32_t pid) const;
  /// The directory, or its cgroup.procs for a child to write "0" into; -1: errno.
  int open_directory(const Life& life) const;
  int open_entrance(const Life& life) const;
  void sweep_unrecorded(Kernel::Owned owned, const void* keeper) const;
  /// Takes the instance's directory away if nothing is in it.
  void leave() const;

 private:
  struct Path {
    char text[512];
  };
  Path path_of(const Life& life) const;
  bool works(const std::string& base, bool with_clone3);
  static void sweep_one(void* context, int dir, const char* name);

  /// life.tree is twice the place in here, counted from 1, plus 1 for a kLeaveTree run: its
  /// directory is a k..., others' an r..., and what was left in it on purpose is never swept.
  std::vector<std::string> bases_;
  std::uint32_t current_ = 0;
  bool clone_into_ = false;
  bool can_kill_ = true;  ///< Use cgroup.kill where it exists.
  bool pidfds_ = true;
};

}  // namespace supv
