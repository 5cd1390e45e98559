#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <thread>

#include "keeper/lock_file.h"
#include "keeper/proc.h"
#include "keeper/run_keeper.h"

namespace supv {
namespace {

constexpr auto kGatePatience = std::chrono::seconds(5);

/// The pid in the lock file, if it still is the process that wrote it; else 0.
int live_owner(const Fd& lock) {
  char text[64] = {};
  if (::pread(lock.get(), text, sizeof text - 1, 0) <= 0) return 0;
  int pid = 0;
  std::uint64_t start_time = 0;
  if (std::sscanf(text, "%d %" SCNu64, &pid, &start_time) != 2 || pid <= 0) return 0;
  proc::Stat stat;
  if (!proc::read_stat(pid, stat) || stat.dead() || stat.start_time != start_time) return 0;
  return pid;
}

}  // namespace

void sign_lock(const Fd& lock) {
  proc::Stat stat;
  if (!proc::read_stat(::getpid(), stat)) throw KeeperError("/proc cannot be read");
  char text[64];
  // Blanks to the end: what an owner with a longer number left is overwritten in one write.
  const int size = std::snprintf(text, sizeof text, "%d %" PRIu64, ::getpid(), stat.start_time);
  std::memset(text + size, ' ', 47 - static_cast<std::size_t>(size));
  text[47] = '\n';
  if (::pwrite(lock.get(), text, 48, 0) != 48) throw KeeperError("the lock file cannot be written");
}

Fd take_lock(const std::string& runtime_dir) {
  const std::string path = runtime_dir + "/lock";
  Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) throw KeeperError(path + ": " + std::strerror(errno));
  const auto deadline = std::chrono::steady_clock::now() + kGatePatience;
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      throw KeeperError(path + ": " + std::strerror(errno));
    if (const int pid = live_owner(lock); pid != 0) {
      KeeperError error("already running with pid " + std::to_string(pid));
      error.running_pid = pid;
      throw error;
    }
    // Its owner is dead: what holds it is a child of his between fork and gate, about to leave.
    if (std::chrono::steady_clock::now() >= deadline)
      throw KeeperError(path + " is held by a child of a dead supvd that does not end");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  sign_lock(lock);
  return lock;
}

}  // namespace supv
