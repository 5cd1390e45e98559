#include "brain/run_brain.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "brain/linux_world.h"
#include "core/supervisor.h"

namespace supv {

namespace {

constexpr int kBadConfiguration = 78;

/// Makes a directory with those above it. What cannot be made is the business of who needs it.
void make_directories(const std::string& path, mode_t mode) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    ::mkdir(path.substr(0, end).c_str(), end == std::string::npos ? mode : 0755);
    if (end == std::string::npos) return;
  }
}

/// The keeper starts another brain at once. When that cannot help, it should not be the only thing
/// this machine does; the end of the keeper ends the wait.
void wait_before_the_next(int keeper_fd) {
  pollfd keeper{keeper_fd, POLLRDHUP, 0};
  ::poll(&keeper, 1, 5000);
}

int serve(const BrainOptions& options, Log& log) {
  LinuxWorld world(options, log);
  try {
    world.boot();
  } catch (const NoConfiguration& none) {
    // supvd has just read it without an error, so it changed between the two looks.
    log.error("no configuration can be read:\n{}", none.what());
    world.give_up(kBadConfiguration);
    return 1;
  }
  Supervisor supervisor;
  run(supervisor, world);
  world.close_down();
  return 0;
}

}  // namespace

int run_brain(const BrainOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(0022);
  Log log;
  if (!options.log_file.empty() && !log.open(options.log_file)) {
    log.error("cannot open the log {}", options.log_file);
  }
  make_directories(options.state_dir, 0700);
  make_directories(options.log_dir, 0755);
  try {
    return serve(options, log);
  } catch (const KeeperGone&) {
    return 1;
  } catch (const std::exception& error) {
    log.error("the brain cannot go on: {}", error.what());
    wait_before_the_next(options.keeper_fd);
    return 1;
  }
}

}  // namespace supv
