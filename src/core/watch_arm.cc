// Which of a watch's conditions are judged when: those of the present phase, and those that always
// are.
#include <algorithm>

#include "core/watch.h"

namespace supv {

/// Down, and not by an operator's word: what start_if, and the conditions of a task, are for.
bool Watch::resting() const {
  if (state_ == State::exited || state_ == State::failed) return !flapped_;
  return state_ == State::stopped && (by_condition_ || (task() != nullptr && !kept_down()));
}

std::uint8_t Watch::phase() const {
  switch (state_) {
    case State::up:
      return phase::kUp;
    case State::starting:
      if (gate_) return phase::kInit;
      if (run_ == RunId::none || pid_ == 0) return 0;
      return cause_.action == "restart" ? phase::kRestarting : phase::kStarting;
    case State::stopped:
    case State::exited:
    case State::failed:
      return resting() ? phase::kRest : 0;
    case State::stopping:
    case State::backoff:
    case State::stuck:
      return 0;
  }
  return 0;
}

void Watch::arm(Step& step) {
  disarm(step);
  if (closing_ || !monitored_) return;
  const std::uint8_t now_in = phase();
  if (now_in == 0) return;
  if (now_in == phase::kRest) begin_changes(std::nullopt, phase::kRest);
  trials_.begin(step.now.time, now_in);
  std::vector<std::uint32_t> members = trials_.members(now_in);
  if (members.empty()) return;
  armed_ = run_ != RunId::none ? run_ : step.ids.make_idle(number_);
  step.emit(fx::Arm{armed_, spec_->name, spec_, std::move(members), run_});
}

void Watch::disarm(Step& step) {
  if (armed_ == RunId::none) return;
  step.emit(fx::Disarm{armed_});
  if (armed_ != run_) step.ids.release(armed_);
  armed_ = RunId::none;
  trials_.end(static_cast<std::uint8_t>(~phase::kAlways));
}

/// Lifecycle conditions live as long as the watch is monitored; runs come and go below them.
void Watch::keep_steady(Step& step) {
  const bool due = monitored_ && !closing_ && !removed_ && (wanted_ || resting());
  if (steady_ == RunId::none && due) {
    std::vector<std::uint32_t> members = trials_.members(phase::kAlways);
    std::erase_if(members, [this](std::uint32_t i) {
      return spec_->conditions[i].kind != ConditionKind::poll;
    });
    if (members.empty()) return;
    steady_ = step.ids.make_idle(number_);
    steady_subject_ = run_;
    trials_.begin(step.now.time, phase::kAlways);
    step.emit(fx::Arm{steady_, spec_->name, spec_, std::move(members), run_});
  } else if (steady_ != RunId::none && !due) {
    step.emit(fx::Disarm{steady_});
    step.ids.release(steady_);
    steady_ = RunId::none;
    trials_.end(phase::kAlways);
  } else if (steady_ != RunId::none && steady_subject_ != run_) {
    steady_subject_ = run_;
    step.emit(fx::Arm{steady_, spec_->name, spec_, {}, run_});
  }
}

void Watch::poll(Step& step) {
  if (state_ == State::up && step.now.time < grace_until_) return;
  if (armed_ != RunId::none)
    for (const std::uint32_t i : trials_.take_due(step.now.time, phase()))
      step.emit(fx::Poll{armed_, i});
  if (steady_ != RunId::none)
    for (const std::uint32_t i : trials_.take_due(step.now.time, phase::kAlways))
      step.emit(fx::Poll{steady_, i});
}

/// Whether its start waits for what an `init` transition says.
bool Watch::gated() const {
  return std::any_of(spec_->conditions.begin(), spec_->conditions.end(),
                     [](const ConditionSpec& one) { return (one.phases & phase::kInit) != 0; });
}

}  // namespace supv
