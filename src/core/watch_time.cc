// What a watch does when a deadline comes.
#include <fmt/format.h>

#include <algorithm>

#include "core/watch.h"

namespace supv {
namespace {

using namespace std::chrono_literals;

constexpr Duration kProbe = 100ms;  ///< Between two looks at tcp or file readiness.
constexpr Duration kFollow = 50ms;  ///< Between two looks at a pid file.

}  // namespace

void Watch::end_by_fault(Step& step, const char* by, const std::string& why) {
  failure_ = why;
  fault_by_ = by;
  failed_start_ = state_ == State::starting;
  begin_stop(step, {"restart", by, why}, After::fail);
}

void Watch::on_tick(Step& step) {
  tick_.reset();
  if (following_) {
    follow(step);
    tick_ = step.now.time + kFollow;
    return;
  }
  if (state_ != State::starting) return;
  switch (spec_->ready.kind) {
    case ReadySpec::Kind::alive:
    case ReadySpec::Kind::after:
      return become_up(step);
    case ReadySpec::Kind::notify:
    case ReadySpec::Kind::condition:
      return;
    case ReadySpec::Kind::tcp:
    case ReadySpec::Kind::file:
      step.emit(fx::Probe{run_, spec_->ready, spec_->process.dir});
      tick_ = step.now.time + kProbe;
      return;
  }
}

const TaskSpec* Watch::task() const {
  return spec_->rare && spec_->rare->task ? &*spec_->rare->task : nullptr;
}

std::optional<Duration> Watch::task_limit() const {
  if (task() == nullptr || task()->timeout.count() == 0) return std::nullopt;
  return task()->timeout;
}

void Watch::end_late_task(Step& step) {
  end_by_fault(step, "watchdog", fmt::format("not done within {}", format_duration(*task_limit())));
}

void Watch::on_due(Step& step) {
  due_.reset();
  switch (state_) {
    case State::starting: {
      if (task_limit()) return end_late_task(step);
      std::string why = fmt::format("not up within {}", format_duration(spec_->start_timeout));
      if (following_)
        why += failure_.starts_with("pid file")
                   ? "; " + failure_
                   : fmt::format("; pid file {} names no process", spec_->process.pid_file.text());
      return end_by_fault(step, "exit", why);
    }
    case State::up:
      if (task() != nullptr) return end_late_task(step);
      // the daemon ended and its pid file names no successor
      return end_by_fault(step, "exit", failure_);
    case State::stopping:  // the stop command was not enough
      if (!laddered_) ladder(step);
      return;
    case State::backoff:
    case State::failed:
      return next_try(step, {"restart", state_ == State::failed ? "flapping" : "exit", failure_});
    case State::stopped:
    case State::exited:
    case State::stuck:
      return;
  }
}

void Watch::on_deadline(Step& step) {
  const Time now = step.now.time;
  if (hold_until_ && *hold_until_ <= now) release(step);
  if (errand_due_ && *errand_due_ <= now) {
    errand_due_.reset();
    step.emit(fx::Stop{errand_run_, static_cast<std::uint32_t>(After::rest), true});
  }
  for (auto& [run, due] : loose_) {
    if (due > now) continue;
    step.emit(fx::Stop{run, static_cast<std::uint32_t>(After::rest), true});
    due = now + 60s;
  }
  if (alive_by_ && *alive_by_ <= now) {
    alive_by_.reset();
    if (state_ == State::up)
      end_by_fault(step, "watchdog",
                   fmt::format("no keep-alive for {}", format_duration(spec_->watchdog)));
  }
  if (tick_ && *tick_ <= now) on_tick(step);
  if (due_ && *due_ <= now) on_due(step);
  poll(step);
  for (const std::uint32_t i : trials_.take_splayed(now)) decide(step, i, false);
  judge_changes(step);
}

}  // namespace supv
