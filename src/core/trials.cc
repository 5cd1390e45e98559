#include "core/trials.h"

#include <algorithm>
#include <utility>

namespace supv {
namespace {

/// The next multiple of `interval`: watches with equal intervals share their wake-ups.
Time next_beat(Time now, Duration interval) {
  const auto step = std::chrono::nanoseconds(interval).count();
  return Time(std::chrono::nanoseconds((now.time_since_epoch().count() / step + 1) * step));
}

bool is_whole(const ConditionSpec& condition) {
  return condition.kind == ConditionKind::all || condition.kind == ConditionKind::any ||
         condition.kind == ConditionKind::none;
}

std::optional<Time> earlier(std::optional<Time> a, Time b) { return a && *a < b ? a : b; }

}  // namespace

Trials::Trials(const WatchSpec& spec, std::uint64_t salt) : spec_(&spec), salt_(salt) {
  entries_.reserve(spec.conditions.size());
  for (const ConditionSpec& one : spec.conditions) entries_.emplace_back(one.times);
}

bool Trials::counts(std::size_t index, std::uint8_t phases) const {
  const ConditionSpec& one = condition(index);
  return one.kind != ConditionKind::change && (one.phases & phases) != 0;
}

std::vector<std::uint32_t> Trials::members(std::uint8_t phases) const {
  std::vector<std::uint32_t> all;
  for (std::uint32_t i = 0; i < entries_.size(); ++i)
    if (counts(i, phases) && !is_whole(condition(i))) all.push_back(i);
  return all;
}

/// god's degrading_lambda: failures make it look closer.
Duration Trials::interval(std::size_t index) const {
  const ConditionSpec& one = condition(index);
  if (!one.degrading) return one.interval;
  return std::max(one.interval / (1 << std::min<int>(entries_[index].streak, 2)), Duration(10));
}

void Trials::begin(Time now, std::uint8_t phases) {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (!counts(i, phases)) continue;
    const bool told = entries_[i].told;
    entries_[i] = Entry(condition(i).times);
    entries_[i].told = told;
    // How a start has gone is looked at when it has begun, not at the next beat.
    const bool early = (phases & (phase::kStarting | phase::kRestarting | phase::kInit)) != 0;
    entries_[i].next = early ? now : next_beat(now, interval(i));
  }
}

void Trials::end(std::uint8_t phases) {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (!counts(i, phases)) continue;
    entries_[i].pending = entries_[i].holds = false;
    entries_[i].act_at.reset();
  }
}

std::vector<std::uint32_t> Trials::take_due(Time now, std::uint8_t phases) {
  std::vector<std::uint32_t> due;
  for (std::uint32_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    if (!counts(i, phases) || condition(i).kind != ConditionKind::poll) continue;
    if (entry.pending || entry.next > now) continue;
    entry.pending = true;
    entry.next = next_beat(now, interval(i));
    due.push_back(i);
  }
  return due;
}

std::optional<Time> Trials::next(std::uint8_t phases) const {
  std::optional<Time> first;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (!counts(i, phases) || condition(i).kind != ConditionKind::poll) continue;
    if (!entries_[i].pending) first = earlier(first, entries_[i].next);
  }
  return first;
}

void Trials::record(Moment now, std::size_t index, Verdict verdict, std::string reason,
                    RareText metrics) {
  Entry& entry = entries_[index];
  entry.verdict = verdict;
  entry.reason = std::move(reason);
  entry.metrics = std::move(metrics);
  entry.checked = now.wall_ms;
  entry.holds = entry.trial.record(verdict) && verdict == Verdict::yes;
  if (!entry.holds) entry.act_at.reset();
  if (verdict == Verdict::unknown) return;
  entry.streak = verdict == Verdict::yes ? static_cast<std::uint8_t>(entry.streak + 1) : 0;
  if (entry.streak > 2) entry.streak = 2;
  if (condition(index).degrading) entry.next = next_beat(now.time, interval(index));
}

/// Whether it, or a part of it at any depth, is still to answer.
bool Trials::awaited(std::size_t index) const {
  if (entries_[index].pending) return true;
  for (std::size_t i = index + 1; i < entries_.size(); ++i)  // parts come after their whole
    if (condition(i).parent == static_cast<std::int16_t>(index) && awaited(i)) return true;
  return false;
}

/// True when the whole has a verdict; while parts are awaited, the last of them will bring it.
bool Trials::combine(Moment now, std::size_t whole) {
  bool yes = false;
  bool no = false;
  bool unknown = false;
  std::string reasons;
  const ConditionKind kind = condition(whole).kind;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (condition(i).parent != static_cast<std::int16_t>(whole)) continue;
    const Entry& part = entries_[i];
    if (awaited(i)) return false;
    const bool open = !part.checked || part.verdict == Verdict::unknown;
    yes = yes || (!open && part.holds);
    no = no || (!open && !part.holds);
    unknown = unknown || open;
    const bool tells = kind == ConditionKind::any ? part.holds : !open;
    if (!tells && !open) continue;
    reasons += (reasons.empty() ? "" : "; ") + condition(i).name;
    reasons += open ? ": unknown" : part.reason.empty() ? "" : ": " + part.reason;
  }
  Verdict verdict = Verdict::no;
  if (kind == ConditionKind::all)
    verdict = no ? Verdict::no : unknown ? Verdict::unknown : Verdict::yes;
  if (kind == ConditionKind::any)
    verdict = yes ? Verdict::yes : unknown ? Verdict::unknown : Verdict::no;
  if (kind == ConditionKind::none)
    verdict = unknown ? Verdict::unknown : yes ? Verdict::no : Verdict::yes;
  record(now, whole, verdict, std::move(reasons), {});
  return true;
}

std::optional<std::uint32_t> Trials::take(Moment now, const ev::Judged& news) {
  entries_[news.condition].pending = false;
  record(now, news.condition, news.verdict, news.reason, news.metrics);
  std::uint32_t decided = news.condition;
  while (condition(decided).parent >= 0) {
    decided = static_cast<std::uint32_t>(condition(decided).parent);
    if (!combine(now, decided)) return std::nullopt;
  }
  return decided;
}

void Trials::clear(std::uint32_t condition) {
  entries_[condition].trial.clear();
  entries_[condition].act_at.reset();
}

Time Trials::may_act_at(std::uint32_t index, Time now) {
  Entry& entry = entries_[index];
  const Duration splay = condition(index).splay;
  if (splay.count() == 0) return now;
  if (!entry.act_at) {
    const std::uint64_t seed = keyed_hash({salt_, index}, condition(index).id).low;
    entry.woken = false;
    entry.act_at =
        now +
        Duration(static_cast<std::int64_t>(seed % (static_cast<std::uint64_t>(splay.count()) + 1)));
  }
  return *entry.act_at;
}

std::vector<std::uint32_t> Trials::take_splayed(Time now) {
  std::vector<std::uint32_t> due;
  for (std::uint32_t i = 0; i < entries_.size(); ++i)
    if (Entry& entry = entries_[i]; entry.holds && entry.act_at && *entry.act_at <= now)
      if (!std::exchange(entry.woken, true)) due.push_back(i);
  return due;
}

std::optional<Time> Trials::next_splay() const {
  std::optional<Time> first;
  for (const Entry& entry : entries_)
    if (entry.holds && entry.act_at && !entry.woken) first = earlier(first, *entry.act_at);
  return first;
}

std::optional<std::uint32_t> Trials::waiting() const {
  for (std::uint32_t i = 0; i < entries_.size(); ++i)
    if (entries_[i].holds && entries_[i].act_at) return i;
  return std::nullopt;
}

void Trials::inherit(const Trials& old, const WatchSpec& before) {
  for (std::size_t i = 0; i < before.conditions.size(); ++i)
    for (std::size_t j = 0; j < entries_.size(); ++j)
      if (old.entries_[i].told && before.conditions[i] == condition(j)) entries_[j].told = true;
}

ConditionReport Trials::report(std::uint32_t index) const {
  static constexpr const char* kVerdicts[] = {"false", "true", "unknown"};
  const Entry& entry = entries_[index];
  ConditionReport report;
  report.id = condition(index).id;
  report.verdict = kVerdicts[static_cast<int>(entry.verdict)];
  report.reason = entry.checked ? entry.reason : "not judged yet";
  report.checked_wall_ms = entry.checked;
  report.metrics = parse_perfdata(entry.metrics.text());
  return report;
}

}  // namespace supv
