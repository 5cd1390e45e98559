#include "app/supvd_daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "app/places.h"
#include "keeper/plan.h"
#include "keeper/run_keeper.h"

namespace supv {
namespace {

constexpr int kBacklog = 1024;  // Clients that wait while there is no brain.

Fd brain_plan(const Settings& settings) {
  PlanBuilder plan;
  plan.paths = {"/proc/self/exe"};
  plan.argv = {"supvd: brain", "--role", "brain"};
  const std::vector<std::string> arguments = to_arguments(settings);
  plan.argv.insert(plan.argv.end(), arguments.begin(), arguments.end());
  for (char** entry = environ; *entry != nullptr; ++entry) plan.env.emplace_back(*entry);
  plan.dir = "/";
  plan.inherit_output = true;
  return plan.build();
}

int run(const Settings& settings, KeeperOptions options) {
  options.runtime_dir = settings.runtime_dir;
  options.brain_plan = brain_plan(settings);
  if (settings.max_watches) options.max_watches = *settings.max_watches;
  options.reexec_path = own_program();
  options.reexec_argv = to_arguments(settings);
  options.reexec_argv.insert(options.reexec_argv.begin(), "supvd");
  prctl(PR_SET_NAME, "supvd");
  const int code = run_keeper(std::move(options));
  leave_instance(settings);
  return code;
}

}  // namespace

void reset_process() {
  for (int fd = 0; fd <= 2; ++fd) {
    // A descriptor number that is free would be given to something that must not be written to.
    if (fcntl(fd, F_GETFD) == -1) [[maybe_unused]]
      const int opened = open("/dev/null", O_RDWR);
  }
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  umask(022);
}

int become_keeper(const Settings& settings, Instance instance, const Fd& launched) {
  check_sys(listen(instance.listener.get(), kBacklog), "listen");
  write_pid(settings, instance.state_lock);
  if (launched) check_sys(write(launched.get(), "L", 1), "write(launcher)");
  // A deleted directory, or one on a disk that is to be unmounted, must not hold us.
  check_sys(chdir("/"), "chdir");
  KeeperOptions options;
  options.lock = std::move(instance.lock);
  options.listener = std::move(instance.listener);
  return run(settings, std::move(options));
}

int resume_keeper(const Settings& settings, Reborn before) {
  const Fd state_lock = lock_state(settings);
  KeeperOptions options;
  options.lock = std::move(before.lock);
  options.listener = std::move(before.listener);
  options.state = std::move(before.state);
  return run(settings, std::move(options));
}

}  // namespace supv
