#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <cstring>

#include "app/control_client.h"
#include "app/supvd_daemon.h"
#include "base/text.h"
#include "core/report.h"

namespace supv {
namespace {

constexpr Duration kPatience{30000};  // For the first launches (contract 1).

/// The daemon's standard streams: nothing to read, and what is not a log line goes to the log.
void leave_terminal(const Settings& settings) {
  check_sys(setsid(), "setsid");
  const Fd null(check_sys(open("/dev/null", O_RDWR | O_CLOEXEC), "/dev/null"));
  const Fd log(open(settings.log.c_str(),
                    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0640));
  if (!log) {
    throw CannotStart(
        fmt::format("cannot write the log {}: {}", printable(settings.log), std::strerror(errno)));
  }
  check_sys(dup2(null.get(), STDIN_FILENO), "dup2");
  check_sys(dup2(log.get(), STDOUT_FILENO), "dup2");
  check_sys(dup2(log.get(), STDERR_FILENO), "dup2");
}

/// The daemon's side of the fork. What goes wrong before the first brain is told to the launcher.
[[noreturn]] void run_daemon(const Settings& settings, Instance instance, Fd launched) {
  int code = 1;
  signal(SIGPIPE, SIG_IGN);  // The launcher may be gone when we have something to say.
  try {
    leave_terminal(settings);
    signal(SIGPIPE, SIG_DFL);
    code = become_keeper(settings, std::move(instance), launched);
  } catch (const std::exception& error) {
    leave_instance(settings);  // Nothing has been started; the socket would only mislead.
    const std::string text = std::string("E") + error.what();
    [[maybe_unused]] const ssize_t told = write(launched.get(), text.data(), text.size());
  }
  _exit(code);
}

/// "L" when the socket takes connections, "E..." when it will not, empty when the daemon died.
std::string first_word(const Fd& from) {
  std::string word;
  std::array<char, 1024> bytes{};
  while (word.empty() || word.front() != 'L') {
    const ssize_t size = read(from.get(), bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    word.append(bytes.data(), static_cast<std::size_t>(size));
  }
  return word;
}

/// What the daemon ended with; empty while it lives.
std::optional<int> ended(pid_t daemon) {
  int status = 0;
  if (waitpid(daemon, &status, WNOHANG) != daemon) return {};
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

protocol::Call wait_call(const char* until, std::vector<std::string> names) {
  protocol::Call call;
  call.request.verb = Request::Verb::wait;
  call.request.until = until;
  call.request.all = names.empty();
  call.request.select = std::move(names);
  return call;
}

/// Says which watches are not as their file has them; true when none has failed.
bool name_failures(const ctl::Reply& reply) {
  if (!reply.answer) return reply.code == 0;
  bool fine = true;
  for (const Outcome& outcome : reply.answer->report.outcomes) {
    if (outcome.ok && outcome.text != kStaysStopped) continue;
    fine = fine && outcome.ok;
    fmt::print(stderr, "supvd: {}: {}\n", printable(outcome.watch), printable(outcome.text));
  }
  return fine;
}

/// The names of the watches that should be up.
std::vector<std::string> wanted_up(ctl::Client& client) {
  std::vector<std::string> names;
  const ctl::Reply reply = client.ask({}, kPatience);
  if (!reply.answer) return names;
  for (const WatchReport& watch : reply.answer->report.watches) {
    if (watch.desired == "up") names.push_back(watch.name);
  }
  return names;
}

int await(const Settings& settings, pid_t daemon) {
  ctl::Client client(settings.socket);
  ctl::Reply reply = client.ask(wait_call("launched", {}), kPatience);
  bool fine = reply.code == code::kNoSuchWatch || name_failures(reply);  // No watch at all: fine.
  if (reply.code == ctl::kTimedOut) {
    fmt::print(stderr, "supvd: still launching; supvctl status shows how far it is\n");
    return settings.wait_ready ? 1 : 0;
  }
  if (reply.code == ctl::kInterrupted) return ctl::kInterrupted;
  if (!reply.answer) {
    fmt::print(stderr, "supvd: {}; see {}\n", reply.text, printable(settings.log));
    return ended(daemon).value_or(1);
  }
  if (!settings.wait_ready) return 0;
  const std::vector<std::string> names = wanted_up(client);
  if (!names.empty()) {
    reply = client.ask(wait_call("settled", names));
    fine = name_failures(reply) && reply.code == 0 && fine;
    if (!reply.answer) fmt::print(stderr, "supvd: {}\n", reply.text);
  }
  return fine ? 0 : 1;
}

}  // namespace

int launch(const Settings& settings, Instance instance) {
  int ends[2];
  check_sys(pipe2(ends, O_CLOEXEC), "pipe2");
  Fd news(ends[0]);
  Fd told(ends[1]);
  const pid_t daemon = check_sys(fork(), "fork");
  if (daemon == 0) {
    news.reset();
    run_daemon(settings, std::move(instance), std::move(told));
  }
  told.reset();
  instance = {};  // The locks are on descriptions that the daemon shares.
  const std::string word = first_word(news);
  if (word.empty() || word.front() != 'L') {
    int status = 0;
    waitpid(daemon, &status, 0);
    throw CannotStart(word.size() > 1 ? word.substr(1)
                                      : "the daemon died at once; see " + settings.log);
  }
  return await(settings, daemon);
}

}  // namespace supv
