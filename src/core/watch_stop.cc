// The way of a watch down, and what follows the end of a run.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <system_error>

#include "core/watch.h"

namespace supv {

void Watch::begin_stop(Step& step, const Cause& cause, After after) {
  const bool was_up = state_ == State::up;
  disarm(step);
  after_ = after;
  cause_ = cause;
  anew_ = false;
  if (std::exchange(gate_, false)) {  // nothing of it has begun
    due_.reset();
    return settle(step);
  }
  tick_.reset();
  due_.reset();
  alive_by_.reset();
  following_ = renewing_ = laddered_ = false;
  enter(step, State::stopping, cause);
  if (errand_run_ != RunId::none) {
    step.emit(fx::Stop{errand_run_, static_cast<std::uint32_t>(After::rest), true});
    if (run_ == RunId::none) return;  // the errand was before_start; its end settles
    drop_errand(step);
  }
  const Command* before = after == After::respawn ? hook(&HooksSpec::before_restart) : nullptr;
  if (before == nullptr) before = hook(&HooksSpec::before_stop);
  if (was_up && before != nullptr)
    return spawn_errand(step, Purpose::before_stop, *before, spec_->stop_timeout);
  continue_stop(step);
}

void Watch::continue_stop(Step& step) {
  const RareSpec* rare = spec_->rare.get();
  if (rare != nullptr && rare->restart && after_ == After::respawn && ready_ && !outdated()) {
    renewing_ = true;
    amend(step);
    return spawn_errand(step, Purpose::restart, *rare->restart, spec_->start_timeout);
  }
  if (rare == nullptr || !rare->stop || pid_ == 0) return ladder(step);
  amend(step);
  due_ = step.now.time + spec_->stop_timeout;
  spawn_errand(step, Purpose::stop, *rare->stop, spec_->stop_timeout);
}

void Watch::ladder(Step& step) {
  due_.reset();
  tick_.reset();
  renewing_ = following_ = false;
  laddered_ = true;
  // A daemon that has not been found yet is looked for once more: with `kill: process` it is all
  // there is to end.
  if (pid_ == 0 && !spec_->process.pid_file.empty()) follow(step);
  step.emit(fx::Stop{run_, static_cast<std::uint32_t>(after_), false});
}

void Watch::on_start_failed(Step& step, const ev::StartFailed& news) {
  if (news.run == run_ && adopting_) return not_taken_over(step, news.text);
  const std::string what =
      news.text.empty() ? std::generic_category().message(news.error) : news.text;
  std::string how = news.step.empty() ? what : fmt::format("{}: {}", news.step, what);
  if (news.run == run_ && news.step == "exec")
    how = fmt::format("exec {}: {}", spec_->process.start.argv.front(), what);
  bury(step, news.run);
  if (news.run == errand_run_) return errand_ended(step, false, how);
  if (std::erase_if(loose_, [&](const auto& loose) { return loose.first == news.run; }) > 0) return;
  if (news.run != run_) return;
  ended_ = std::exchange(run_, RunId::none);
  pid_ = 0;
  dirty_ = true;
  drop_errand(step);  // a stop command that came before exec was given up
  launch_failed_ = !std::exchange(launched_once_, true);
  failed_start_ = true;
  failure_ = how;
  if (state_ == State::stopping || state_ == State::stuck) return settle(step);
  after_ = After::fail;
  settle(step);
}

void Watch::note_exit(const Step& step, const ExitStatus& status) {
  last_exit_ = LastExit{};
  last_exit_->wall_ms = step.now.wall_ms;
  if (status.how == ExitStatus::How::code) last_exit_->code = status.value;
  if (status.how == ExitStatus::How::signal) last_exit_->signal = signal_name(status.value);
}

void Watch::on_exited(Step& step, const ev::Exited& news) {
  if (news.run != run_) return;
  note_exit(step, news.status);
  pid_ = 0;
  dirty_ = dirty_ || news.left > 0;  // else Gone is the next news, and knows more
  if (state_ == State::stopping || state_ == State::stuck) return;

  const bool well = news.status.how == ExitStatus::How::code && news.status.value == 0;
  const bool daemon = !spec_->process.pid_file.empty();
  failure_ = describe(news.status);
  if (daemon && news.left > 0 && (state_ == State::up || well)) {
    following_ = true;
    if (state_ == State::up) due_ = step.now.time + kFollowTime;
    tick_ = step.now.time;
    return;
  }
  const bool brief = task() != nullptr;
  if (state_ == State::starting && !brief) failure_ += " before it was up";
  failed_start_ = state_ == State::starting && !(brief && well);
  after_ = After::fail;
  for (std::uint32_t i = 0; i < spec_->conditions.size(); ++i)
    if (spec_->conditions[i].kind == ConditionKind::exit && armed_ == run_)
      step.emit(fx::TellEnd{run_, i, news.status});
  due_.reset();
  tick_.reset();
  alive_by_.reset();
  if (news.left > 0) {
    enter(step, State::stopping,
          {"restart", fault_by_, fmt::format("{}; {} left behind", failure_, news.left)});
    // Nobody else sweeps what a daemonising command left.
    if (daemon) ladder(step);
  } else {
    state_ = State::stopping;  // Gone is the next news
    if (daemon) ladder(step);
  }
}

void Watch::on_gone(Step& step, const ev::Gone& news) {
  if (news.run == errand_run_) {
    bury(step, news.run);
    const bool well = news.status.how == ExitStatus::How::code && news.status.value == 0;
    return errand_ended(step, well, describe(news.status));
  }
  if (std::erase_if(loose_, [&](const auto& loose) { return loose.first == news.run; }) > 0)
    return bury(step, news.run);
  if (news.run != run_) return bury(step, news.run);

  if (state_ == State::starting || state_ == State::up) {
    // The end itself was told to a brain that is no more, or the tree ended with its leader.
    on_exited(step, {run_, news.status, 0});
  }
  disarm(step);
  ended_ = std::exchange(run_, RunId::none);
  pid_ = 0;
  dirty_ = true;
  launched_once_ = true;
  due_.reset();
  tick_.reset();
  alive_by_.reset();
  drop_errand(step);  // it lived in the tree that is gone
  const Command* after = after_ == After::fail ? nullptr : hook(&HooksSpec::after_stop);
  if (after != nullptr)
    spawn_errand(step, Purpose::after_stop, *after, spec_->stop_timeout);
  else
    settle(step);
  bury(step, ended_);
}

void Watch::on_stuck(Step& step, const ev::Stuck& news) {
  if (news.run != run_) return;
  const bool first = state_ != State::stuck;
  failure_ = fmt::format("{} process{} cannot be killed, for one {}", news.left,
                         news.left == 1 ? "" : "es", news.pid);
  if (first) enter(step, State::stuck, {"stop", cause_.by, failure_});
}

void Watch::follow(Step& step) {
  step.emit(fx::Follow{run_, spec_->process.pid_file,
                       std::shared_ptr<const ProcessSpec>(spec_, &spec_->process)});
}

void Watch::bury(Step& step, RunId run) { step.emit(fx::Forget{run}); }

void Watch::settle(Step& step) {
  switch (after_) {
    case After::rest:
      due_.reset();
      enter(step, State::stopped, cause_);
      return arm(step);
    case After::respawn:
      if (closing_) return enter(step, State::stopped, cause_);
      replaces_ = true;
      return begin_start(step, cause_);
    case After::remove:
      removed_ = true;
      return enter(step, State::stopped, cause_);
    case After::fail:
      return fail(step);
  }
}

void Watch::fail(Step& step) {
  const Cause cause{"restart", fault_by_, failure_};
  due_.reset();
  if (task() != nullptr && !closing_ && monitored_ && wanted_) return task_ended(step, cause);
  if (closing_ || !wanted_ || !monitored_)
    return enter(step, State::stopped, {"", cause.by, failure_});
  if (out_) due_ = std::exchange(retry_due_, std::nullopt);
  const bool flapping = std::exchange(out_, false) || flaps(step);
  if (!flapping && !spec_->keepalive) {
    enter(step, failed_start_ ? State::failed : State::exited, {"", cause.by, failure_});
    const auto verdict = std::exchange(end_verdict_, std::nullopt);
    if (verdict && !hold_)
      act(step, *verdict, spec_->conditions[*verdict].action,
          fmt::format("{}: {}", spec_->conditions[*verdict].name, trials_.reason(*verdict)));
    if (run_ != RunId::none || state_ == State::starting) return;  // it said: start again
    return arm(step);
  }
  const auto lived = step.now.time - started_.time;
  if (!failed_start_ && lived >= spec_->backoff.reset_after) failures_ = 0;
  if (flapping) {
    const std::string why =
        fmt::format("flapping, {}: {}", due_ ? "will be tried again" : "given up", failure_);
    last_change_ = LastChange{step.now.wall_ms, "stop", "flapping", why};
    flapped_ = true;
    enter(step, State::failed, {"", "flapping", why});
    return tell_flapping(step, why);
  }
  const Duration delay = back_off(step);
  if (delay < Duration(1)) return next_try(step, cause);
  set_due(step.now, delay);
  enter(step, State::backoff, {"", cause.by, failure_});
}

/// How long to wait before the next try; counts this failure.
Duration Watch::back_off(Step& step) {
  const BackoffSpec& backoff = spec_->backoff;
  double delay = 0;
  if (failures_ > 0) {
    delay = static_cast<double>(backoff.initial.count()) *
            std::pow(backoff.factor, static_cast<double>(std::min(failures_ - 1, 64U)));
    delay = std::min(delay, static_cast<double>(backoff.max.count()));
    delay *= 1.0 + backoff.jitter / 100.0 * (2.0 * step.random.unit() - 1.0);
  }
  ++failures_;
  return Duration(static_cast<std::int64_t>(delay));
}

/// A task's command has ended: repeated while it fails and may be, else back to its conditions.
void Watch::task_ended(Step& step, const Cause& cause) {
  const bool well = !failed_start_ && last_exit_ && last_exit_->code == 0 &&
                    std::string_view(fault_by_) == "exit";
  if (well || failures_ >= task()->retry) {
    order(false, {"", "exit", failure_});
    failures_ = 0;
    if (well) failure_.clear();
    enter(step, well ? State::exited : State::failed, {"", cause.by, failure_});
    return arm(step);
  }
  const Duration delay = std::max(back_off(step), Duration(1));
  set_due(step.now, delay);
  enter(step, State::backoff, {"", cause.by, failure_});
}

void Watch::next_try(Step& step, const Cause& cause) {
  replaces_ = true;
  begin_start(step, cause);
}

/// Counts one fault; true when that was one too many. Then `due_` says when it is tried again.
bool Watch::flaps(Step& step) {
  if (!spec_->rare || !spec_->rare->flapping) return false;
  const FlappingSpec& flapping = *spec_->rare->flapping;
  falls_.push_back(step.now.time);
  if (falls_.size() > flapping.times) falls_.erase(falls_.begin());
  if (falls_.size() < flapping.times || falls_.back() - falls_.front() >= flapping.within)
    return false;
  falls_.clear();
  if (flapping.retry_in.count() == 0) return true;
  retries_.push_back(step.now.time);
  if (flapping.retry_times > 0) {
    if (retries_.size() > flapping.retry_times) retries_.erase(retries_.begin());
    if (retries_.size() == flapping.retry_times &&
        retries_.back() - retries_.front() < flapping.retry_within)
      return true;
  }
  set_due(step.now, flapping.retry_in);
  return true;
}

void Watch::set_due(Moment now, Duration delay) {
  due_ = now.time + delay;
  due_after_ms_ = delay.count();
  since_wall_ms_ = now.wall_ms;
}

}  // namespace supv
