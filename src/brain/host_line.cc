#include "brain/host_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "brain/condition_hosts.h"

namespace supv {
namespace {

constexpr Duration kPatience{10'000};
/// A condition with a time-out of its own is given this much more, to say so itself.
constexpr Duration kOwnTimeoutSlack{1'000};

/// How long an answer may take.
Duration host_patience(const ConditionSpec& spec,
                       const std::vector<std::pair<std::string, std::string>>& options) {
  if (spec.timeout.count() > 0) return spec.timeout;
  for (const auto& [name, value] : options) {
    if (name != "timeout") continue;
    const auto own = parse_unsigned(value);
    if (own) return Duration(*own) + kOwnTimeoutSlack;
  }
  return kPatience;
}

}  // namespace

HostLine::HostLine(Surroundings surroundings) : surroundings_(std::move(surroundings)) {}

void HostLine::arm(RunId run, std::uint32_t index, const std::string& watch,
                   std::shared_ptr<const WatchSpec> spec,
                   const supv_condition_descriptor& descriptor) {
  surroundings_.need();
  Armed armed;
  armed.run = run;
  armed.index = index;
  armed.id = ++ids_;
  armed.watch = watch;
  armed.spec = std::move(spec);
  armed.descriptor = &descriptor;
  const ConditionSpec& condition = armed.spec->conditions[index];
  armed.patience = host_patience(condition, condition_options(descriptor, condition));
  runs_[run].push_back(armed.id);
  tell(armed);
  armed_.emplace(armed.id, std::move(armed));
}

/// Has the host make it.
void HostLine::tell(Armed& armed) {
  if (channel_ == nullptr) return;
  const ConditionSpec& condition = armed.spec->conditions[armed.index];
  host::Make make;
  make.id = armed.id;
  make.name = condition.name;
  make.watch = armed.watch;
  make.options = condition_options(*armed.descriptor, condition);
  for (auto& place : surroundings_.places(armed.watch, armed.spec->process)) {
    make.options.push_back(std::move(place));
  }
  armed.refused = channel_->send(make) ? "" : "its options are too long";
}

void HostLine::disarm(RunId run) {
  const auto found = runs_.find(run);
  if (found == runs_.end()) return;
  for (const std::uint64_t id : found->second) {
    const auto armed = armed_.find(id);
    if (armed == armed_.end()) continue;
    if (channel_ != nullptr) channel_->send(host::Drop{id});
    forget(armed->second);
    armed_.erase(armed);
  }
  runs_.erase(found);
}

HostLine::Armed* HostLine::find(RunId run, std::uint32_t index) {
  const auto found = runs_.find(run);
  if (found == runs_.end()) return nullptr;
  for (const std::uint64_t id : found->second) {
    Armed& armed = armed_.at(id);
    if (armed.index == index) return &armed;
  }
  return nullptr;
}

bool HostLine::ask(RunId run, std::uint32_t index, const supv_event& event) {
  Armed* armed = find(run, index);
  if (armed == nullptr) return false;
  const Moment now = surroundings_.now();
  if (channel_ == nullptr) {
    judge(*armed, Verdict::unknown, seen_ ? "the host is being started again" : "no host yet");
  } else if (!armed->refused.empty()) {
    judge(*armed, Verdict::unknown, armed->refused);
  } else if (armed->waiting) {
    judge(*armed, Verdict::unknown,
          "still waiting for an answer since " + format_time(armed->asked_wall_ms));
  } else if (armed->late) {
    judge(*armed, Verdict::yes, *std::exchange(armed->late, std::nullopt));
  } else {
    armed->waiting = true;
    armed->asked_wall_ms = now.wall_ms;
    armed->deadline = now.time + armed->patience;
    deadlines_.insert({*armed->deadline, armed->id});
    host::Ask question;
    question.id = armed->id;
    question.serial = ++armed->serial;
    question.kind = event.kind;
    question.monotonic_ns = event.monotonic_ns;
    question.wall_ns = event.wall_ns;
    question.exit_code = event.exit_code;
    question.exit_signal = event.exit_signal;
    channel_->send(question);
  }
  return true;
}

void HostLine::attach(HostChannel* channel) {
  if (channel == channel_) return;
  channel_ = channel;
  for (auto& [id, armed] : armed_) {
    armed.waiting = false;
    if (armed.deadline) judge(armed, Verdict::unknown, "the host is being started again");
    tell(armed);
  }
  seen_ = seen_ || channel != nullptr;
}

void HostLine::hear() {
  while (channel_ != nullptr) {
    const auto message = channel_->receive();
    if (!message) break;
    const auto* said = std::get_if<host::Said>(&*message);
    if (said == nullptr) continue;
    const auto found = armed_.find(said->id);
    if (found == armed_.end() || found->second.serial != said->serial) continue;
    Armed& armed = found->second;
    armed.waiting = false;
    if (armed.deadline) {
      judge(armed, verdict_of(said->outcome), printable(said->reason), said->metrics);
    } else if (said->outcome == SUPV_FIRE && (armed.descriptor->flags & SUPV_BASELINE) != 0) {
      // After its time an answer tells of another moment; but a change is told only once.
      armed.late = printable(said->reason);
    }
  }
}

void HostLine::judge(Armed& armed, Verdict verdict, std::string reason, std::string metrics) {
  forget(armed);
  surroundings_.judged({armed.run, armed.index, verdict, std::move(reason), std::move(metrics)});
}

/// Nobody waits for its answer any more.
void HostLine::forget(Armed& armed) {
  if (!armed.deadline) return;
  deadlines_.erase({*armed.deadline, armed.id});
  armed.deadline.reset();
}

std::optional<Time> HostLine::deadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

void HostLine::tick(Time now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    Armed& late = armed_.at(deadlines_.begin()->second);
    judge(late, Verdict::unknown, "no answer within " + format_duration(late.patience));
  }
}

}  // namespace supv
