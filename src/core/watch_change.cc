// The part of a watch that keeps timelines: what consul_kv saw, under which value a run was
// started, and what is to be done about the difference.
#include <fmt/format.h>

#include <algorithm>

#include "core/watch.h"

namespace supv {

void Watch::make_trials() {
  trials_ = Trials(*spec_, salt_);
  changes_.clear();
  changes_.resize(spec_->conditions.size());
  for (std::size_t i = 0; i < spec_->conditions.size(); ++i)
    if (spec_->conditions[i].kind == ConditionKind::change)
      changes_[i] = std::make_unique<ChangeTrial>(spec_->conditions[i], salt_);
}

/// Its baseline belongs to no run: it is the value that was last told of, or last acted on.
bool Watch::lasting(const ConditionSpec& condition) const {
  return condition.action == Action::notify || task() != nullptr;
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
    if (task() != nullptr) continue;
    const Timeline& timeline = changes_[i]->timeline();
    memo.baselines.push_back(
        {condition_key(spec_->conditions[i]), timeline.baseline(), timeline.assumed()});
  }
  return memo;
}

void Watch::amend(Step& step) {
  if (run_ != RunId::none) step.emit(fx::Amend{run_, encode(memo(Purpose::main)), spec_->ladder});
}

void Watch::begin_changes(std::optional<Action> only, std::uint8_t phases) {
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    const ConditionSpec& condition = spec_->conditions[i];
    if (!changes_[i] || lasting(condition)) continue;
    if ((only && condition.action != *only) || (condition.phases & phases) == 0) continue;
    // Before the first answer of this life the newest thing known is what an earlier one wrote.
    const bool assumed = !changes_[i]->checked_wall_ms();
    const bool blank = assumed && condition.kv->missed == KvSpec::Missed::ignore;
    changes_[i]->begin(blank ? Sample{} : changes_[i]->latest(), assumed);
  }
}

void Watch::judge_changes(Step& step) {
  for (std::uint32_t i = 0; i < changes_.size(); ++i) {
    if (!changes_[i]) continue;
    const ConditionSpec& condition = spec_->conditions[i];
    const bool idle = (condition.phases & phase::kRest) != 0;
    if (!idle && !may_act(step.now)) continue;
    if (idle && (!resting() || !monitored_ || hold_ || closing_)) continue;
    const auto ready = changes_[i]->ready();
    if (!ready || ready->at > step.now.time) continue;
    changes_[i]->acted(step.now.time);
    const std::string reason = fmt::format("{} {}", condition.name, changes_[i]->report().reason);
    if (lasting(condition)) changes_[i]->rebase();
    samples_dirty_ = true;
    act(step, i, condition.action, reason);
  }
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
    const bool told = lasting(spec_->conditions[i]);
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
    if (lasting(spec_->conditions[i])) changes_[i]->begin(sample, false);
  }
}

}  // namespace supv
