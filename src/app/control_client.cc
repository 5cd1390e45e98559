#include "app/control_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "base/units.h"

namespace supv::ctl {
namespace {

using namespace std::chrono_literals;

constexpr auto kSignOfLife = 5000ms;
constexpr auto kGrace = 5000ms;  // On top of what supvd expects.
constexpr auto kTick = 200ms;    // The progress line's pace.
constexpr auto kReconnectPace = 50ms;
constexpr std::size_t kMaxAnswer = std::size_t{64} << 20;  // 16,384 watches fit many times.

bool ends_supvd(const protocol::Call& call) {
  return call.kind == protocol::Kind::core && (call.request.verb == Request::Verb::quit ||
                                               call.request.verb == Request::Verb::terminate);
}

Fd interrupt_descriptor() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

Duration since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - start);
}

}  // namespace

Client::Client(std::string socket) : socket_(std::move(socket)), signals_(interrupt_descriptor()) {}

bool Client::connect_now() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  input_.clear();
  fd_.reset();
  if (socket_.size() >= sizeof address.sun_path) {
    connect_error_ = ENAMETOOLONG;
    return false;
  }
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    connect_error_ = errno;
    return false;
  }
  ucred listener{};
  socklen_t size = sizeof listener;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &listener, &size) == 0 && listener.pid > 0) {
    keeper_pid_ = listener.pid;
    keeper_.reset(static_cast<int>(syscall(SYS_pidfd_open, listener.pid, 0)));
  }
  fd_ = std::move(fd);
  return true;
}

bool Client::send_line(const std::string& line) {
  std::string_view left = line;
  while (!left.empty()) {
    const ssize_t sent = send(fd_.get(), left.data(), left.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      left.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      pollfd room{fd_.get(), POLLOUT, 0};
      if (poll(&room, 1, static_cast<int>(Duration(kSignOfLife).count())) != 1) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

Client::Step Client::next(Clock::time_point until, std::string& line) {
  for (;;) {
    const std::size_t end = input_.find('\n');
    if (end != std::string::npos) {
      line = input_.substr(0, end);
      input_.erase(0, end + 1);
      return Step::line;
    }
    const auto left = std::chrono::ceil<Duration>(until - Clock::now()).count();
    pollfd ready[2] = {{signals_.get(), POLLIN, 0}, {fd_.get(), POLLIN, 0}};
    const int count = poll(ready, 2, static_cast<int>(std::clamp<std::int64_t>(left, 0, 60000)));
    if (count == 0) return Step::tick;
    if ((ready[0].revents & POLLIN) != 0) return Step::interrupted;
    if (count < 0 || ready[1].revents == 0) continue;
    char bytes[65536];
    const ssize_t size = recv(fd_.get(), bytes, sizeof bytes, 0);
    if (size > 0) {
      input_.append(bytes, static_cast<std::size_t>(size));
      if (input_.size() > kMaxAnswer) return Step::broken;
    } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
      return Step::broken;
    }
  }
}

void Client::show_progress(const Question& question) const {
  if (!on_progress || !question.heard) return;
  std::optional<Duration> expected;
  if (question.deadline) {
    expected = std::chrono::duration_cast<Duration>(*question.deadline - question.asked);
  }
  on_progress(question.progress, since(question.asked), expected);
}

Reply Client::no_life() const {
  return {code::kUnreachable,
          fmt::format("supvd (pid {}) does not answer on {}: it has said nothing for {}",
                      keeper_pid_, printable(socket_), format_duration(kSignOfLife)),
          {}};
}

std::optional<Reply> Client::overdue(Question& question) {
  const Clock::time_point now = Clock::now();
  if (question.deadline && now >= *question.deadline) {
    // Without a word from supvd a short --timeout does not mean that anything goes on.
    const char* what =
        question.heard && !protocol::only_reads(question.call) ? "; supvd goes on with it" : "";
    return Reply{kTimedOut,
                 fmt::format("not done after {}{}", format_duration(since(question.asked)), what),
                 {}};
  }
  if (!question.heard && now >= question.life_by) return no_life();
  if (!question.heard && !question.pinged && fd_ && now + kSignOfLife / 2 >= question.life_by) {
    // Some questions take long and say nothing; this one never does.
    question.pinged = true;
    protocol::Call ping;
    ping.id = std::to_string(next_id_++);
    ping.kind = protocol::Kind::version;
    send_line(protocol::call_line(ping) + "\n");
  }
  return {};
}

std::optional<Reply> Client::take(Question& question, const protocol::Answer& answer) {
  using Kind = protocol::Answer::Kind;
  question.heard = true;
  if (answer.kind == Kind::event) {
    for (const protocol::HistoryLine& line : answer.history) {
      if (on_event && !on_event(line)) return Reply{};
    }
    return {};
  }
  if (answer.id != question.call.id && answer.id != "null") return {};
  if (answer.kind == Kind::progress) {
    question.progress = answer.report.text.empty() ? answer.text : answer.report.text;
    if (!question.fixed && answer.report.expect_ms > 0) {
      question.deadline = question.asked + Duration(answer.report.expect_ms) + kGrace;
    }
    show_progress(question);
    if (no_wait) return Reply{0, question.progress, {}};
    return {};
  }
  if (answer.error == protocol::kBusy && Clock::now() < question.life_by) {
    question.heard = false;
    fd_.reset();  // One client too many: the next attempt is a new connection.
    return {};
  }
  if (question.call.follow && answer.kind == Kind::result) {
    for (const protocol::HistoryLine& line : answer.history) {
      if (on_event && !on_event(line)) return Reply{};
    }
    return {};
  }
  return Reply{answer.code, answer.text.empty() ? answer.report.text : answer.text, answer};
}

std::optional<Reply> Client::converse(Question& question) {
  if (!send_line(protocol::call_line(question.call) + "\n")) return {};
  std::string line;
  while (fd_) {
    switch (next(Clock::now() + kTick, line)) {
      case Step::line:
        if (const auto answer = protocol::parse_answer(line)) {
          if (auto reply = take(question, *answer)) return reply;
        }
        break;
      case Step::broken:
        fd_.reset();
        break;
      case Step::interrupted:
        return Reply{kInterrupted, question.call.follow ? "" : "interrupted; supvd goes on", {}};
      case Step::tick:
        show_progress(question);
        break;
    }
    if (auto reply = overdue(question)) return reply;
  }
  return {};
}

std::optional<Reply> Client::reconnect(Question& question) {
  const Clock::time_point give_up = Clock::now() + kSignOfLife;
  question.life_by = give_up + kSignOfLife;
  question.heard = false;
  question.pinged = false;
  while (!connect_now()) {
    if (ends_supvd(question.call)) {
      pollfd end{keeper_.get(), POLLIN, 0};
      if (keeper_ && poll(&end, 1, 0) == 1) return Reply{0, "supvd has ended", {}};
    }
    if (question.deadline && Clock::now() >= *question.deadline) return overdue(question);
    if (Clock::now() >= give_up) {
      return Reply{code::kUnreachable,
                   "the connection broke: " + describe_unreachable(socket_, connect_error_),
                   {}};
    }
    pollfd interrupt{signals_.get(), POLLIN, 0};
    if (poll(&interrupt, 1, static_cast<int>(Duration(kReconnectPace).count())) == 1) {
      return Reply{kInterrupted, "interrupted", {}};
    }
  }
  return {};
}

Reply Client::ask(protocol::Call call, std::optional<Duration> timeout) {
  Question question;
  question.call = std::move(call);
  question.call.id = std::to_string(next_id_++);
  question.asked = Clock::now();
  question.life_by = question.asked + kSignOfLife;
  question.fixed = timeout.has_value();
  if (timeout) question.deadline = question.asked + *timeout;
  if (!fd_ && !connect_now()) {
    return {code::kUnreachable, describe_unreachable(socket_, connect_error_), {}};
  }
  for (;;) {
    if (auto reply = converse(question)) return *reply;
    if (auto reply = reconnect(question)) return *reply;
  }
}

bool Client::interrupted() const {
  pollfd interrupt{signals_.get(), POLLIN, 0};
  return poll(&interrupt, 1, 0) == 1;
}

bool Client::wait_for_end(Duration patience) {
  if (!keeper_) return true;
  pollfd end{keeper_.get(), POLLIN, 0};
  return poll(&end, 1, static_cast<int>(patience.count())) == 1;
}

}  // namespace supv::ctl
