#include "brain/condition_hosts.h"

#include <fmt/format.h>

#include <algorithm>

#include "brain/host_line.h"
#include "brain/living_condition.h"

namespace supv {
namespace {

constexpr auto kSlow = std::chrono::milliseconds(50);
constexpr Duration kPatience{10000};

}  // namespace

std::vector<std::pair<std::string, std::string>> condition_options(
    const supv_condition_descriptor& descriptor, const ConditionSpec& spec) {
  std::vector<std::pair<std::string, std::string>> options;
  for (std::uint32_t i = 0; i < descriptor.option_count; ++i) {
    const supv_option& declared = descriptor.options[i];
    const auto written =
        std::find_if(spec.options.begin(), spec.options.end(),
                     [&](const auto& option) { return option.first == declared.name; });
    if (written != spec.options.end()) {
      options.emplace_back(declared.name, base_units(declared.type, written->second));
    } else if (declared.fallback != nullptr) {
      options.emplace_back(declared.name, base_units(declared.type, declared.fallback));
    }
  }
  return options;
}

Duration patience_of(const ConditionSpec& spec) {
  return spec.timeout.count() > 0 ? spec.timeout : kPatience;
}

Verdict verdict_of(supv_outcome outcome) {
  switch (outcome) {
    case SUPV_OK:
      return Verdict::no;
    case SUPV_FIRE:
      return Verdict::yes;
    case SUPV_UNKNOWN:
    case SUPV_PENDING:
      break;
  }
  return Verdict::unknown;
}

ConditionHosts::ConditionHosts(Surroundings surroundings)
    : surroundings_(std::move(surroundings)) {}

ConditionHosts::~ConditionHosts() = default;

const supv_condition_descriptor* ConditionHosts::descriptor_of(std::string_view name) const {
  const auto& catalog = surroundings_.catalog;
  const auto found =
      std::find_if(catalog.begin(), catalog.end(),
                   [name](const supv_condition_descriptor* known) { return known->name == name; });
  return found == catalog.end() ? nullptr : *found;
}

void ConditionHosts::arm(const fx::Arm& arm) {
  const auto [found, fresh] = armed_.try_emplace(arm.run);
  Armed& armed = found->second;
  armed.subject = arm.subject;
  if (!fresh) return;
  armed.conditions.resize(arm.spec->conditions.size());
  for (const std::uint32_t index : arm.conditions) {
    if (index >= armed.conditions.size()) continue;
    // Those of kind change are judged by the core's timelines, all and its like by the core.
    const ConditionKind kind = arm.spec->conditions[index].kind;
    if (kind != ConditionKind::poll && kind != ConditionKind::exit) continue;
    const auto* descriptor = descriptor_of(arm.spec->conditions[index].name);
    if (surroundings_.waiting != nullptr && HostLine::takes(descriptor)) {
      surroundings_.waiting->arm(arm.run, index, arm.watch, arm.spec, *descriptor);
      continue;
    }
    armed.conditions[index] = std::make_unique<Living>(*this, arm, index, armed.subject);
  }
}

void ConditionHosts::disarm(const fx::Disarm& disarm) {
  if (surroundings_.waiting != nullptr) surroundings_.waiting->disarm(disarm.run);
  armed_.erase(disarm.run);
}

ConditionHosts::Living* ConditionHosts::find(RunId run, std::uint32_t condition) {
  const auto found = armed_.find(run);
  if (found == armed_.end() || condition >= found->second.conditions.size()) return nullptr;
  return found->second.conditions[condition].get();
}

void ConditionHosts::poll(const fx::Poll& poll) {
  supv_event event{};
  event.kind = SUPV_TICK;
  tell(poll.run, poll.condition, event);
}

void ConditionHosts::tell_end(const fx::TellEnd& end) {
  supv_event event{};
  event.kind = SUPV_ENDED;
  event.exit_code = end.status.how == ExitStatus::How::code ? end.status.value : -1;
  event.exit_signal = end.status.how == ExitStatus::How::signal ? end.status.value : 0;
  tell(end.run, end.condition, event);
}

void ConditionHosts::tell(RunId run, std::uint32_t condition, supv_event event) {
  stamp(event);
  if (Living* living = find(run, condition)) {
    if (!living->waits()) ask(*living, event);
  } else if (surroundings_.waiting != nullptr) {
    surroundings_.waiting->ask(run, condition, event);
  }
}

void ConditionHosts::stamp(supv_event& event) const {
  const Moment now = surroundings_.now();
  event.size = sizeof event;
  event.monotonic_ns = now.time.time_since_epoch().count();
  event.wall_ns = now.wall_ms * 1'000'000;
}

void ConditionHosts::ask(Living& living, const supv_event& event) {
  const auto begin = std::chrono::steady_clock::now();
  Answer answer = living.ask(event);
  const auto took = std::chrono::steady_clock::now() - begin;
  if (took > kSlow) {
    surroundings_.slow(
        fmt::format("condition {} took {} ms", living.name(),
                    std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  }
  if (answer.outcome == SUPV_PENDING) return living.await();
  living.stop_waiting();
  surroundings_.judged(living.judged(std::move(answer)));
}

std::optional<Time> ConditionHosts::deadline() const {
  return awaited_.empty() ? std::nullopt : std::optional(awaited_.begin()->first);
}

void ConditionHosts::tick(Time now) {
  while (!awaited_.empty() && awaited_.begin()->first <= now) {
    awaited_.begin()->second->no_answer();
  }
}

}  // namespace supv
