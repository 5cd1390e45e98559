#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>

#include "brain/usage.h"
#include "core/messages.h"

namespace supv {

/// Which processes are a run's, read from its main process: the keeper put that into a cgroup of
/// its own, or at least gave it a tag (the hard limit RLIMIT_LOCKS) that all its children inherit.
class Trees {
 public:
  /// `pid_of` names the tracked process of a run (0: none).
  explicit Trees(std::function<int(RunId)> pid_of, std::string proc = "/proc");

  /// How to find the processes of a run, until forget(); null while it has none.
  const RunTree* tree_of(RunId run);
  /// Whether the live process `pid` is of the run's tree.
  bool is_member(RunId run, int pid);
  void forget(RunId run) { known_.erase(run); }

 private:
  std::uint64_t tag_of(int pid) const;
  std::string cgroup_of(int pid) const;

  std::function<int(RunId)> pid_of_;
  std::string proc_;
  std::string root_;  ///< Where cgroup2 is mounted; empty: nowhere.
  std::string own_;   ///< Our own cgroup, which is nobody's tree.
  std::unordered_map<RunId, RunTree> known_;
};

}  // namespace supv
