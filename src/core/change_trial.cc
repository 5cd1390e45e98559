#include "core/change_trial.h"

#include <fmt/format.h>

#include <algorithm>

namespace supv {
namespace {

constexpr Duration kAgain{30000};  ///< Between two tries to act on one and the same value.

}  // namespace

void ChangeTrial::begin(const Sample& baseline, bool assumed) {
  timeline_.begin(baseline, assumed);
  acted_on_ = Sample{};
}

void ChangeTrial::acted(Time now) {
  last_acted_ = now;
  acted_on_ = timeline_.newest();
}

bool ChangeTrial::see(Moment now, const Sample& sample) {
  trouble_.clear();
  checked_ = now.wall_ms;
  latest_ = sample;
  const bool held = sample.kind == Sample::Kind::absent &&
                    spec_->kv->on_delete == KvSpec::OnDelete::hold && timeline_.has_baseline() &&
                    timeline_.baseline().kind == Sample::Kind::present;
  if (held) return false;
  const bool unknown_before = !timeline_.has_baseline();
  const bool was_changed = timeline_.changed();
  if (timeline_.push(sample)) {
    last_change_ = now.time;
    if (!was_changed) first_change_ = now.time;
  }
  return unknown_before;
}

std::optional<ChangeTrial::Readiness> ChangeTrial::ready() const {
  if (!timeline_.changed()) return std::nullopt;
  const KvSpec& kv = *spec_->kv;
  const Duration longest = kv.settle_max.count() > 0 ? kv.settle_max : kv.settle * 4;
  Time quiet = std::min(last_change_ + kv.settle, first_change_ + std::max(longest, kv.settle));
  if (last_acted_) {
    // The same value once more: what was done about it (a reload) has failed.
    const bool again = acted_on_.same_as(timeline_.newest());
    quiet = std::max(quiet, *last_acted_ + std::max(kv.min_interval, again ? kAgain : Duration(0)));
  }
  if (spec_->splay.count() == 0) return Readiness{quiet, "settle"};
  // From host, watch and value: spread over the fleet, and the same after a crash of supvd.
  const Digest dice = keyed_hash({salt_, timeline_.newest().digest.low}, "splay");
  const double share = static_cast<double>(dice.high >> 11) * 0x1.0p-53;
  const auto delay = std::chrono::duration_cast<Duration>(spec_->splay * share);
  return Readiness{quiet + delay, "splay"};
}

void ChangeTrial::inherit(const ChangeTrial& old) {
  latest_ = old.latest_;
  trouble_ = old.trouble_;
  checked_ = old.checked_;
  first_change_ = old.first_change_;
  last_change_ = old.last_change_;
  last_acted_ = old.last_acted_;
  const auto& samples = old.timeline_.samples();
  timeline_.begin(samples.empty() ? Sample{} : samples.front(), old.timeline_.assumed());
  for (std::size_t i = 1; i < samples.size(); ++i) timeline_.push(samples[i]);
}

ConditionReport ChangeTrial::report() const {
  ConditionReport report;
  report.id = spec_->id;
  report.checked_wall_ms = checked_;
  if (timeline_.has_baseline()) report.baseline = timeline_.assumed() ? "assumed" : "known";
  for (const Sample& sample : timeline_.samples())
    report.timeline.push_back(
        {sample.index, sample.kind == Sample::Kind::absent ? "absent" : short_hash(sample.digest),
         sample.wall_ms});
  if (changed()) {
    report.verdict = "true";
    report.reason = fmt::format("{} changed: {}", spec_->kv->path, timeline_.describe_change());
  } else if (!trouble_.empty()) {
    report.verdict = "unknown";
    report.reason = trouble_;
  } else {
    report.verdict = "false";
    report.reason = latest_.kind == Sample::Kind::absent
                        ? fmt::format("{} is missing; held", spec_->kv->path)
                        : fmt::format("{} unchanged", spec_->kv->path);
    if (latest_.kind == Sample::Kind::absent && timeline_.baseline().kind == Sample::Kind::absent)
      report.reason =
          fmt::format("{} does not exist, as when the run was started", spec_->kv->path);
  }
  if (changed() && !trouble_.empty()) report.reason += "; now: " + trouble_;
  return report;
}

}  // namespace supv
