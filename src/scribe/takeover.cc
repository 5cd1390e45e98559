#include "scribe/takeover.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

namespace supv::scribe {
namespace {

// Record locks, because F_GETLK names the process that holds one; the kernel frees it when that
// process ends, however it ends.
struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

pid_t holder_of(int fd) {
  struct flock lock = whole_file();
  if (fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return 0;
  return lock.l_pid;
}

/// Ends the holder and waits for its end. Its identity is checked through the pidfd: a process
/// that still holds the lock after the pidfd was opened is the one the pidfd stands for.
void end_holder(int fd) {
  const pid_t pid = holder_of(fd);
  if (pid <= 0) return;
  const Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process || holder_of(fd) != pid) return;
  syscall(SYS_pidfd_send_signal, process.get(), SIGTERM, nullptr, 0);
  pollfd end{process.get(), POLLIN, 0};
  if (poll(&end, 1, 2000) != 0) return;
  // It may be stuck in a slow disk; splice makes a kill harmless.
  syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
  poll(&end, 1, 500);
}

}  // namespace

Takeover::Takeover(const std::string& directory)
    : lock_(open((directory + "/scribe.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                 0600)) {
  for (int attempt = 0; lock_ && attempt < 3 && !complete_; ++attempt) {
    struct flock lock = whole_file();
    complete_ = fcntl(lock_.get(), F_SETLK, &lock) == 0;
    if (!complete_) end_holder(lock_.get());
  }
}

}  // namespace supv::scribe
