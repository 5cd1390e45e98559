// What a watch does about the verdicts of its conditions.
#include <fmt/format.h>

#include "core/watch.h"

namespace supv {

void Watch::on_judged(Step& step, const ev::Judged& news) {
  if (news.condition >= spec_->conditions.size()) return;
  const ConditionSpec& condition = spec_->conditions[news.condition];
  if (condition.kind != ConditionKind::poll && condition.kind != ConditionKind::exit) return;
  const bool of_end = condition.kind == ConditionKind::exit && news.run == ended_;
  const bool steady =
      condition.kind == ConditionKind::poll && (condition.phases & phase::kAlways) != 0;
  if (news.run != (steady ? steady_ : armed_) && !of_end) return;
  if (const auto decided = trials_.take(step.now, news)) decide(step, *decided, of_end);
}

bool Watch::may_act(Moment now) const {
  return monitored_ && !hold_ && !closing_ && state_ == State::up && now.time >= grace_until_ &&
         errand_run_ == RunId::none;
}

void Watch::decide(Step& step, std::uint32_t index, bool of_end) {
  const ConditionSpec& condition = spec_->conditions[index];
  if (trials_.told(index) && trials_.verdict(index) == Verdict::no) {
    trials_.set_told(index, false);
    tell(step, Notice::Kind::recovered, condition.notify, condition.id, "",
         fmt::format("{} no longer: {}", condition.name, trials_.reason(index)));
  }
  std::optional<Action> action;
  if (trials_.holds(index)) {
    action = condition.action;
  } else if (trials_.verdict(index) == Verdict::no) {
    action = condition.otherwise;
  }
  if (!action) return;
  // A start that is under way goes on under a hold: whether it may begin, whether it has succeeded.
  const bool of_start = *action == Action::up || (gate_ && *action == Action::start);
  if (!monitored_ || closing_ || (hold_ && !of_start)) return;
  if (!of_end && state_ == State::up && step.now.time < grace_until_) return;
  if (errand_run_ != RunId::none) return;  // it is judged again at the next beat
  const std::string reason = fmt::format("{}: {}", condition.name, trials_.reason(index));
  // What it says of the end may come before the last of the tree is gone; settled then.
  const bool starts = *action == Action::start || *action == Action::restart;
  if (condition.kind == ConditionKind::exit && starts && run_ != RunId::none) {
    end_verdict_ = index;
    return;
  }
  if (trials_.holds(index) && trials_.may_act_at(index, step.now.time) > step.now.time) return;
  act(step, index, *action, reason);
}

/// Whether the action means anything in this state.
bool Watch::can(const ConditionSpec& condition, Action action) const {
  switch (action) {
    case Action::notify:
      return true;
    case Action::reload:
      return true;  // it says itself why not
    case Action::start:
      if (condition.kind == ConditionKind::exit) return state_ == State::exited;
      return state_ == State::starting || state_ == State::stopped || state_ == State::exited ||
             (state_ == State::failed && !flapped_);
    case Action::restart:
      if (condition.kind == ConditionKind::exit) return state_ == State::exited;
      return state_ == State::up || (state_ == State::starting && run_ != RunId::none);
    case Action::stop:
      return state_ != State::stopped && state_ != State::stopping && state_ != State::stuck;
    case Action::unmonitor:
      return true;
    case Action::none:
      return false;
    case Action::up:
      return state_ == State::starting && pid_ != 0 && !following_;
  }
  return false;
}

void Watch::act(Step& step, std::uint32_t index, Action action, const std::string& reason) {
  const ConditionSpec& condition = spec_->conditions[index];
  if (!can(condition, action)) return;
  const char* name = action_name(action);
  const bool again = condition.kind != ConditionKind::change && trials_.told(index);
  const bool of_truth = action == condition.action;
  if (of_truth && !again && (condition.notify || action == Action::notify)) {
    // An end, or a change, is over as soon as it has been told.
    const bool lasts = condition.kind != ConditionKind::change &&
                       condition.kind != ConditionKind::exit && !condition.news;
    tell(step, Notice::Kind::fired, condition.notify, condition.id, name, reason, lasts);
    if (lasts) trials_.set_told(index, true);
  }
  switch (action) {
    case Action::notify:
      if (condition.kind != ConditionKind::change) trials_.clear(index);
      if (!again)
        step.emit(fx::Note{spec_->name, NoteKind::condition, shown_state(), shown_state(), name,
                           "condition", reason, pid_});
      return;
    case Action::reload: {
      std::string why;
      if (!reload(step, {name, "condition", reason}, why))
        step.emit(fx::Note{spec_->name, NoteKind::warning, shown_state(), shown_state(), name,
                           "condition", reason + "; cannot reload: " + why, pid_});
      if (condition.kind != ConditionKind::change) trials_.clear(index);
      return;
    }
    case Action::start:
      if (run_ != RunId::none) return act_restart(step, condition, reason);
      if (!std::exchange(gate_, false)) return start(step, {name, "condition", reason});
      return go_on_with_start(step);
    case Action::stop:
      return stop(step, {name, "condition", reason});
    case Action::unmonitor:
      return unmonitor(step, {name, "condition", reason});
    case Action::none:
      return;
    case Action::up:
      return become_up(step);
    case Action::restart:
      return act_restart(step, condition, reason);
  }
}

void Watch::act_restart(Step& step, const ConditionSpec& condition, const std::string& reason) {
  if (run_ == RunId::none) return start(step, {"restart", "condition", reason});
  // A start that a transition gives up is a failed one.
  if (state_ == State::starting) return end_by_fault(step, "condition", reason);
  const bool health = condition.kind != ConditionKind::change && !condition.news;
  if (!health || !flaps(step)) return restart(step, {"restart", "condition", reason});
  out_ = true;
  const auto retry = due_;
  begin_stop(step, {"stop", "flapping", reason}, After::fail);
  retry_due_ = retry;
  failure_ = reason;
}

}  // namespace supv
