#include <signal.h>
#include <unistd.h>

#include "keeper/linux_kernel.h"
#include "keeper/pidfd.h"
#include "keeper/proc.h"

/// Trees: by cgroup where there is one, else by tag.
namespace supv {

int LinuxKernel::make_tree(Life& life) {
  life.tag = tags_.next();
  life.tree = 0;
  return trees_.usable() ? trees_.make(life) : 0;
}

void LinuxKernel::remove_tree(const Life& life) { trees_.remove(life); }

bool LinuxKernel::in_tree(const Life& life, std::int32_t pid) const {
  if (pid <= 1 || pid == ::getpid()) return false;
  if (life.tree != 0) return trees_.contains(life, pid);
  proc::Stat stat;
  if (life.tag == 0)
    return life.pid > 1 && proc::read_stat(pid, stat) && stat.start_time >= life.since &&
           (stat.session == life.pid || stat.group == life.pid);
  std::uint64_t limit = 0;
  return proc::hard_locks(pid, limit) && range_of(life.tag).has(limit) &&
         proc::read_stat(pid, stat) && stat.start_time >= life.since;
}

/// What to do with the processes of a tree; counts the live ones.
struct LinuxKernel::Sweep {
  const LinuxKernel& kernel;
  const Life& life;
  int signal = 0;  ///< 0: only count.
  Left left{};

  void meet(std::int32_t pid) {
    // Opened first, looked at second: what was looked at is what gets the signal.
    const Process process(pid, kernel.features_.pidfd_open && signal != 0);
    proc::Stat stat;
    if (!process.exists() || !kernel.in_tree(life, pid)) return;
    if (!proc::read_stat(pid, stat) || stat.dead()) return;
    ++left.count;
    left.pid = pid;
    if (signal != 0) process.signal(signal);
  }
};

void LinuxKernel::each_of_tree(const Life& life, Sweep& sweep) const {
  if (life.tree != 0) {
    const auto visit = [](void* context, std::int32_t pid) {
      static_cast<Sweep*>(context)->meet(pid);
    };
    return trees_.each(life, visit, &sweep);
  }
  if (::lseek(proc_.get(), 0, SEEK_SET) != 0) return;
  const auto visit = [](void* context, std::int32_t pid) {
    static_cast<Sweep*>(context)->meet(pid);
    return true;
  };
  proc::each_number(proc_.get(), visit, &sweep);
}

Left LinuxKernel::count_tree(const Life& life) {
  if (life.tree != 0) return trees_.count(life);
  // A process may be born behind the walk by one before it: empty is what is empty twice.
  for (int pass = 0; pass < 2; ++pass) {
    Sweep sweep{*this, life};
    each_of_tree(life, sweep);
    if (sweep.left.count != 0) return sweep.left;
  }
  return {};
}

void LinuxKernel::signal_tree(const Life& life, int signal) {
  Sweep sweep{*this, life, signal};
  each_of_tree(life, sweep);
}

void LinuxKernel::kill_tree(const Life& life) {
  if (life.tree != 0) return trees_.kill(life);
  // Each pass kills what the one before let be born; a fork bomb may need more than these, and
  // gets them when its tree is looked at again.
  for (int pass = 0; pass < 8; ++pass) {
    Sweep sweep{*this, life, SIGKILL};
    each_of_tree(life, sweep);
    if (sweep.left.count == 0) return;
  }
}

void LinuxKernel::sweep_unrecorded(Owned owned, const void* keeper) {
  trees_.sweep_unrecorded(owned, keeper);
}

}  // namespace supv
