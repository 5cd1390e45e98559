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
  put("state", fmt::format("{}", static_cast<int>(state_)));
  put("failures", fmt::format("{}", failures_));
  put("restarts", fmt::format("{}", restarts_));
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
    if (name == "state")
      state_ = static_cast<State>(
          std::clamp<std::int64_t>(number_of(value), 0, static_cast<int>(State::stuck)));
    if (name == "failures") failures_ = static_cast<std::uint32_t>(number_of(value));
    if (name == "restarts") restarts_ = static_cast<std::uint64_t>(number_of(value));
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

void Watch::adopt(Step& step, const LiveRun& live, const Memo& memo) {
  run_ = live.run;
  step.ids.take(run_, number_);
  started_ = live.started;
  pid_ = live.pid;
  running_as_ = memo.process;
  ready_ = memo.ready;
  failures_ = std::max(failures_, memo.failures);
  after_ = memo.after;
  if (live.after > 0 && live.after <= static_cast<std::uint32_t>(After::remove))
    after_ = static_cast<After>(live.after);
  fault_by_ = "exit";
  if (last_change_) cause_ = {last_change_->action, last_change_->by, last_change_->reason};
  launched_once_ = true;
  missed_ = live.adopted;
  // The keeper may know less than was remembered: what was told it last may have been lost.
  const bool kept_down = ordered_ || by_condition_;
  if (!kept_down && (after_ == After::fail || after_ == After::respawn)) wanted_ = true;
  if (!wanted_ && after_ == After::respawn) after_ = After::rest;
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    if (!changes_[i] || spec_->conditions[i].action == Action::notify) continue;
    const std::uint32_t key = condition_key(spec_->conditions[i]);
    const auto known = std::find_if(memo.baselines.begin(), memo.baselines.end(),
                                    [&](const auto& b) { return b.condition == key; });
    if (known == memo.baselines.end())
      changes_[i]->begin(Sample{}, true);
    else
      changes_[i]->begin(known->sample, known->assumed);
  }

  due_.reset();
  state_ = ready_ ? State::up : State::starting;
  const Time limit = started_.time + spec_->start_timeout;
  switch (live.phase) {
    case LiveRun::Phase::launching:
      due_ = std::max(limit, step.now.time);
      return;
    case LiveRun::Phase::running:
      if (ready_) {
        if (after_ == After::rest || after_ == After::respawn || after_ == After::remove) {
          // The stop command was under way; whatever it did, the ladder finishes it.
          state_ = State::stopping;
          return ladder(step);
        }
        if (spec_->watchdog.count() > 0) alive_by_ = step.now.time + spec_->watchdog;
        return;
      }
      due_ = std::max(limit, step.now.time + Duration(1000));
      return await_ready(step, started_.time);
    case LiveRun::Phase::stopping:
      state_ = State::stopping;
      laddered_ = true;
      return;
    case LiveRun::Phase::stuck:
      state_ = State::stuck;
      laddered_ = true;
      return;
    case LiveRun::Phase::lingering:
      pid_ = 0;
      on_exited(step, {run_, live.status.value_or(ExitStatus{}), 1});
      if (following_ && !due_) due_ = std::max(limit, step.now.time + Duration(1000));
      return;
    case LiveRun::Phase::gone:
      if (live.after > 0) state_ = State::stopping;
      on_exited(step, {run_, live.status.value_or(ExitStatus{}), 0});
      return on_gone(step, {run_, live.status.value_or(ExitStatus{})});
    case LiveRun::Phase::failed:
      return on_start_failed(step, {run_, live.step, live.error, ""});
  }
}

void Watch::boot(Step& step, bool fresh) {
  if (run_ != RunId::none || errand_run_ != RunId::none) {
    const bool live = state_ == State::up || state_ == State::starting;
    if (live && run_ != RunId::none && !wanted_ && monitored_)  // the order came before the deed
      return begin_stop(step, {"stop", "operator", "asked for before supvd was interrupted"},
                        After::rest);
    const bool ending = state_ == State::stopping || state_ == State::stuck;
    if (ending && wanted_ && monitored_ && after_ == After::rest) {
      // Only a supvd that was to end stops what is wanted. It never got that far.
      after_ = After::respawn;
      cause_ = {"start", "supvd", "supvd is back"};
      if (laddered_) step.emit(fx::Stop{run_, static_cast<std::uint32_t>(after_), false});
    }
    if (state_ == State::up && monitored_) arm(step);
    // What was loaded with --no-restart still waits; otherwise the file is what counts.
    if (outdated() && !stay_ && wanted_ && monitored_ &&
        (state_ == State::up || state_ == State::starting)) {
      if (hold_)
        load_waits_ = true;
      else
        restart(step, {"restart", "load", "the configuration changed while supvd was away"});
    }
    return;
  }
  const State before = state_;
  state_ = State::stopped;
  if (!monitored_) {
    launched_once_ = true;
    return;
  }
  if (fresh && !(ordered_ && !wanted_)) {
    due_.reset();
    wanted_ = spec_->autostart;
    ordered_ = by_condition_ = false;
    failures_ = 0;
    launched_once_ = !wanted_;
    replaces_ = restored_ && wanted_ && before != State::stopped;
    if (wanted_) begin_start(step, {"start", "supvd", "autostart"});
    return;
  }
  launched_once_ = true;
  if (!restored_) wanted_ = spec_->autostart;  // new, and the brain died before it said so
  if (!wanted_) {
    arm_idle(step);
    if (fresh)
      step.emit(fx::Note{spec_->name, NoteKind::warning, "stopped", "stopped", "", "",
                         "an operator stopped it earlier; it stays stopped", 0});
    return;
  }
  if ((before == State::backoff || before == State::failed || before == State::exited)) {
    state_ = before;
    return arm_idle(step);
  }
  replaces_ = restored_;
  begin_start(step, {"start", "exit", "it ended while supvd was not looking"});
}

}  // namespace supv
