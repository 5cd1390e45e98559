#pragma once

#include <cstdint>
#include <optional>

#include "base/fd.h"
#include "keeper/wire.h"

/// Processes by handle. Where the kernel has no pidfd everything falls back to the bare pid, which
/// is safe for our own unreaped children and checked by start time for all others.
namespace supv {

/// A pidfd, or -1 (errno ESRCH: no such process; ENOSYS: no pidfds here, or not `allowed`).
int open_pidfd(std::int32_t pid, bool allowed);
/// Whether the process behind the pidfd has ended.
bool pidfd_ended(int pidfd);
/// The number that no other process of this boot ever has; 0: the kernel has no pidfs.
std::uint64_t pidfd_inode(int pidfd);
/// The exit status of a process that somebody else reaped (Linux 6.15).
std::optional<wire::Status> pidfd_exit_status(int pidfd);
/// 0 or errno; ESRCH when it has been reaped.
int pidfd_signal(int pidfd, int signal);
/// To the group that this process leads (Linux 6.9; else EINVAL).
int pidfd_signal_group(int pidfd, int signal);

/// Some process while we look at it: it cannot be replaced by a namesake between the look and the
/// signal.
class Process {
 public:
  Process(std::int32_t pid, bool pidfds_allowed);
  /// Whether there was a process when this was made.
  bool exists() const { return exists_; }
  const Fd& pidfd() const { return pidfd_; }
  void signal(int signal) const;

 private:
  std::int32_t pid_;
  Fd pidfd_;
  bool exists_;
  std::uint64_t start_time_ = 0;  ///< Without pidfds: compared again before the signal.
};

}  // namespace supv
