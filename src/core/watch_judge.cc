// The part of a watch that listens to its conditions and acts on them.
#include <fmt/format.h>

#include <algorithm>

#include "core/watch.h"

namespace supv {
namespace {

/// The next multiple of `interval`: watches with equal intervals share their wake-ups.
Time next_beat(Time now, Duration interval) {
  const auto step = std::chrono::nanoseconds(interval).count();
  return Time(std::chrono::nanoseconds((now.time_since_epoch().count() / step + 1) * step));
}

bool belongs_to_rest(const ConditionSpec& condition) { return condition.action == Action::start; }

}  // namespace

void Watch::make_trials() {
  asked_.clear();
  changes_.clear();
  asked_.resize(spec_->conditions.size());
  changes_.resize(spec_->conditions.size());
  for (std::size_t i = 0; i < spec_->conditions.size(); ++i) {
    const ConditionSpec& condition = spec_->conditions[i];
    if (condition.kind == ConditionKind::change)
      changes_[i] = std::make_unique<ChangeTrial>(condition, salt_);
    else
      asked_[i].emplace(Asked{Trial(condition.times), Verdict::unknown, false, false, {}, "", {}});
  }
}

ChangeTrial* Watch::change(std::uint32_t condition) {
  return condition < changes_.size() ? changes_[condition].get() : nullptr;
}

Memo Watch::memo(Purpose purpose) const {
  Memo memo;
  memo.watch = spec_->name;
  memo.purpose = purpose;
  memo.after = after_;
  memo.ready = ready_;
  memo.failures = failures_;
  memo.restarts = static_cast<std::uint32_t>(restarts_);
  memo.process = running_as_;
  if (purpose != Purpose::main) return memo;
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    if (!changes_[i] || !changes_[i]->timeline().has_baseline()) continue;
    const Timeline& timeline = changes_[i]->timeline();
    memo.baselines.push_back(
        {condition_key(spec_->conditions[i]), timeline.baseline(), timeline.assumed()});
  }
  return memo;
}

void Watch::amend(Step& step) {
  if (run_ != RunId::none) step.emit(fx::Amend{run_, encode(memo(Purpose::main)), spec_->ladder});
}

void Watch::begin_changes(Step&, std::optional<Action> only) {
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    const ConditionSpec& condition = spec_->conditions[i];
    if (!changes_[i] || condition.action == Action::notify) continue;
    if (only && condition.action != *only) continue;
    // Before the first answer of this life the newest thing known is what an earlier one wrote.
    const bool assumed = !changes_[i]->checked_wall_ms();
    const bool blank = assumed && condition.kv->missed == KvSpec::Missed::ignore;
    changes_[i]->begin(blank ? Sample{} : changes_[i]->latest(), assumed);
  }
}

void Watch::arm(Step& step) {
  disarm(step);
  bool any = false;
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    const ConditionSpec& condition = spec_->conditions[i];
    if (!asked_[i] || belongs_to_rest(condition)) continue;
    asked_[i].emplace(Asked{Trial(condition.times),
                            Verdict::unknown,
                            false,
                            false,
                            next_beat(step.now.time, condition.interval),
                            "",
                            {}});
    any = true;
  }
  if (any) step.emit(fx::Arm{run_, spec_->name, spec_});
  armed_ = any ? run_ : RunId::none;
}

/// Down, and not by an operator's word: what start_if is for.
bool Watch::resting() const {
  return state_ == State::exited || state_ == State::failed ||
         (state_ == State::stopped && by_condition_);
}

void Watch::arm_idle(Step& step) {
  if (closing_ || !monitored_ || !resting()) return;
  begin_changes(step, Action::start);
  bool any = false;
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    const ConditionSpec& condition = spec_->conditions[i];
    if (!asked_[i] || !belongs_to_rest(condition) || condition.kind == ConditionKind::exit)
      continue;
    asked_[i].emplace(Asked{Trial(condition.times),
                            Verdict::unknown,
                            false,
                            false,
                            next_beat(step.now.time, condition.interval),
                            "",
                            {}});
    any = true;
  }
  if (!any) return;
  armed_ = step.ids.make_idle(number_);
  step.emit(fx::Arm{armed_, spec_->name, spec_});
}

void Watch::disarm(Step& step) {
  if (armed_ == RunId::none) return;
  step.emit(fx::Disarm{armed_});
  if (armed_ != run_) step.ids.release(armed_);
  armed_ = RunId::none;
  for (auto& asked : asked_)
    if (asked) asked->pending = asked->holds = false;
}

void Watch::poll(Step& step) {
  if (armed_ == RunId::none || (state_ == State::up && step.now.time < grace_until_)) return;
  for (std::uint32_t i = 0; i < asked_.size(); ++i) {
    const ConditionSpec& condition = spec_->conditions[i];
    if (!asked_[i] || condition.kind != ConditionKind::poll) continue;
    if (belongs_to_rest(condition) != (state_ != State::up)) continue;
    Asked& asked = *asked_[i];
    if (asked.pending || asked.next > step.now.time) continue;
    asked.pending = true;
    asked.next = next_beat(step.now.time, condition.interval);
    step.emit(fx::Poll{armed_, i});
  }
}

void Watch::on_judged(Step& step, const ev::Judged& news) {
  if (news.condition >= asked_.size() || !asked_[news.condition]) return;
  const ConditionSpec& condition = spec_->conditions[news.condition];
  const bool of_end = condition.kind == ConditionKind::exit && news.run == ended_;
  if (news.run != armed_ && !of_end) return;
  Asked& asked = *asked_[news.condition];
  asked.pending = false;
  asked.verdict = news.verdict;
  asked.reason = news.reason;
  asked.checked = step.now.wall_ms;
  asked.holds = asked.trial.record(news.verdict) && news.verdict == Verdict::yes;
  if (!asked.holds || !monitored_ || hold_ || closing_) return;
  if (!of_end && state_ == State::up && step.now.time < grace_until_) return;
  if (errand_run_ != RunId::none) return;  // it is judged again at the next beat
  act(step, condition, fmt::format("{}: {}", condition.name, news.reason));
}

bool Watch::may_act(Moment now) const {
  return monitored_ && !hold_ && !closing_ && state_ == State::up && now.time >= grace_until_ &&
         errand_run_ == RunId::none;
}

void Watch::judge_changes(Step& step) {
  for (std::uint32_t i = 0; i < changes_.size(); ++i) {
    if (!changes_[i]) continue;
    const ConditionSpec& condition = spec_->conditions[i];
    const bool idle = belongs_to_rest(condition);
    if (!idle && !may_act(step.now)) continue;
    if (idle && (!resting() || !monitored_ || hold_ || closing_)) continue;
    const auto ready = changes_[i]->ready();
    if (!ready || ready->at > step.now.time) continue;
    changes_[i]->acted(step.now.time);
    const std::string reason = fmt::format("{} {}", condition.name, changes_[i]->report().reason);
    if (condition.action == Action::notify) changes_[i]->rebase();
    samples_dirty_ = true;
    act(step, condition, reason);
  }
}

void Watch::act(Step& step, const ConditionSpec& condition, const std::string& reason) {
  const bool health = condition.kind == ConditionKind::poll;
  switch (condition.action) {
    case Action::notify:
      asked_clear(condition);
      step.emit(fx::Note{spec_->name, NoteKind::condition, shown_state(), shown_state(), "notify",
                         "condition", reason, pid_});
      return;
    case Action::reload: {
      std::string why;
      if (!reload(step, {"reload", "condition", reason}, why))
        step.emit(fx::Note{spec_->name, NoteKind::warning, shown_state(), shown_state(), "reload",
                           "condition", reason + "; cannot reload: " + why, pid_});
      asked_clear(condition);
      return;
    }
    case Action::start:
      if (run_ == RunId::none) start(step, {"start", "condition", reason});
      return;
    case Action::stop:
      if (state_ == State::up) stop(step, {"stop", "condition", reason});
      return;
    case Action::restart:
      if (condition.kind == ConditionKind::exit) {
        if (run_ == RunId::none && state_ == State::exited)
          start(step, {"restart", "condition", reason});
        return;
      }
      if (state_ != State::up) return;
      if (health && flaps(step)) {
        out_ = true;
        const auto retry = due_;
        begin_stop(step, {"stop", "flapping", reason}, After::fail);
        retry_due_ = retry;
        failure_ = reason;
        return;
      }
      restart(step, {"restart", "condition", reason});
      return;
  }
}

void Watch::asked_clear(const ConditionSpec& condition) {
  const auto index = static_cast<std::size_t>(&condition - spec_->conditions.data());
  if (asked_[index]) asked_[index]->trial.clear();
}

void Watch::on_sample(Step& step, std::uint32_t condition, const Sample& sample) {
  ChangeTrial* trial = change(condition);
  if (trial == nullptr) return;
  const KvSpec& kv = *spec_->conditions[condition].kv;
  const bool first = !trial->checked_wall_ms();
  const bool was = trial->changed();
  const Sample before = trial->latest();
  const bool recorded = trial->see(step.now, sample);
  samples_dirty_ = samples_dirty_ || !before.same_as(trial->latest());
  dirty_ = dirty_ || samples_dirty_;
  bool rebased = false;
  if (first && missed_ && trial->changed() && kv.missed != KvSpec::Missed::act) {
    if (kv.missed == KvSpec::Missed::notify)
      step.emit(fx::Note{spec_->name, NoteKind::condition, shown_state(), shown_state(), "notify",
                         "condition",
                         fmt::format("{} while supvd was away", trial->report().reason), pid_});
    trial->rebase();
    rebased = true;
  }
  if (recorded || rebased) amend(step);
  if (was != trial->changed() && was)
    step.emit(fx::Note{spec_->name, NoteKind::condition, shown_state(), shown_state(), "", "",
                       fmt::format("{} is what it was; nothing to do", kv.path), pid_});
  // Before it is acted on: a brain that dies in the middle must not start the next run under the
  // value before.
  for (Memory& memory : take_samples())
    step.emit(fx::Remember{std::move(memory.key), std::move(memory.text), true, false});
  judge_changes(step);
}

void Watch::on_trouble(std::uint32_t condition, const std::string& why) {
  if (ChangeTrial* trial = change(condition)) trial->trouble(why);
}

std::vector<Memory> Watch::take_samples() {
  return std::exchange(samples_dirty_, false) ? all_samples() : std::vector<Memory>();
}

std::string Watch::sample_key(const std::string& watch, std::uint32_t condition_key) {
  return fmt::format("kv/{}/{:08x}", watch, condition_key);
}

std::vector<Memory> Watch::all_samples() const {
  std::vector<Memory> all;
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    if (!changes_[i]) continue;
    // A notify_if has no run to belong to: its baseline is the value it last told of.
    const bool told = spec_->conditions[i].action == Action::notify;
    const Timeline& timeline = changes_[i]->timeline();
    const Sample& sample =
        told && timeline.has_baseline() ? timeline.baseline() : changes_[i]->latest();
    if (sample.kind == Sample::Kind::none) continue;
    all.push_back({sample_key(spec_->name, condition_key(spec_->conditions[i])),
                   fmt::format("{} {} {} {}", static_cast<int>(sample.kind), sample.index,
                               to_hex(sample.digest), sample.wall_ms)});
  }
  return all;
}

void Watch::restore_sample(std::uint32_t key, const Sample& sample) {
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    if (!changes_[i] || condition_key(spec_->conditions[i]) != key) continue;
    changes_[i]->recall(sample);
    if (spec_->conditions[i].action == Action::notify) changes_[i]->begin(sample, false);
  }
}

}  // namespace supv
