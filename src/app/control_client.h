#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/fd.h"
#include "core/protocol.h"

namespace supv::ctl {

/// Codes that only the client gives.
inline constexpr int kTimedOut = 152, kInterrupted = 130;

/// How a question ended: with supvd's answer, or without one (then `text` says why).
struct Reply {
  int code = 0;
  std::string text;
  std::optional<protocol::Answer> answer;
};

/// Told while an answer is awaited; `passed` counts from the question.
using OnProgress =
    std::function<void(const std::string& text, Duration passed, std::optional<Duration> expected)>;
/// Told for each event of a followed question. False ends the question.
using OnEvent = std::function<bool(const protocol::HistoryLine&)>;

/// A connection to supvd that is renewed when it breaks. The same question is then asked again:
/// actions carry an id, and supvd does not do the same id twice.
class Client {
 public:
  explicit Client(std::string socket);

  /// Asks and waits for the answer: until `timeout`, else as long as supvd expects it to take and
  /// 5 s, else (queries) for ever, but never longer than 5 s for a first sign of life.
  Reply ask(protocol::Call call, std::optional<Duration> timeout = {});
  /// True when the user pressed Ctrl-C since the last question.
  bool interrupted() const;
  /// Waits until the supvd that answered last has ended; false after `patience`.
  bool wait_for_end(Duration patience);

  OnProgress on_progress;
  OnEvent on_event;
  bool no_wait = false;  ///< Being heard is enough.

 private:
  using Clock = std::chrono::steady_clock;
  /// One question under way.
  struct Question {
    protocol::Call call;
    Clock::time_point asked;
    std::optional<Clock::time_point> deadline;
    Clock::time_point life_by;  ///< Until then something must have been heard.
    bool fixed = false;         ///< `deadline` is the user's.
    bool heard = false;
    bool pinged = false;
    std::string progress;
  };
  enum class Step { line, broken, tick, interrupted };

  bool connect_now();
  bool send_line(const std::string& line);
  Step next(Clock::time_point until, std::string& line);
  std::optional<Reply> converse(Question& question);
  std::optional<Reply> take(Question& question, const protocol::Answer& answer);
  std::optional<Reply> overdue(Question& question);
  std::optional<Reply> reconnect(Question& question);
  Reply no_life() const;
  void show_progress(const Question& question) const;

  std::string socket_;
  Fd fd_;
  Fd signals_;
  Fd keeper_;  ///< pidfd of the process that listens.
  int keeper_pid_ = 0;
  int connect_error_ = 0;
  std::string input_;
  std::uint64_t next_id_ = 1;
};

/// Why nothing listens at `socket`: down, not allowed, or elsewhere. `error` is connect's errno.
std::string describe_unreachable(const std::string& socket, int error);

/// A fresh action id (UUID version 4).
std::string make_action_id();

}  // namespace supv::ctl
