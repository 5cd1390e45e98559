#include "plugin/leftovers.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

namespace supv {

std::vector<pid_t> children() {
  std::vector<pid_t> all;
  std::ifstream list(fmt::format("/proc/self/task/{}/children", ::getpid()));
  for (pid_t child = 0; list >> child;) all.push_back(child);
  return all;
}

std::size_t kill_what_is_left() {
  std::size_t killed = 0;
  // Children of the dead become ours, so it takes some rounds.
  for (std::vector<pid_t> left = children(); !left.empty(); left = children()) {
    for (const pid_t child : left) {
      siginfo_t ended{};
      const auto id = static_cast<id_t>(child);
      const bool dead =
          ::waitid(P_PID, id, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == child;
      if (!dead && ::kill(child, SIGKILL) == 0) ++killed;
    }
    for (const pid_t child : left) ::waitpid(child, nullptr, 0);
  }
  return killed;
}

}  // namespace supv
