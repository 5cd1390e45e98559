#include "app/supvctl_probe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "app/control_client.h"
#include "app/places.h"
#include "app/supvctl_print.h"
#include "app/supvctl_table.h"
#include "base/text.h"

namespace supv::ctl {
namespace {

constexpr Duration kStarting{10000};
constexpr Duration kEnding{5000};
/// Two looks with the usual time limit, and more for a watch with slow ones.
constexpr Duration kAnswering{60000};

int complain(const std::string& text, int code) {
  fmt::print(stderr, "supvctl: {}{}", text, text.ends_with('\n') ? "" : "\n");
  return code;
}

/// supvd beside this supvctl: in the same directory, or in the sbin beside it; else on PATH.
std::string supvd_program() {
  const std::string own = own_program();
  const std::string folder = own.substr(0, std::min(own.rfind('/'), own.size()));
  for (const char* below : {"/supvd", "/../sbin/supvd"}) {
    if (::access((folder + below).c_str(), X_OK) == 0) return folder + below;
  }
  return "supvd";
}

/// A socket is there before anybody listens on it.
bool listens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

/// A supvd that only looks at one watch. Gone, with all it has written, when this is destroyed.
class Apprentice {
 public:
  Apprentice(const std::string& file, const std::string& watch) {
    std::array<char, 32> pattern{"/tmp/supv-probe-XXXXXX"};
    if (::mkdtemp(pattern.data()) == nullptr) {
      complain(fmt::format("{}: {}", pattern.data(), std::strerror(errno)), 1);
      return;
    }
    dir_ = pattern.data();
    const std::vector<std::string> words = {
        "supvd",         "--foreground", "--probe",     watch,
        "--config",      file,           "--socket",    socket(),
        "--runtime-dir", dir_ + "/run",  "--state-dir", dir_ + "/state",
        "--log-dir",     dir_ + "/log",  "--log",       dir_ + "/log.txt"};
    std::vector<char*> argv;
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const std::string program = supvd_program();
    pid_ = ::fork();
    if (pid_ != 0) return;
    // Whatever ends us ends it, and it removes what it has written.
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    ::execvp(program.c_str(), argv.data());
    fmt::print(stderr, "supvctl: cannot start {}: {}\n", program, std::strerror(errno));
    ::_exit(1);
  }
  ~Apprentice() {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      wait_for_end();
    }
    std::error_code ignored;
    if (!dir_.empty()) std::filesystem::remove_all(dir_, ignored);
  }
  Apprentice(const Apprentice&) = delete;
  Apprentice& operator=(const Apprentice&) = delete;

  std::string socket() const { return dir_ + "/socket"; }
  /// Until it answers; its exit code if it ends before (it has then said why), else 0.
  int await() {
    for (Duration waited{0}; waited < kStarting; waited += Duration(10)) {
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1;
      }
      if (listens(socket())) return 0;
      ::poll(nullptr, 0, 10);
    }
    return complain("supvd does not come up", 1);
  }

 private:
  void wait_for_end() const {
    for (Duration waited{0}; waited < kEnding; waited += Duration(10)) {
      if (::waitpid(pid_, nullptr, WNOHANG) != 0) return;
      ::poll(nullptr, 0, 10);
    }
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  std::string dir_;
  pid_t pid_ = -1;
};

std::string took_text(const ConditionReport& condition) {
  if (!condition.took_ms) return "-";
  return fmt::format("{:.{}f} ms", *condition.took_ms, *condition.took_ms < 10 ? 2 : 0);
}

void print_table(const Report& report, const View& view) {
  std::vector<std::vector<Cell>> rows;
  for (const WatchReport& watch : report.watches) {
    for (const ConditionReport& condition : watch.conditions) {
      const Tone tone = condition.verdict == "true"    ? Tone::busy
                        : condition.verdict == "false" ? Tone::good
                                                       : Tone::bad;
      rows.push_back({{printable(watch.name)},
                      {printable(condition.id)},
                      {printable(condition.verdict), tone},
                      {took_text(condition)},
                      {printable(condition.reason) + metrics_part(condition.metrics)}});
    }
  }
  std::fputs(render_table({"WATCH", "CONDITION", "VERDICT", "TOOK", "REASON"}, rows, {3},
                          view.width, view.colour)
                 .c_str(),
             stdout);
}

int ask(const std::string& socket, const Invocation& invocation, std::vector<std::string> select,
        std::string condition) {
  protocol::Call call;
  call.request.verb = Request::Verb::probe;
  call.request.select = std::move(select);
  call.request.all = invocation.all;
  call.request.condition = std::move(condition);
  Client client(socket);
  const Reply reply = client.ask(call, invocation.timeout.value_or(kAnswering));
  if (!reply.answer || reply.answer->kind != protocol::Answer::Kind::result) {
    if (reply.answer && invocation.output == Output::json) fmt::print("{}\n", reply.answer->json);
    return complain(printable_lines(reply.text), reply.code == 0 ? 1 : reply.code);
  }
  if (invocation.output == Output::json || invocation.output == Output::jsonl) {
    fmt::print("{}\n", reply.answer->json);
  } else if (!invocation.quiet) {
    print_table(reply.answer->report, view_for(invocation));
  }
  for (const WatchReport& watch : reply.answer->report.watches) {
    for (const ConditionReport& one : watch.conditions)
      if (one.verdict == "unknown") return 1;
  }
  return 0;
}

bool is_configuration(const std::string& word) {
  struct stat status {};
  return word.ends_with(".yaml") || word.ends_with(".yml") ||
         (word.find('/') != std::string::npos && ::stat(word.c_str(), &status) == 0);
}

}  // namespace

int run_probe(const Invocation& invocation) {
  const std::vector<std::string>& words = invocation.words;
  const bool offline = !words.empty() && is_configuration(words[0]);
  const std::size_t named = offline ? 2 : invocation.all ? 0 : 1;
  if (words.size() < named || words.size() > named + 1) {
    return complain("probe SEL [CONDITION], or probe FILE WATCH [CONDITION]", code::kUsage);
  }
  std::string condition = words.size() > named ? words[named] : "";
  std::vector<std::string> select;
  if (named > 0) select.push_back(words[named - 1]);
  if (!offline) return ask(invocation.socket, invocation, std::move(select), std::move(condition));
  Apprentice apprentice(absolute_path(words[0]), words[1]);
  if (const int failed = apprentice.await(); failed != 0)
    return failed == 78 ? int{code::kInvalid} : failed;
  return ask(apprentice.socket(), invocation, std::move(select), std::move(condition));
}

}  // namespace supv::ctl
