#include "keeper/pidfd.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "keeper/proc.h"

namespace supv {
namespace {

/// struct pidfd_info of Linux 6.13, with the exit code of 6.15.
struct PidfdAnswer {
  std::uint64_t mask;
  std::uint64_t cgroup;
  std::uint32_t ids[11];
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdAnswer) == 64);
constexpr std::uint64_t kExit = 8;
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdAnswer);
constexpr long kPidfsMagic = 0x50494446;

}  // namespace

int open_pidfd(std::int32_t pid, bool allowed) {
  if (!allowed) {
    errno = ENOSYS;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

bool pidfd_ended(int pidfd) {
  pollfd look{pidfd, POLLIN, 0};
  return ::poll(&look, 1, 0) == 1;
}

std::uint64_t pidfd_inode(int pidfd) {
  struct statfs system {};
  struct stat about {};
  if (pidfd < 0 || ::fstatfs(pidfd, &system) != 0 || system.f_type != kPidfsMagic) return 0;
  return ::fstat(pidfd, &about) == 0 ? about.st_ino : 0;
}

std::optional<wire::Status> pidfd_exit_status(int pidfd) {
  PidfdAnswer answer{};
  answer.mask = kExit;
  if (pidfd < 0 || ::ioctl(pidfd, kPidfdGetInfo, &answer) != 0 || (answer.mask & kExit) == 0)
    return std::nullopt;
  return proc::exit_status(answer.exit_code);
}

int pidfd_signal(int pidfd, int signal) {
  return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0 ? 0 : errno;
}

int pidfd_signal_group(int pidfd, int signal) {
  constexpr unsigned kProcessGroup = 4;
  return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, kProcessGroup) == 0 ? 0 : errno;
}

Process::Process(std::int32_t pid, bool pidfds_allowed)
    : pid_(pid), pidfd_(open_pidfd(pid, pidfds_allowed)), exists_(pidfd_) {
  if (pidfd_ || errno == ESRCH || errno == EINVAL) return;
  proc::Stat stat;
  exists_ = proc::read_stat(pid, stat);
  start_time_ = stat.start_time;
}

void Process::signal(int signal) const {
  if (!exists_) return;
  if (pidfd_) {
    pidfd_signal(pidfd_.get(), signal);
    return;
  }
  proc::Stat stat;
  if (proc::read_stat(pid_, stat) && stat.start_time == start_time_) ::kill(pid_, signal);
}

}  // namespace supv
