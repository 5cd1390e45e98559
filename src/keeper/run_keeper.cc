#include "keeper/run_keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "keeper/keeper.h"
#include "keeper/linux_kernel.h"
#include "keeper/lock_file.h"
#include "keeper/rebirth.h"

namespace supv {
namespace {

constexpr int kPollPause = 100;  // Milliseconds; only for mains that cannot be waited for.
constexpr int kMessagesAtOnce = 64;

/// 0, 1 and 2 are always open: what is opened later must not become somebody's standard output.
void have_standard_fds() {
  for (int fd = 0; fd < 3; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0)
      throw KeeperError("/dev/null cannot be opened");
}

Fd block_signals() {
  sigset_t all;
  sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS})
    sigdelset(&all, fault);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  sigset_t ours;
  sigemptyset(&ours);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD})
    sigaddset(&ours, signal);
  return Fd(check_sys(::signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
}

rlimit raise_files(const Fd& state) {
  rlimit files{};
  check_sys(::getrlimit(RLIMIT_NOFILE, &files), "getrlimit");
  const rlimit most{files.rlim_max, files.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &most);
  Rebirth::original_files(state, files);
  return files;
}

/// Feeds what happens to the Keeper.
class Loop {
 public:
  Loop(KeeperOptions& options, LinuxKernel& kernel, Keeper& keeper, Fd signals, const rlimit& files,
       std::uint32_t slots)
      : options_(options),
        kernel_(kernel),
        keeper_(keeper),
        signals_(std::move(signals)),
        files_(files),
        slots_(slots),
        rebirth_(options.reexec_path, options.reexec_argv) {
    kernel_.watch_other(signals_.get());
  }

  int run() {
    keeper_.recover();
    reap_children();
    while (!keeper_.finished()) {
      epoll_event events[64];
      const int count = ::epoll_wait(kernel_.epoll(), events, 64, timeout());
      for (int i = 0; i < count; ++i) dispatch(events[i]);
      if (kernel_.must_poll()) poll_mains();
      if (keeper_.next_deadline() <= kernel_.now().monotonic_ns) keeper_.on_deadline();
      listen_or_wait();
      if (keeper_.wants_reexec()) be_reborn();
    }
    return *keeper_.finished();
  }

 private:
  int timeout() {
    const std::int64_t due = keeper_.next_deadline();
    std::int64_t pause = -1;
    if (due != Keeper::kNever) {
      const std::int64_t left = due - kernel_.now().monotonic_ns;
      pause = std::clamp<std::int64_t>((left + 999'999) / 1'000'000, 0, 3'600'000);
    }
    if (kernel_.must_poll())
      pause = pause < 0 ? kPollPause : std::min<std::int64_t>(pause, kPollPause);
    return static_cast<int>(pause);
  }

  void dispatch(const epoll_event& event) {
    LinuxKernel::Source source;
    if (!kernel_.source_of(event.data.u64, source)) return;
    switch (source.kind) {
      case LinuxKernel::Source::Kind::other:
        return read_signals();
      case LinuxKernel::Source::Kind::child:
        return keeper_.on_child(source.slot);
      case LinuxKernel::Source::Kind::exec:
        return keeper_.on_exec(source.slot);
      case LinuxKernel::Source::Kind::channel:
        if ((event.events & EPOLLOUT) != 0) keeper_.on_writable();
        // Not while news wait for room: an answer would overtake them.
        if (!keeper_.wants_write()) read_channel();
        return;
    }
  }

  void read_signals() {
    signalfd_siginfo got;
    while (::read(signals_.get(), &got, sizeof got) == sizeof got) {
      const int signal = static_cast<int>(got.ssi_signo);
      if (signal == SIGCHLD)
        reap_children();
      else
        keeper_.on_signal(signal);
    }
  }

  /// Many deaths make one SIGCHLD, and waitpid(-1) would steal a main's status from its slot: look
  /// at whoever is first, let his slot reap him if he has one, and take orphans away.
  void reap_children() {
    pid_t last = 0;
    while (true) {
      siginfo_t ended{};
      if (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0) return;
      if (ended.si_pid == last) return;
      last = ended.si_pid;
      const std::uint32_t slot = keeper_.slot_of_pid(ended.si_pid);
      if (slot != Kernel::kNoSlot)
        keeper_.on_child(slot);
      else
        ::waitid(P_PID, static_cast<id_t>(ended.si_pid), &ended, WEXITED | WNOHANG);
    }
  }

  void poll_mains() {
    for (std::uint32_t slot = 0; slot < keeper_.used_slots(); ++slot) keeper_.on_child(slot);
  }

  void read_channel() {
    alignas(8) unsigned char bytes[wire::kLargestOrder + 8];
    int fds[wire::kMaxFds];
    for (int i = 0; i < kMessagesAtOnce && !keeper_.wants_write(); ++i) {
      std::uint32_t fd_count = 0;
      const long size = kernel_.receive(bytes, sizeof bytes, fds, fd_count);
      if (size < 0) return;
      if (size == 0) return keeper_.on_channel_closed();
      keeper_.on_message(bytes, static_cast<std::size_t>(size), fds, fd_count);
      for (std::uint32_t k = 0; k < fd_count; ++k) ::close(fds[k]);
    }
  }

  void listen_or_wait() {
    if (keeper_.wants_write() == waiting_) return;
    waiting_ = keeper_.wants_write();
    kernel_.channel_wants(!waiting_, waiting_);
  }

  void be_reborn() {
    int error = 0;
    if (!options_.reexec_argv.empty()) {
      error =
          rebirth_.execute(kernel_, slots_, options_.lock.get(), options_.listener.get(), files_);
      kernel_.complain("re-execution failed, going on with the old program", 0, error);
    }
    keeper_.reexec_failed();
  }

  KeeperOptions& options_;
  LinuxKernel& kernel_;
  Keeper& keeper_;
  const Fd signals_;
  const rlimit files_;
  const std::uint32_t slots_;
  Rebirth rebirth_;
  bool waiting_ = false;  ///< For room in the channel.
};

}  // namespace

int run_keeper(KeeperOptions options) try {
  have_standard_fds();
  Fd signals = block_signals();
  check_sys(::prctl(PR_SET_CHILD_SUBREAPER, 1), "subreaper");
  sign_lock(options.lock);
  LinuxKernel::Settings settings;
  settings.runtime_dir = options.runtime_dir;
  settings.lock = options.lock.get();
  settings.listener = options.listener.get();
  settings.brain_plan = options.brain_plan.get();
  // Guests and roles need room beside the watches.
  settings.slots = wire::kMaxSlots;  // what is not used costs nothing; roles sit at the top
  settings.files = raise_files(options.state);
  LinuxKernel kernel(settings);
  Rebirth::restore(options.state, kernel, settings.slots);
  options.state.reset();
  Keeper keeper(kernel, settings.slots);
  Loop loop(options, kernel, keeper, std::move(signals), settings.files, settings.slots);
  const int code = loop.run();
  kernel.leave_trees();
  return code;
} catch (const std::system_error& error) {
  throw KeeperError(error.what());
}

}  // namespace supv
