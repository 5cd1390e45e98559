#include "plugin/check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/fd.h"
#include "base/text.h"
#include "base/units.h"
#include "plugin/check_trial.h"
#include "plugin/leftovers.h"

namespace supv {
namespace {

using Level = Finding::Level;

constexpr int kPluginFile = 3;
constexpr std::size_t kShown = 80;
/// More than supvd allows: other plugins of the same user must not keep this one from showing that
/// it forks.
constexpr std::uint64_t kMostTasks = 4096;

/// The child's whole life.
[[noreturn]] void be_tried(Sheet& sheet, const PluginCheck& check, int file, int output) {
  ::sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < 32; ++number)
    if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  // Each may have any number, those below included.
  const int plugin = ::fcntl(file, F_DUPFD, 64);
  const int printed = ::fcntl(output, F_DUPFD, 64);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(printed, STDOUT_FILENO);
  ::dup2(printed, STDERR_FILENO);
  ::dup2(plugin, kPluginFile);
  ::close_range(kPluginFile + 1, ~0U, 0);
  try {
    Confinement limits;
    limits.tasks = kMostTasks;
    confine(limits);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    note_last_words(sheet);
    Trial(sheet, check, kPluginFile).run();
  } catch (const std::exception& error) {
    sheet.note(Level::wrong, error.what());
    sheet.finish();
  }
  ::_exit(0);
}

/// What the plugin prints: how much, and how it begins.
class Printed {
 public:
  Printed(int pipe, Sheet& sheet) : pipe_(pipe), sheet_(sheet) {}
  /// Takes what is there. False: nobody can write any more.
  bool take() {
    std::array<char, 65536> bytes;
    for (int round = 0; round < 64; ++round) {
      const ssize_t count = ::read(pipe_, bytes.data(), bytes.size());
      if (count == 0) return false;
      if (count < 0) return true;
      sheet_.printed() += static_cast<std::uint64_t>(count);
      const std::size_t room = kShown - std::min(kShown, start_.size());
      start_.append(bytes.data(), std::min(room, static_cast<std::size_t>(count)));
    }
    return true;
  }
  const std::string& start() const { return start_; }

 private:
  int pipe_;
  Sheet& sheet_;
  std::string start_;
};

/// Sees the child to its end. False: it had to be killed because a call did not return.
bool see_out(const Fd& child, pid_t pid, Printed& printed, const Sheet& sheet,
             std::chrono::nanoseconds patience, int pipe) {
  bool open = true;
  for (;;) {
    std::array<pollfd, 2> ready{{{child.get(), POLLIN, 0}, {open ? pipe : -1, POLLIN, 0}}};
    ::poll(ready.data(), ready.size(), 50);
    if (open && ready[1].revents != 0) open = printed.take();
    if (ready[0].revents != 0) return true;
    // Within its patience a stage of many calls ends by itself; a call must return.
    if (sheet.since_last_beat() <= patience) continue;
    ::kill(pid, SIGKILL);
    return false;
  }
}

std::string ending(int status, bool returned, const Sheet& sheet,
                   std::chrono::milliseconds patience) {
  const std::string spot = sheet.spot();
  if (!returned)
    return fmt::format("does not come back within {} from {}", format_duration(patience), spot);
  if (WIFEXITED(status))
    return fmt::format("ends the process with code {} in {}", WEXITSTATUS(status), spot);
  const int number = WTERMSIG(status);
  const char* hint = number == SIGABRT ? " (abort, or an exception that nothing catches)"
                     : number == SIGSEGV
                         ? " (memory that is not its own, or a stack that is too deep)"
                         : "";
  return fmt::format("crashes with SIG{}{} in {}", signal_name(number), hint, spot);
}

/// Opens the plugin; whether supvd would do so is the first finding.
Fd open_for_check(const PluginCheck& check, std::vector<Finding>& findings) {
  if (plugin_name(check.path).empty()) {
    findings.push_back({Level::wrong, "file", "the file of a plugin is called NAME.so"});
    return {};
  }
  try {
    Fd file = open_plugin(check.path);
    findings.push_back({Level::ok, "file", "nobody else can change it"});
    return file;
  } catch (const BadPlugin& refusal) {
    Fd file(::open(check.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status {};
    if (file && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode)) {
      findings.push_back(
          {Level::warning, "file",
           fmt::format("supvd will not load it as it lies there: {}", printable(refusal.what()))});
      return file;
    }
    findings.push_back({Level::wrong, "file", printable(refusal.what())});
    return {};
  }
}

void say_printed(std::uint64_t bytes, const std::string& start, std::vector<Finding>& findings) {
  if (bytes == 0) return;
  findings.push_back({Level::warning, "output",
                      fmt::format("printed {} bytes, which supvd would log at a limited rate: "
                                  "'{}{}'",
                                  bytes, printable(start), bytes > start.size() ? "..." : "")});
}

}  // namespace

bool PluginVerdict::good() const {
  return std::none_of(findings.begin(), findings.end(),
                      [](const Finding& one) { return one.level == Level::wrong; });
}

PluginVerdict check_plugin(const PluginCheck& check) {
  PluginVerdict verdict;
  const Fd file = open_for_check(check, verdict.findings);
  if (!file) return verdict;
  Sheet sheet;
  int ends[2];
  check_sys(::pipe2(ends, O_CLOEXEC), "pipe");
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  check_sys(::prctl(PR_SET_CHILD_SUBREAPER, 1), "PR_SET_CHILD_SUBREAPER");
  std::fflush(nullptr);
  const pid_t pid = check_sys(::fork(), "fork");
  if (pid == 0) be_tried(sheet, check, file.get(), theirs.get());
  theirs.reset();
  const Fd child(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  Printed printed(ours.get(), sheet);
  const bool returned = see_out(child, pid, printed, sheet, check.patience, ours.get());
  int status = 0;
  ::waitpid(pid, &status, 0);
  const std::size_t left = kill_what_is_left();
  printed.take();
  const auto found = sheet.findings();
  verdict.findings.insert(verdict.findings.end(), found.begin(), found.end());
  verdict.declaration = sheet.declaration();
  if (!sheet.finished())
    verdict.findings.push_back(
        {Level::wrong, sheet.stage(), ending(status, returned, sheet, check.patience)});
  if (left > 0)
    verdict.findings.push_back(
        {Level::wrong, "processes",
         fmt::format("left {} process{} behind", left, left == 1 ? "" : "es")});
  say_printed(sheet.printed(), printed.start(), verdict.findings);
  return verdict;
}

}  // namespace supv
