#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "keeper/linux_kernel.h"
#include "keeper/pidfd.h"
#include "keeper/proc.h"

/// Taking over what another supervisor started.
namespace supv {
namespace {

constexpr int kPasses = 16;  ///< Each finds what the one before let be born.

/// Gives the tag to a process that exists already. False: it is not ours to change.
bool tag_process(std::int32_t pid, std::uint64_t tag) {
  rlimit old{};
  if (::prlimit(pid, RLIMIT_LOCKS, nullptr, &old) != 0 || old.rlim_max < tag) return false;
  const rlimit limit{old.rlim_cur < tag ? old.rlim_cur : tag, tag};
  return ::prlimit(pid, RLIMIT_LOCKS, &limit, nullptr) == 0;
}

}  // namespace

bool LinuxKernel::move_in(Life& life, std::int32_t pid) const {
  const bool tagged = life.tag != 0 && tag_process(pid, life.tag);
  if (life.tree == 0) return tagged;
  const Fd entrance(trees_.open_entrance(life));
  char text[16];
  const int size = std::snprintf(text, sizeof text, "%d", pid);
  const bool moved = entrance && ::write(entrance.get(), text, static_cast<std::size_t>(size)) > 0;
  // What was found is identified by its tag later on: without one, by its start time alone.
  if (!tagged && pid == life.pid) life.tag = 0;
  return moved;
}

int LinuxKernel::take(Life& life) {
  const Process process(life.pid, features_.pidfd_open);
  proc::Stat stat;
  if (!process.exists() || !proc::read_stat(life.pid, stat) || stat.dead() ||
      stat.start_time != life.start_time)
    return ESRCH;
  const int pidfd = process.pidfd().get();
  if (pidfd >= 0 && pidfd_ended(pidfd)) return ESRCH;
  if (!move_in(life, life.pid)) {
    // No cgroup takes it in: then its tag is all there is.
    const int error = errno;
    if (life.tree == 0) return error != 0 ? error : EPERM;
    trees_.remove(life);
    life.tree = 0;
    if (life.tag == 0) return error != 0 ? error : EPERM;
  }
  const int kept = pidfd >= 0 ? ::fcntl(pidfd, F_DUPFD_CLOEXEC, 3) : -1;
  if (pidfd >= 0 && kept < 0) return errno;
  life.inode = features_.pidfs ? pidfd_inode(kept) : 0;
  watch(life, kept);
  // Its descendants, and whatever else lives in its session or group.
  struct Family {
    const LinuxKernel& kernel;
    Life& life;
    int moved = 0;
    void meet(std::int32_t pid) {
      proc::Stat one;
      if (pid == life.pid || !proc::read_stat(pid, one) || one.dead()) return;
      if (one.start_time < life.since || kernel.in_tree(life, pid)) return;
      const bool kin = one.session == life.pid || one.group == life.pid || one.parent == life.pid ||
                       kernel.in_tree(life, one.parent);
      if (kin && kernel.move_in(life, pid)) ++moved;
    }
  };
  for (int pass = 0; pass < kPasses; ++pass) {
    if (::lseek(proc_.get(), 0, SEEK_SET) != 0) break;
    Family family{*this, life};
    proc::each_number(
        proc_.get(),
        [](void* context, std::int32_t pid) {
          static_cast<Family*>(context)->meet(pid);
          return true;
        },
        &family);
    if (family.moved == 0) break;
  }
  return 0;
}

}  // namespace supv
