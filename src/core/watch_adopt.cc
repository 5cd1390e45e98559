// How a watch takes over what runs when a brain begins.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/watch.h"

namespace supv {

void Watch::begin_anew() {
  if (kept_down()) return;
  wanted_ = spec_->autostart;
  ordered_ = by_condition_ = false;
}

void Watch::adopt(Step& step, const LiveRun& live, const Memo& memo) {
  run_ = live.run;
  step.ids.take(run_, number_);
  started_ = live.started;
  pid_ = live.pid;
  running_as_ = memo.process;
  ready_ = memo.ready;
  failures_ = std::max(failures_, memo.failures);
  restarts_ = std::max<std::uint64_t>(restarts_, memo.restarts);
  after_ = memo.after;
  if (live.after > 0 && live.after <= static_cast<std::uint32_t>(After::remove))
    after_ = static_cast<After>(live.after);
  fault_by_ = "exit";
  if (last_change_) cause_ = {last_change_->action, last_change_->by, last_change_->reason};
  launched_once_ = true;
  anew_ = false;
  missed_ = live.adopted;
  // The keeper may know less than was remembered: what was told it last may have been lost.
  const bool kept_down = ordered_ || by_condition_;
  if (!kept_down && (after_ == After::fail || after_ == After::respawn)) wanted_ = true;
  if (after_ == After::remove) {  // by an earlier configuration; this one names it
    if (!kept_down) wanted_ = spec_->autostart;
    after_ = After::respawn;
  }
  if (!wanted_ && after_ == After::respawn) after_ = After::rest;
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    if (!changes_[i] || lasting(spec_->conditions[i])) continue;
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
  take_over(step, live);
}

void Watch::inherit(Step& step, RunId run, bool stuck) {
  run_ = run;
  step.ids.take(run_, number_);
  state_ = stuck ? State::stuck : State::stopping;
  after_ = After::rest;
  wanted_ = spec_->autostart;
  cause_ = {"stop", "load", "no configuration named it"};
  launched_once_ = !wanted_;
  laddered_ = true;
  step.emit(fx::Stop{run_, static_cast<std::uint32_t>(after_), false});
}

void Watch::on_replaced(const Step& step, const LiveRun& live) {
  note_exit(step, live.status.value_or(ExitStatus{}));
}

/// Goes on where the run is.
void Watch::take_over(Step& step, const LiveRun& live) {
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
        if (const auto longest = task_limit())
          due_ = std::max(started_.time + *longest, step.now.time);
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
      if (after_ != After::fail) {  // so was the stop command here
        state_ = State::stopping;
        return ladder(step);
      }
      on_exited(step, {run_, live.status.value_or(ExitStatus{}), 1});
      // Started with a pid file; this definition has none, and nobody else sweeps what lingers.
      if (state_ == State::stopping && !laddered_) ladder(step);
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

/// Another supervisor's process may still be doing the job: then there is nothing to start.
bool Watch::take_over_other(Step& step) {
  if (!spec_->rare || spec_->rare->adopt.empty()) return false;
  run_ = step.ids.make(number_);
  adopting_ = true;
  after_ = After::fail;
  laddered_ = following_ = renewing_ = false;
  started_ = step.now;
  running_as_ = fingerprint(spec_->process);
  // What it was started under nobody knows.
  for (std::size_t i = 0; i < changes_.size(); ++i)
    if (changes_[i] && !lasting(spec_->conditions[i])) changes_[i]->begin(Sample{}, true);
  dirty_ = true;
  step.emit(fx::Adopt{run_, spec_->name, spec_->rare->adopt,
                      std::shared_ptr<const ProcessSpec>(spec_, &spec_->process), spec_->ladder,
                      encode(memo(Purpose::main))});
  return true;
}

void Watch::taken_over(Step& step) {
  adopting_ = false;
  step.emit(fx::Note{spec_->name, NoteKind::change, shown_state(), shown_state(), "adopt", "supvd",
                     fmt::format("process {}, which {} names, was taken over; nothing was started",
                                 pid_, spec_->rare->adopt),
                     pid_});
  keep_steady(step);
  // It knows nothing of a notify socket.
  if (spec_->ready.kind == ReadySpec::Kind::notify) return become_up(step);
  arm(step);
  await_ready(step, started_.time);
}

void Watch::not_taken_over(Step& step, const std::string& why) {
  adopting_ = false;
  bury(step, std::exchange(run_, RunId::none));
  pid_ = 0;
  if (!why.empty())
    step.emit(fx::Note{spec_->name, NoteKind::warning, shown_state(), shown_state(), "adopt",
                       "supvd", why, 0});
  if (state_ != State::starting) return settle(step);
  begin_run(step);
}

void Watch::boot_live(Step& step) {
  const bool live = state_ == State::up || state_ == State::starting;
  if (live && run_ != RunId::none && !wanted_)  // the order came before the deed
    return begin_stop(step,
                      {"stop", by_condition_ ? "condition" : "operator",
                       "asked for before supvd was interrupted"},
                      After::rest);
  const bool ending = state_ == State::stopping || state_ == State::stuck;
  if (ending && wanted_ && monitored_ && after_ == After::rest) {
    // Only a supvd that was to end stops what is wanted. It never got that far.
    after_ = After::respawn;
    cause_ = {"start", "supvd", "supvd is back"};
    if (laddered_) step.emit(fx::Stop{run_, static_cast<std::uint32_t>(after_), false});
  }
  arm(step);
  keep_steady(step);
  // What was loaded with --no-restart still waits; otherwise the file is what counts.
  if (outdated() && !stay_ && wanted_ && monitored_ &&
      (state_ == State::up || state_ == State::starting)) {
    if (hold_)
      load_waits_ = true;
    else
      restart(step, {"restart", "load", "the configuration changed while supvd was away"});
  }
}

void Watch::boot(Step& step, bool fresh) {
  if (run_ != RunId::none || errand_run_ != RunId::none) return boot_live(step);
  const State before = state_;
  state_ = State::stopped;
  if (!monitored_) {
    launched_once_ = true;
    return;
  }
  if (fresh && !kept_down()) {
    begin_anew();  // also when a load brings it
    due_.reset();
    failures_ = 0;
    launched_once_ = !wanted_;
    replaces_ = restored_ && wanted_ && before != State::stopped;
    anew_ = wanted_;
    if (wanted_) return begin_start(step, {"start", "supvd", "autostart"});
    arm(step);
    return keep_steady(step);
  }
  launched_once_ = true;
  if (task() != nullptr && (before == State::exited || before == State::failed)) state_ = before;
  if (!restored_) wanted_ = spec_->autostart;  // new, and the brain died before it said so
  if (!wanted_) {
    arm(step);
    keep_steady(step);
    if (fresh)
      step.emit(fx::Note{spec_->name, NoteKind::warning, "stopped", "stopped", "", "",
                         "an operator stopped it earlier; it stays stopped", 0});
    return;
  }
  if ((before == State::backoff || before == State::failed || before == State::exited)) {
    state_ = before;
    arm(step);
    return keep_steady(step);
  }
  if (anew_) return begin_start(step, {"start", "supvd", "it waited for its init transition"});
  replaces_ = restored_;
  begin_start(step, {"start", "exit", "it ended while supvd was not looking"});
}

}  // namespace supv
