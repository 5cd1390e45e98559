#include "app/import_god_ruby.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include "base/fd.h"

namespace supv::import_god {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMostBytes = std::size_t{64} << 20;
constexpr Duration kMercy{2000};  ///< For the recorder to say itself where a file hangs.
constexpr int kLook = 20;         ///< Milliseconds.

std::string find_ruby() {
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const std::size_t colon = rest.find(':');
    const std::string file = std::string(rest.substr(0, colon)) + "/ruby";
    if (access(file.c_str(), X_OK) == 0) return file;
    rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
  }
  throw std::runtime_error(
      "import god executes Ruby files and needs `ruby` in PATH (on Debian: apt install ruby)");
}

Fd script_file() {
  Fd file(check_sys(memfd_create("import_god.rb", MFD_CLOEXEC), "memfd_create"));
  for (std::string_view rest = recorder_script(); !rest.empty();) {
    const ssize_t written = write(file.get(), rest.data(), rest.size());
    check_sys(written < 0 ? -1 : 0, "write");
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  return file;
}

/// The child, after fork: only what is safe there.
[[noreturn]] void become_ruby(char* const* words, char* const* environment, int script, int out) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(nothing, STDIN_FILENO);
  dup2(STDERR_FILENO, STDOUT_FILENO);
  fcntl(script, F_SETFD, 0);
  fcntl(out, F_SETFD, 0);
  execve(words[0], words, environment);
  _exit(127);
}

struct Child {
  pid_t pid = -1;
  Fd output;
};

Child start_ruby(const std::vector<std::string>& files, Duration limit) {
  const Fd script = script_file();
  int ends[2];
  check_sys(pipe2(ends, O_CLOEXEC), "pipe2");
  Fd output(ends[0]);
  const Fd input(ends[1]);
  std::vector<std::string> words = {find_ruby(), fmt::format("/proc/self/fd/{}", script.get())};
  words.insert(words.end(), files.begin(), files.end());
  std::vector<std::string> environment = {
      fmt::format("SUPV_RECORDING_FD={}", input.get()),
      fmt::format("SUPV_RECORDING_SECONDS={}", static_cast<double>(limit.count()) / 1000)};
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  std::vector<char*> argv;
  std::vector<char*> envp;
  for (std::string& each : words) argv.push_back(each.data());
  for (std::string& each : environment) envp.push_back(each.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  const pid_t pid = check_sys(fork(), "fork");
  if (pid == 0) become_ruby(argv.data(), envp.data(), script.get(), input.get());
  setpgid(pid, pid);
  return {pid, std::move(output)};
}

/// Reads what is there; false at the end of the file.
bool drain(int fd, std::string& text) {
  char block[16384];
  const ssize_t got = read(fd, block, sizeof block);
  if (got < 0 && errno != EINTR) throw std::runtime_error("reading the recording failed");
  if (got > 0) text.append(block, static_cast<std::size_t>(got));
  return got != 0;
}

std::string ending(int status) {
  if (WIFSIGNALED(status)) return fmt::format("ended by signal {}", WTERMSIG(status));
  return fmt::format("exit code {}", WEXITSTATUS(status));
}

}  // namespace

std::string run_recorder(const std::vector<std::string>& files, Duration limit) {
  const Child child = start_ruby(files, limit);
  const auto end = Clock::now() + limit + kMercy;
  std::string text;
  int status = 0;
  bool late = false;
  bool ended = false;
  // A process that the file left behind may hold the pipe: Ruby's own end is the end.
  while (!ended) {
    pollfd look{child.output.get(), POLLIN, 0};
    const int ready = poll(&look, 1, kLook);
    late = Clock::now() > end || text.size() > kMostBytes;
    if (late) kill(-child.pid, SIGKILL);
    ended = waitpid(child.pid, &status, WNOHANG) == child.pid;
    if (ready > 0 && !drain(child.output.get(), text) && !ended) {
      ended = waitpid(child.pid, &status, 0) == child.pid;
    }
  }
  for (pollfd rest{child.output.get(), POLLIN, 0};
       poll(&rest, 1, 0) > 0 && rest.revents & POLLIN;) {
    if (!drain(child.output.get(), text)) break;
  }
  if (late) {
    throw std::runtime_error(fmt::format("Ruby did not come to an end within {} and was stopped",
                                         format_duration(limit + kMercy)));
  }
  if (text.empty()) {
    throw std::runtime_error(fmt::format("Ruby said nothing ({})", ending(status)));
  }
  return text;
}

}  // namespace supv::import_god
