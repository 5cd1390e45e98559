#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "keeper/linux_held.h"
#include "keeper/linux_kernel.h"
#include "keeper/pidfd.h"
#include "keeper/proc.h"

/// Main processes.
namespace supv {
namespace {

constexpr idtype_t kByPidfd = static_cast<idtype_t>(3);  // P_PIDFD

wire::Status status_of(const siginfo_t& ended) {
  if (ended.si_code == CLD_EXITED) return {1, ended.si_status, 0, 0};
  return {2, ended.si_status, ended.si_code == CLD_DUMPED ? 1 : 0, 0};
}

/// waitid of one child that never blocks. 0: `ended.si_pid` is 0 if it lives; else errno.
int look_at_child(int pidfd, std::int32_t pid, int options, siginfo_t& ended) {
  ended = siginfo_t{};
  int result;
  do {
    result = pidfd >= 0
                 ? ::waitid(kByPidfd, static_cast<id_t>(pidfd), &ended, WEXITED | WNOHANG | options)
                 : ::waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOHANG | options);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? errno : 0;
}

}  // namespace

// --- being born --------------------------------------------------------------------------------

int LinuxKernel::fork_gated(Life& life, const Launch& launch) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return errno;
  Fd ours(ends[0]);
  const Fd theirs(ends[1]);
  ChildSetup setup;
  setup.line = theirs.get();
  setup.parent_line = ours.get();
  setup.lock = settings_.lock;
  setup.plan = launch.plan;
  setup.child_fds = launch.child_fds;
  setup.child_fd_count = launch.child_fd_count;
  setup.tag = life.tag;
  setup.files = settings_.files;
  setup.reset_oom = reset_oom_;
  setup.close_range = features_.close_range;

  int raw_pidfd = -1;
  const int error = spawn(life, setup, raw_pidfd);
  if (wire::slot_of(life.run) == 0) brain_end_.reset();
  if (error != 0) return error;
  Fd pidfd(raw_pidfd);
  proc::Stat stat;
  // Closing our end (by leaving) makes the child exit; the orphan reaper takes it away.
  if (!proc::read_stat(life.pid, stat)) return EMFILE;
  life.start_time = stat.start_time;
  life.inode = features_.pidfs ? pidfd_inode(pidfd.get()) : 0;
  if (life.since == 0) life.since = stat.start_time;
  watch(life, pidfd.release());
  Held& mine = held(life);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = key(Source::Kind::exec, wire::slot_of(life.run), mine.serial);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, ours.get(), &event);
  mine.line = ours.release() + 1;
  return 0;
}

int LinuxKernel::spawn(Life& life, const ChildSetup& base, int& pidfd) {
  ChildSetup setup = base;
  Fd cgroup;
  clone_args args{};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const bool born_inside = features_.clone3 && trees_.clone_into();
  if (life.tree != 0) {
    cgroup.reset(born_inside ? trees_.open_directory(life) : trees_.open_entrance(life));
    if (!cgroup) return errno;
    if (born_inside) {
      args.flags |= CLONE_INTO_CGROUP;
      args.cgroup = static_cast<std::uint64_t>(cgroup.get());
    } else {
      setup.entrance = cgroup.get();
    }
  }
  long child = -1;
  errno = ENOSYS;
  if (features_.clone3 && features_.pidfd_open) child = ::syscall(SYS_clone3, &args, sizeof args);
  // EPERM is what some container filters answer to system calls they have never heard of.
  if (child < 0 && (errno == ENOSYS || errno == EPERM)) {
    if (born_inside && life.tree != 0) {
      cgroup.reset(trees_.open_entrance(life));
      if (!cgroup) return errno;
      setup.entrance = cgroup.get();
    }
    child = ::fork();
    // Our own unreaped child: its pid cannot mean anybody else.
    if (child > 0) pidfd = open_pidfd(static_cast<std::int32_t>(child), features_.pidfd_open);
  }
  if (child == 0) exec_child(setup);
  if (child < 0) return errno;
  life.pid = static_cast<std::int32_t>(child);
  return 0;
}

int LinuxKernel::open_gate(const Life& life) {
  const int line = held(life).line - 1;
  ssize_t sent;
  do sent = ::send(line, "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return sent == 1 ? 0 : errno;
}

void LinuxKernel::shut_gate(const Life& life) { drop_line(held(life)); }

ExecOutcome LinuxKernel::exec_outcome(const Life& life) {
  Held& mine = held(life);
  ExecOutcome outcome;
  outcome.what = ExecOutcome::What::done;
  if (mine.line == 0) return outcome;
  ChildFailure failure{};
  ssize_t got;
  do got = ::recv(mine.line - 1, &failure, sizeof failure, MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) {
    outcome.what = ExecOutcome::What::pending;
    return outcome;
  }
  if (got == sizeof failure) {
    outcome.what = ExecOutcome::What::failed;
    outcome.step = failure.step;
    outcome.error = failure.error;
  }
  drop_line(mine);
  return outcome;
}

// --- being alive -------------------------------------------------------------------------------

void LinuxKernel::signal_main(const Life& life, int signal) {
  if (life.pid <= 1) return;
  const int pidfd = held(life).pidfd - 1;
  if (pidfd >= 0) {
    pidfd_signal(pidfd, signal);
    return;
  }
  proc::Stat stat;
  if (proc::read_stat(life.pid, stat) && stat.start_time == life.start_time)
    ::kill(life.pid, signal);
}

void LinuxKernel::signal_group(const Life& life, int signal) {
  if (life.pid <= 1) return;
  // A main process that joined another group (or was followed into one) speaks only for itself.
  // One that is in its own keeps that number from being reused until it is reaped, by us alone.
  proc::Stat stat;
  if (!proc::read_stat(life.pid, stat) || stat.start_time != life.start_time) return;
  if (stat.group != life.pid) return signal_main(life, signal);
  const int pidfd = held(life).pidfd - 1;
  if (pidfd < 0 || pidfd_signal_group(pidfd, signal) != 0) ::kill(-life.pid, signal);
}

bool LinuxKernel::has_ended(const Life& life) {
  const int pidfd = held(life).pidfd - 1;
  if (pidfd >= 0) return pidfd_ended(pidfd);
  siginfo_t ended{};
  if (look_at_child(-1, life.pid, WNOWAIT, ended) == 0) return ended.si_pid == life.pid;
  proc::Stat stat;
  return !proc::read_stat(life.pid, stat) || stat.start_time != life.start_time || stat.dead();
}

wire::Status LinuxKernel::reap(const Life& life) {
  const int pidfd = held(life).pidfd - 1;
  siginfo_t ended{};
  if (look_at_child(pidfd, life.pid, 0, ended) == 0 && ended.si_pid == life.pid)
    return status_of(ended);
  // Somebody else's child: a zombie until its parent looks, or already gone.
  proc::Stat stat;
  wire::Status status{3, 0, 0, 0};
  if (proc::read_stat(life.pid, stat) && stat.start_time == life.start_time)
    status = proc::zombie_status(life.pid, stat);
  if (status.how == 3) status = pidfd_exit_status(pidfd).value_or(status);
  return status;
}

Adoption LinuxKernel::adopt(const Life& life) {
  Adoption adoption;
  adoption.status.how = 3;
  const Process process(life.pid, features_.pidfd_open);
  if (!process.exists()) return adoption;
  const int pidfd = process.pidfd().get();
  const std::uint64_t inode = features_.pidfs ? pidfd_inode(pidfd) : 0;
  proc::Stat stat;
  if (!proc::read_stat(life.pid, stat)) return adoption;
  bool same = stat.start_time == life.start_time;
  if (inode != 0 && life.inode != 0) {
    same = inode == life.inode;
  } else if (same && life.tag != 0 && !stat.dead()) {
    // Start times are hundredths of a second: a namesake may have the same. It has not the tag.
    std::uint64_t limit = 0;
    same = proc::hard_locks(life.pid, limit) && range_of(life.tag).has(limit);
  }
  if (!same) {
    adoption.what = Adoption::What::stranger;
    return adoption;
  }
  adoption.what = Adoption::What::same;
  siginfo_t ended{};
  adoption.child = look_at_child(pidfd, life.pid, WNOWAIT, ended) == 0;
  watch(life, pidfd >= 0 ? ::fcntl(pidfd, F_DUPFD_CLOEXEC, 3) : -1);
  return adoption;
}

int LinuxKernel::follow(Life& life, std::int32_t pid) {
  if (pid == life.pid && held(life).watched) return has_ended(life) ? ESRCH : 0;
  const Process process(pid, features_.pidfd_open);
  proc::Stat stat;
  if (!process.exists() || !proc::read_stat(pid, stat) || stat.dead()) return ESRCH;
  if (!in_tree(life, pid)) return EPERM;
  const int pidfd = process.pidfd().get();
  if (pidfd >= 0 && pidfd_ended(pidfd)) return ESRCH;
  const int kept = pidfd >= 0 ? ::fcntl(pidfd, F_DUPFD_CLOEXEC, 3) : -1;
  if (pidfd >= 0 && kept < 0) return errno;
  unwatch(life);
  life.pid = pid;
  life.start_time = stat.start_time;
  life.inode = features_.pidfs ? pidfd_inode(kept) : 0;
  watch(life, kept);
  return 0;
}

}  // namespace supv
