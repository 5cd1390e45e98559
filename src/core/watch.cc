// What people, a load and supvd itself ask of a watch.
#include "core/watch.h"

#include <fmt/format.h>

#include <algorithm>

namespace supv {

Watch::Watch(std::uint32_t number, std::shared_ptr<const WatchSpec> spec, std::uint64_t salt)
    : number_(number), spec_(std::move(spec)), salt_(salt), trials_(*spec_, salt) {
  make_trials();
}

void Watch::order(bool wanted, const Cause& cause) {
  wanted_ = wanted;
  monitored_ = true;
  ordered_ = cause.by == "operator";
  by_condition_ = !wanted && cause.by == "condition";
  dirty_ = true;
  intent_ = intent_ || ordered_;
  if (!ordered_ || !wanted) return;
  failures_ = 0;
  out_ = false;
  falls_.clear();
  retries_.clear();
}

void Watch::start(Step& step, const Cause& cause) {
  if (closing_) return;
  const bool was_monitored = monitored_;
  order(true, cause);
  switch (state_) {
    case State::stopped:
    case State::backoff:
    case State::failed:
    case State::exited:
      replaces_ = false;
      return begin_start(step, cause);
    case State::starting:
    case State::up:
      if (!was_monitored) arm(step);
      return keep_steady(step);
    case State::stopping:
    case State::stuck:
      after_ = After::respawn;
      cause_ = cause;
      if (laddered_) step.emit(fx::Stop{run_, static_cast<std::uint32_t>(after_), false});
      return;
  }
}

void Watch::restart(Step& step, const Cause& cause) {
  if (state_ != State::starting && state_ != State::up) return start(step, cause);
  if (closing_) return;
  order(true, cause);
  stay_ = false;
  load_waits_ = false;
  begin_stop(step, cause, After::respawn);
}

void Watch::stop(Step& step, const Cause& cause) {
  order(false, cause);
  switch (state_) {
    case State::stopped:
      disarm(step);
      return;
    case State::backoff:
    case State::failed:
    case State::exited:
      disarm(step);
      due_.reset();
      return enter(step, State::stopped, cause);
    case State::starting:
    case State::up:
      return begin_stop(step, cause, After::rest);
    case State::stopping:
    case State::stuck:
      after_ = After::rest;
      cause_ = cause;
      if (laddered_) step.emit(fx::Stop{run_, static_cast<std::uint32_t>(after_), false});
      return;
  }
}

bool Watch::reload(Step& step, const Cause& cause, std::string& why) {
  const RareSpec* rare = spec_->rare.get();
  if (rare == nullptr || (!rare->reload && rare->reload_signal == 0)) {
    why = "it defines no `reload`";
    return false;
  }
  if (state_ != State::up || errand_run_ != RunId::none) {
    why = fmt::format("it is {}", errand_run_ != RunId::none ? "busy" : shown_state());
    return false;
  }
  cause_ = cause;
  reload_failed_ = false;
  if (rare->reload) {
    spawn_errand(step, Purpose::reload, *rare->reload, spec_->start_timeout);
  } else {
    step.emit(fx::Signal{run_, rare->reload_signal});
    reloaded(step, true, signal_name(rare->reload_signal) + " sent");
  }
  return true;
}

void Watch::reloaded(Step& step, bool good, const std::string& how) {
  ++reloads_;
  reload_failed_ = !good;
  if (good) {
    last_change_ = LastChange{step.now.wall_ms, "reload", cause_.by, cause_.reason};
    begin_changes(Action::reload, phase::kUp);
    amend(step);
  }
  dirty_ = true;
  step.emit(fx::Note{spec_->name, good ? NoteKind::change : NoteKind::warning, "up", "up", "reload",
                     cause_.by, good ? cause_.reason : "reload failed: " + how, pid_});
}

void Watch::monitor(Step& step, const Cause& cause) {
  if (monitored_ && wanted_) return;
  start(step, cause);
}

void Watch::unmonitor(Step& step, const Cause& cause) {
  monitored_ = false;
  dirty_ = intent_ = true;
  disarm(step);
  if (std::exchange(gate_, false)) state_ = State::stopped;
  keep_steady(step);
  const std::string before = shown_state();
  switch (state_) {
    case State::backoff:
    case State::failed:
    case State::exited:
      due_.reset();
      state_ = State::stopped;
      break;
    case State::stopped:
    case State::starting:
    case State::up:
    case State::stopping:
    case State::stuck:
      break;
  }
  step.emit(fx::Note{spec_->name, NoteKind::change, before, "unmonitored", "unmonitor", cause.by,
                     cause.reason, pid_});
}

void Watch::hold(Step& step, const HoldReport& hold) {
  hold_ = hold;
  hold_until_.reset();
  if (hold.until_wall_ms)
    hold_until_ =
        step.now.time + Duration(std::max<std::int64_t>(*hold.until_wall_ms - step.now.wall_ms, 0));
  dirty_ = intent_ = true;
  step.emit(fx::Note{spec_->name, NoteKind::change, shown_state(), shown_state(), "hold", hold.by,
                     hold.reason, pid_});
}

void Watch::release(Step& step) {
  if (!hold_) return;
  hold_.reset();
  hold_until_.reset();
  dirty_ = intent_ = true;
  step.emit(fx::Note{spec_->name, NoteKind::change, shown_state(), shown_state(), "release", "", "",
                     pid_});
  if (std::exchange(load_waits_, false) && outdated() && monitored_ && wanted_)
    restart(step, {"restart", "load", "the configuration changed while it was held"});
}

void Watch::shut_down(Step& step, bool now) {
  closing_ = true;
  disarm(step);
  keep_steady(step);
  tick_.reset();
  switch (state_) {
    case State::stopped:
    case State::failed:
    case State::exited:
      due_.reset();  // flapping is not tried again any more
      return;
    case State::backoff:
      due_.reset();
      state_ = State::stopped;
      return;
    case State::starting:
    case State::up:
      begin_stop(step, {"stop", "supvd", "supvd ends"}, After::rest);
      break;
    case State::stopping:
    case State::stuck:
      if (after_ != After::remove) after_ = After::rest;
      break;
  }
  if (!now) return;
  if (errand_run_ != RunId::none) step.emit(fx::Stop{errand_run_, 1, true});
  if (run_ == RunId::none) return;
  laddered_ = true;
  step.emit(fx::Stop{run_, static_cast<std::uint32_t>(after_), true});
}

void Watch::remove(Step& step, const Cause& cause) {
  wanted_ = false;
  if (at_rest()) {
    disarm(step);
    removed_ = true;
    return keep_steady(step);
  }
  if (state_ == State::starting || state_ == State::up)
    return begin_stop(step, cause, After::remove);
  after_ = After::remove;
  if (laddered_) step.emit(fx::Stop{run_, static_cast<std::uint32_t>(after_), false});
}

void Watch::come_back(Step& step) {
  const Cause cause{"start", "load", "the configuration names it again"};
  if (spec_->autostart) return start(step, cause);
  after_ = After::rest;
  cause_ = cause;
  if (laddered_) step.emit(fx::Stop{run_, static_cast<std::uint32_t>(after_), false});
}

bool Watch::outdated() const {
  return run_ != RunId::none && running_as_ != fingerprint(spec_->process);
}

void Watch::redefine(Step& step, std::shared_ptr<const WatchSpec> spec, bool may_restart) {
  const bool armed = armed_ != RunId::none || state_ == State::up || resting();
  disarm(step);
  const bool steady = steady_ != RunId::none;
  if (steady) {
    step.emit(fx::Disarm{steady_});
    step.ids.release(std::exchange(steady_, RunId::none));
  }
  end_verdict_.reset();
  const Trials trials = std::move(trials_);
  std::vector<std::unique_ptr<ChangeTrial>> old = std::move(changes_);
  const std::shared_ptr<const WatchSpec> before = std::move(spec_);
  spec_ = std::move(spec);
  make_trials();
  trials_.inherit(trials, *before);
  for (std::size_t i = 0; i < old.size(); ++i) {
    if (!old[i]) continue;
    const std::uint32_t key = condition_key(before->conditions[i]);
    bool stays = false;
    for (std::size_t j = 0; j < changes_.size(); ++j) {
      if (!changes_[j] || condition_key(spec_->conditions[j]) != key) continue;
      changes_[j]->inherit(*old[i]);
      stays = true;
    }
    // Should it come again one day, what it knew would be old.
    if (!stays) step.emit(fx::Remember{sample_key(spec_->name, key), "", true, false});
  }
  if (run_ != RunId::none) amend(step);
  if (armed) arm(step);
  keep_steady(step);
  if (gate_ && !gated()) go_on_with_start(step);
  if (state_ == State::starting && pid_ != 0 && !following_ && !(before->ready == spec_->ready))
    await_ready(step, started_.time);
  stay_ = false;
  if (!outdated() || state_ == State::stopping || state_ == State::stuck) return;
  if (!may_restart) {
    stay_ = true;
  } else if (hold_) {
    load_waits_ = true;
  } else if (monitored_) {
    restart(step, {"restart", "load", "the configuration changed"});
  }
  dirty_ = true;
}

}  // namespace supv
