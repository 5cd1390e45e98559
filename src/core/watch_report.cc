// What a watch says about itself.
#include <fmt/format.h>

#include <algorithm>

#include "core/watch.h"

namespace supv {

std::string Watch::shown_state() const {
  if (!monitored_) return "unmonitored";
  switch (state_) {
    case State::stopped:
      return "stopped";
    case State::starting:
      return "starting";
    case State::up:
      return "up";
    case State::stopping: {
      const bool again = after_ == After::respawn || (after_ == After::fail && wanted_ && !out_ &&
                                                      spec_->keepalive && !closing_);
      return again ? "restarting" : "stopping";
    }
    case State::backoff:
      return "backoff";
    case State::failed:
      return "failed";
    case State::exited:
      return "exited";
    case State::stuck:
      return "stuck";
  }
  return "";
}

std::optional<int> Watch::verdict_of_essential() const {
  if (!spec_->essential || !wanted_ || !monitored_ || run_ != RunId::none) return std::nullopt;
  if (state_ != State::exited && !(state_ == State::failed && !due_)) return std::nullopt;
  if (!last_exit_ || failed_start_) return 1;
  if (last_exit_->code) return *last_exit_->code;
  return 128 + parse_signal(last_exit_->signal).value_or(0);
}

Duration Watch::expected(bool with_stop) const {
  Duration all = spec_->start_timeout;
  if (with_stop) {
    for (const LadderStep& step : spec_->ladder) all += step.wait;
    if (spec_->rare && spec_->rare->stop) all += spec_->stop_timeout;
  }
  return all + (state_ == State::backoff ? spec_->backoff.max : Duration(0));
}

std::optional<Time> Watch::deadline() const {
  std::optional<Time> first;
  const auto take = [&](std::optional<Time> time) {
    if (time && (!first || *time < *first)) first = time;
  };
  take(due_);
  take(tick_);
  take(errand_due_);
  take(alive_by_);
  take(hold_until_);
  for (const auto& [run, due] : loose_) take(due);
  const bool up = state_ == State::up;
  const auto take_beat = [&](std::optional<Time> beat) {
    if (beat) take(up ? std::max(*beat, grace_until_) : *beat);
  };
  if (armed_ != RunId::none) take_beat(trials_.next(phase()));
  if (steady_ != RunId::none) take_beat(trials_.next(phase::kAlways));
  take(trials_.next_splay());
  if (up && monitored_ && !hold_ && !closing_ && errand_run_ == RunId::none)
    for (std::size_t i = 0; i < changes_.size(); ++i) {
      if (!changes_[i] || (spec_->conditions[i].phases & phase::kRest) != 0) continue;
      if (const auto ready = changes_[i]->ready()) take(std::max(ready->at, grace_until_));
    }
  if (resting() && monitored_ && !hold_ && !closing_)
    for (std::size_t i = 0; i < changes_.size(); ++i) {
      if (!changes_[i] || (spec_->conditions[i].phases & phase::kRest) == 0) continue;
      if (const auto ready = changes_[i]->ready()) take(ready->at);
    }
  return first;
}

std::optional<PendingReport> Watch::pending(Moment now) const {
  const auto wall = [&](Time time) {
    return now.wall_ms + std::chrono::duration_cast<Duration>(time - now.time).count();
  };
  if (state_ == State::backoff && due_)
    return PendingReport{"restart", failure_, "backoff", wall(*due_)};
  if (state_ == State::failed && due_)
    return PendingReport{"restart", "flapping: " + failure_, "backoff", wall(*due_)};
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    const ConditionSpec& condition = spec_->conditions[i];
    if (!changes_[i] || !changes_[i]->changed() || run_ == RunId::none) continue;
    if (state_ == State::stopping || !monitored_ || (condition.phases & phase::kRest) != 0)
      continue;
    PendingReport pending{action_name(condition.action),
                          fmt::format("{} {}", condition.name, changes_[i]->report().reason), "",
                          std::nullopt};
    const auto ready = changes_[i]->ready();
    if (hold_) {
      pending.waiting_for = "hold";
      pending.until_wall_ms = hold_->until_wall_ms;
    } else if (state_ == State::starting) {
      pending.waiting_for = "ready";
      if (due_) pending.until_wall_ms = wall(*due_);
    } else if (now.time < grace_until_) {
      pending.waiting_for = "grace";
      pending.until_wall_ms = wall(grace_until_);
    } else {
      pending.waiting_for = ready->waiting_for;
      pending.until_wall_ms = wall(ready->at);
    }
    return pending;
  }
  if (gate_) return PendingReport{"start", "an init condition says not yet", "condition", {}};
  if (const auto waiting = trials_.waiting(); waiting && state_ == State::up && !hold_)
    return PendingReport{action_name(spec_->conditions[*waiting].action), trials_.reason(*waiting),
                         "splay", wall(*trials_.act_at(*waiting))};
  if (outdated() && (stay_ || load_waits_) && state_ != State::stopping)
    return PendingReport{"restart", "the configuration changed", load_waits_ ? "hold" : "a restart",
                         std::nullopt};
  return std::nullopt;
}

std::string Watch::health() const {
  if (state_ != State::up) return state_ == State::failed ? "failing" : "unknown";
  bool unknown = false;
  for (std::uint32_t i = 0; i < spec_->conditions.size(); ++i) {
    const ConditionSpec& condition = spec_->conditions[i];
    const bool judges = (condition.phases & (phase::kUp | phase::kAlways)) != 0;
    if (!judges || condition.parent >= 0 || condition.news) continue;
    if (condition.kind == ConditionKind::change || condition.kind == ConditionKind::exit) continue;
    if (trials_.holds(i) && condition.action != Action::notify) return "failing";
    unknown = unknown || (trials_.checked(i) && trials_.verdict(i) == Verdict::unknown);
  }
  return unknown ? "unknown" : "ok";
}

WatchReport Watch::report(Moment now) const {
  WatchReport report;
  report.name = spec_->name;
  report.groups = spec_->groups;
  report.state = shown_state();
  report.desired = !monitored_ ? "unmonitored" : wanted_ ? "up" : "stopped";
  report.health = health();
  report.run = static_cast<std::uint64_t>(run_);
  report.pid = pid_;
  if (run_ != RunId::none && pid_ != 0) {
    report.started_wall_ms = started_.wall_ms;
    report.uptime_s =
        std::chrono::duration<double>(std::max(now.time - started_.time, Time::duration(0)))
            .count();
  }
  report.restarts = restarts_;
  report.last_exit = last_exit_.copy();
  report.last_change = last_change_.copy();
  report.pending = pending(now);
  report.hold = hold_.copy();
  report.essential = spec_->essential;
  report.task = task() != nullptr;
  report.file = spec_->file;
  report.log = spec_->process.log;
  report.err_log = spec_->process.err_log;
  if (!failure_.empty() && state_ != State::up && state_ != State::starting)
    report.warnings.push_back(failure_);
  if (reload_failed_) report.warnings.push_back("the last reload failed");
  if (state_ == State::up && !spec_->process.pid_file.empty()) {
    const std::string& file = spec_->process.pid_file;
    report.expect_pid_file =
        file.starts_with('/') ? file : fmt::format("{}/{}", spec_->process.dir, file);
  }
  for (std::uint32_t i = 0; i < spec_->conditions.size(); ++i)
    report.conditions.push_back(changes_[i] ? changes_[i]->report() : trials_.report(i));
  return report;
}

}  // namespace supv
