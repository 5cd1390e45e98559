// The way of a watch from a decision to `up`.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/watch.h"

namespace supv {
namespace {

using namespace std::chrono_literals;

constexpr Duration kAlive = 1s;  ///< Without `ready`: up when still alive after this.

}  // namespace

const Command* Watch::hook(std::optional<Command> HooksSpec::*which) const {
  if (!spec_->rare || !(spec_->rare->hooks.*which)) return nullptr;
  return &*(spec_->rare->hooks.*which);
}

void Watch::enter(Step& step, State state, const Cause& cause) {
  const std::string before = shown_state();
  state_ = state;
  since_wall_ms_ = step.now.wall_ms;
  dirty_ = true;
  // A run exists in these states and only in them, but for a hook that goes before it.
  SUPV_CHECK((state != State::stopped && state != State::backoff && state != State::failed &&
              state != State::exited) ||
             run_ == RunId::none);
  const bool told = state == State::starting || state == State::stopping ||
                    (state == State::stopped && !cause.action.empty());
  if (told && cause.by != "supvd")
    last_change_ = LastChange{step.now.wall_ms, cause.action, cause.by, cause.reason};
  step.emit(fx::Note{spec_->name, NoteKind::change, before, shown_state(), cause.action, cause.by,
                     cause.reason, pid_});
  tell_state(step, cause);
  keep_steady(step);
}

void Watch::begin_start(Step& step, const Cause& cause) {
  disarm(step);
  cause_ = cause;
  failed_start_ = flapped_ = false;
  ready_ = false;
  stay_ = false;
  load_waits_ = false;
  fault_by_ = "exit";
  due_ = step.now.time + spec_->start_timeout;
  enter(step, State::starting, cause);
  anew_ = anew_ || !replaces_;
  if (cause.by == "operator") reason_.reset();
  if (task() != nullptr && cause.by == "condition") reason_ = cause.reason;
  if (anew_ && gated()) {
    gate_ = true;
    due_.reset();
    launched_once_ = true;  // nobody waits for what may never be true
    return arm(step);
  }
  go_on_with_start(step);
}

void Watch::go_on_with_start(Step& step) {
  disarm(step);
  gate_ = false;
  due_ = step.now.time + spec_->start_timeout;
  if (std::exchange(anew_, false) && take_over_other(step)) return;
  begin_run(step);
}

void Watch::begin_run(Step& step) {
  if (const Command* before = hook(&HooksSpec::before_start))
    return spawn_errand(step, Purpose::before_start, *before, spec_->start_timeout);
  spawn_main(step);
}

void Watch::spawn_main(Step& step) {
  run_ = step.ids.make(number_);
  after_ = After::fail;
  laddered_ = following_ = renewing_ = adopting_ = false;
  end_verdict_.reset();
  pid_ = 0;
  started_ = step.now;
  tick_.reset();
  running_as_ = fingerprint(spec_->process);
  due_ = step.now.time + spec_->start_timeout;
  if (const auto limit = task_limit()) due_ = step.now.time + *limit;
  if (std::exchange(replaces_, false)) ++restarts_;
  dirty_ = true;  // after a before_start hook this is a turn of its own
  begin_changes(std::nullopt, 0xff);
  keep_steady(step);
  count_start(step);
  fx::Spawn spawn;
  spawn.run = run_;
  spawn.watch = spec_->name;
  spawn.command = spec_->process.start;
  spawn.process = std::shared_ptr<const ProcessSpec>(spec_, &spec_->process);
  spawn.ladder = spec_->ladder;
  spawn.notify = spec_->ready.kind == ReadySpec::Kind::notify || spec_->watchdog.count() > 0;
  spawn.watchdog = spec_->watchdog;
  spawn.memo = encode(memo(Purpose::main));
  if (spec_->rare) {
    if (spec_->rare->clean_pid_file) spawn.stale_pid_file = spec_->process.pid_file;
    if (spec_->rare->clean_unix_socket) spawn.stale_socket = spec_->rare->unix_socket;
    if (task() != nullptr && reason_) spawn.env = {{"SUPV_REASON", *reason_}};
  }
  step.emit(std::move(spawn));
}

void Watch::on_launched(Step& step, const ev::Launched& news) {
  if (news.run != run_) return;
  pid_ = news.pid;
  started_ = news.started;
  launched_once_ = true;
  if (state_ != State::starting) return;
  if (adopting_) return taken_over(step);
  arm(step);
  await_ready(step, started_.time);
}

void Watch::await_ready(Step& step, Time since) {
  switch (spec_->ready.kind) {
    case ReadySpec::Kind::alive:
      tick_ = since + kAlive;
      return;
    case ReadySpec::Kind::after:
      tick_ = since + spec_->ready.after;
      return;
    case ReadySpec::Kind::notify:
    case ReadySpec::Kind::condition:
      tick_.reset();
      return;
    case ReadySpec::Kind::tcp:
    case ReadySpec::Kind::file:
      tick_ = step.now.time;
      return;
  }
}

void Watch::on_ready(Step& step, RunId run) {
  // A run that has its socket for the watchdog alone may speak too early.
  const ReadySpec::Kind kind = spec_->ready.kind;
  const bool asked = kind == ReadySpec::Kind::notify || kind == ReadySpec::Kind::tcp ||
                     kind == ReadySpec::Kind::file;
  if (asked && run == run_ && state_ == State::starting && !following_) become_up(step);
}

void Watch::become_up(Step& step) {
  const bool again = cause_.action == "restart";
  ready_ = true;
  renewing_ = false;
  after_ = After::fail;  // a renewed run was to be followed by another one
  failure_.clear();
  tick_.reset();
  due_.reset();
  if (const auto limit = task_limit()) due_ = started_.time + *limit;
  enter(step, State::up, {"", "", ""});
  const Duration extra = again ? spec_->restart_grace : spec_->start_grace;
  grace_until_ = step.now.time + spec_->grace + extra;
  if (spec_->watchdog.count() > 0) alive_by_ = step.now.time + spec_->watchdog;
  amend(step);
  const Command* after = again ? hook(&HooksSpec::after_restart) : nullptr;
  if (after == nullptr) after = hook(&HooksSpec::after_start);
  if (after != nullptr) spawn_loose(step, *after);
  arm(step);
}

void Watch::on_alive(Step& step, const ev::Alive& news) {
  if (news.run != run_ || !alive_by_) return;
  if (news.trigger) return end_by_fault(step, "watchdog", "it asked to be restarted");
  alive_by_ = step.now.time + spec_->watchdog;
}

void Watch::on_followed(Step& step, const ev::Followed& news) {
  if (news.run != run_ || (!following_ && !renewing_)) return;
  pid_ = news.pid;
  following_ = false;
  tick_.reset();
  dirty_ = true;
  if (renewing_) return renewed(step);
  if (state_ == State::up) {
    due_.reset();
    step.emit(fx::Note{spec_->name, NoteKind::change, "up", "up", "", "",
                       "the pid file names its successor; followed", pid_});
    return;
  }
  if (state_ != State::starting) return;
  if (spec_->ready.kind == ReadySpec::Kind::alive) return become_up(step);
  await_ready(step, step.now.time);
}

/// The `restart` command has done it, unless the run is to end by now.
void Watch::renewed(Step& step) {
  if (after_ != After::respawn) return ladder(step);
  ++restarts_;
  begin_changes(std::nullopt, 0xff);
  become_up(step);
}

void Watch::on_not_followed(Step& step, const ev::NotFollowed& news) {
  if (news.run != run_) return;
  if (renewing_ && pid_ == 0) return;  // looked for again until `due_`
  // No new main process: the one that was told to restart is still there.
  if (renewing_) return renewed(step);
  if (following_ && news.pid != 0)
    failure_ = fmt::format("pid file {} names {}, which is not of this run; left alone",
                           spec_->process.pid_file.text(), news.pid);
}

}  // namespace supv
