// What outlives a watch's brain: what it remembers, and how it takes over what runs.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/watch.h"

namespace supv {
namespace {

std::string one_line(std::string text, std::size_t most) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  if (text.size() > most) text.resize(most);
  return text;
}

std::int64_t number_of(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

std::string Watch::remember() const {
  std::string text;
  const auto put = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += fmt::format("{} {}\n", name, value);
  };
  const auto flag = [&](const char* name, bool value) {
    if (value) text += fmt::format("{} 1\n", name);
  };
  flag("wanted", wanted_);
  flag("ordered", ordered_);
  flag("unmonitored", !monitored_);
  flag("by_condition", by_condition_);
  flag("stay", stay_);
  flag("gate", gate_);
  flag("flapped", flapped_);
  put("state", fmt::format("{}", static_cast<int>(state_)));
  put("failures", fmt::format("{}", failures_));
  put("restarts", fmt::format("{}", restarts_));
  if (ended_ != RunId::none) put("ended", fmt::format("{:x}", static_cast<std::uint64_t>(ended_)));
  put("since", fmt::format("{}", since_wall_ms_));
  if (due_ && (state_ == State::backoff || state_ == State::failed))
    put("due", fmt::format("{}", since_wall_ms_ + due_after_ms_));
  if (last_exit_)
    put("exit", fmt::format("{} {} {}", last_exit_->wall_ms,
                            last_exit_->code ? std::to_string(*last_exit_->code) : "-",
                            last_exit_->signal.empty() ? "-" : last_exit_->signal));
  if (last_change_) {
    put("change",
        fmt::format("{} {} {}", last_change_->wall_ms, last_change_->action, last_change_->by));
    put("why", one_line(last_change_->reason, 400));
  }
  if (hold_) {
    put("hold", fmt::format("{} {}", hold_->until_wall_ms.value_or(0), hold_->by));
    put("hold_why", one_line(hold_->reason, 200));
  }
  if (reason_) put("reason", one_line(*reason_, 400));
  put("failure", one_line(failure_, 300));
  return text;
}

void Watch::restore(std::string_view text, Moment now) {
  monitored_ = true;
  std::int64_t due_wall = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t space = std::min(line.find(' '), line.size());
    const std::string_view name = line.substr(0, space);
    const std::string_view value = line.substr(std::min(space + 1, line.size()));
    const auto word = [&](int which) {
      std::string_view rest = value;
      for (; which > 0; --which) rest.remove_prefix(std::min(rest.find(' '), rest.size() - 1) + 1);
      return std::string(rest.substr(0, rest.find(' ')));
    };
    if (name == "wanted") wanted_ = true;
    if (name == "ordered") ordered_ = true;
    if (name == "unmonitored") monitored_ = false;
    if (name == "by_condition") by_condition_ = true;
    if (name == "stay") stay_ = true;
    if (name == "gate") anew_ = true;
    if (name == "flapped") flapped_ = true;
    if (name == "reason") reason_ = std::string(value);
    if (name == "state")
      state_ = static_cast<State>(
          std::clamp<std::int64_t>(number_of(value), 0, static_cast<int>(State::stuck)));
    if (name == "failures") failures_ = static_cast<std::uint32_t>(number_of(value));
    if (name == "restarts") restarts_ = static_cast<std::uint64_t>(number_of(value));
    if (name == "ended") {
      std::uint64_t run = 0;
      std::from_chars(value.data(), value.data() + value.size(), run, 16);
      ended_ = static_cast<RunId>(run);
    }
    if (name == "since") since_wall_ms_ = number_of(value);
    if (name == "due") due_wall = number_of(value);
    if (name == "failure") failure_ = std::string(value);
    if (name == "why" && last_change_) last_change_->reason = std::string(value);
    if (name == "hold_why" && hold_) hold_->reason = std::string(value);
    if (value.empty()) continue;
    if (name == "exit") {
      last_exit_ = LastExit{};
      last_exit_->wall_ms = number_of(word(0));
      if (word(1) != "-") last_exit_->code = static_cast<int>(number_of(word(1)));
      if (word(2) != "-") last_exit_->signal = word(2);
    }
    if (name == "change") last_change_ = LastChange{number_of(word(0)), word(1), word(2), ""};
    if (name == "hold") {
      hold_ = HoldReport{std::nullopt, "", word(1)};
      if (const std::int64_t until = number_of(word(0)); until > 0) {
        hold_->until_wall_ms = until;
        hold_until_ = now.time + Duration(std::max<std::int64_t>(until - now.wall_ms, 0));
      }
    }
  }
  if (due_wall > 0) set_due(now, Duration(std::max<std::int64_t>(due_wall - now.wall_ms, 0)));
  restored_ = true;
}

}  // namespace supv
