#include "brain/condition_hosts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"

namespace supv {
namespace {

constexpr auto kSlow = std::chrono::milliseconds(50);

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

std::string number_text(double value) {
  return std::floor(value) == value && std::abs(value) < 1e15 ? fmt::format("{:.0f}", value)
                                                              : fmt::format("{}", value);
}

}  // namespace

std::string base_units(supv_type type, const std::string& text) {
  switch (type) {
    case SUPV_SIZE:
      if (const auto bytes = parse_size(text)) return std::to_string(*bytes);
      break;
    case SUPV_DURATION:
      if (const auto duration = parse_duration(text)) return std::to_string(duration->count());
      break;
    case SUPV_PERCENT:
      if (const auto percent = parse_percent(text)) return number_text(*percent);
      break;
    case SUPV_TEXT:
    case SUPV_INTEGER:
    case SUPV_BOOLEAN:
    case SUPV_CHOICE:
    case SUPV_LIST:
      break;
  }
  return text;
}

/// One condition of one run, and the context it knows as its host.
class ConditionHosts::Living {
 public:
  Living(ConditionHosts& hosts, const fx::Arm& arm, std::uint32_t index);
  ~Living() {
    if (self_ != nullptr) descriptor_->destroy(self_);
  }
  Living(const Living&) = delete;
  Living& operator=(const Living&) = delete;

  /// The condition's answer; a pending one is said later.
  supv_outcome ask(const supv_event& event, std::string& reason);
  ev::Judged judged(supv_outcome outcome, std::string reason) const {
    return {run_, index_, verdict_of(outcome), std::move(reason)};
  }
  std::string name() const { return watch_ + ": " + spec_.id; }

 private:
  void read_options();

  static const char* option(void* context, const char* name);
  static const char* watch_name(void* context);
  static std::int32_t pid(void* context);
  static int usage(void* context, supv_scope scope, int with_pss, supv_usage* usage);
  static void conclude(void* context, const supv_verdict* verdict);

  ConditionHosts& hosts_;
  std::shared_ptr<const WatchSpec> watch_spec_;  // Keeps spec_ alive.
  const ConditionSpec& spec_;
  RunId run_;
  std::uint32_t index_;
  std::string watch_;
  const supv_condition_descriptor* descriptor_;
  std::vector<std::pair<std::string, std::string>> options_;  // In base units.
  supv_host host_{};
  void* self_ = nullptr;
  std::string failure_;  // Why there is no self_.
};

ConditionHosts::Living::Living(ConditionHosts& hosts, const fx::Arm& arm, std::uint32_t index)
    : hosts_(hosts),
      watch_spec_(arm.spec),
      spec_(arm.spec->conditions[index]),
      run_(arm.run),
      index_(index),
      watch_(arm.watch),
      descriptor_(hosts.descriptor_of(spec_.name)) {
  host_ = {sizeof host_, this, option, watch_name, pid, usage, conclude};
  if (descriptor_ == nullptr) {
    failure_ = "there is no condition " + spec_.name;
    return;
  }
  read_options();
  std::array<char, 256> error{};
  self_ = descriptor_->create(&host_, error.data(), error.size());
  error.back() = '\0';
  if (self_ == nullptr) failure_ = error[0] == '\0' ? "it could not be made" : error.data();
}

void ConditionHosts::Living::read_options() {
  for (std::uint32_t i = 0; i < descriptor_->option_count; ++i) {
    const supv_option& declared = descriptor_->options[i];
    const auto written =
        std::find_if(spec_.options.begin(), spec_.options.end(),
                     [&](const auto& option) { return option.first == declared.name; });
    if (written != spec_.options.end()) {
      options_.emplace_back(declared.name, base_units(declared.type, written->second));
    } else if (declared.fallback != nullptr) {
      options_.emplace_back(declared.name, base_units(declared.type, declared.fallback));
    }
  }
}

supv_outcome ConditionHosts::Living::ask(const supv_event& event, std::string& reason) {
  if (self_ == nullptr) {
    reason = failure_;
    return SUPV_UNKNOWN;
  }
  supv_verdict verdict{};
  verdict.size = sizeof verdict;
  verdict.outcome = SUPV_UNKNOWN;
  descriptor_->on_event(self_, &event, &verdict);
  if (verdict.reason != nullptr) reason = printable(verdict.reason);
  return verdict.outcome;
}

const char* ConditionHosts::Living::option(void* context, const char* name) {
  const auto& options = static_cast<Living*>(context)->options_;
  const auto found = std::find_if(options.begin(), options.end(),
                                  [name](const auto& option) { return option.first == name; });
  return found == options.end() ? nullptr : found->second.c_str();
}

const char* ConditionHosts::Living::watch_name(void* context) {
  return static_cast<Living*>(context)->watch_.c_str();
}

std::int32_t ConditionHosts::Living::pid(void* context) {
  const auto* self = static_cast<Living*>(context);
  return self->hosts_.surroundings_.pid_of(self->run_);
}

int ConditionHosts::Living::usage(void* context, supv_scope scope, int with_pss,
                                  supv_usage* usage) {
  const auto* self = static_cast<Living*>(context);
  const Surroundings& surroundings = self->hosts_.surroundings_;
  const auto read =
      surroundings.usage->read(surroundings.now().time, self->run_, scope, with_pss != 0);
  if (!read) return -1;
  // The other side may know a shorter struct.
  const std::uint32_t size = std::min<std::uint32_t>(usage->size, sizeof *read);
  std::copy_n(reinterpret_cast<const char*>(&*read), size, reinterpret_cast<char*>(usage));
  usage->size = size;
  return 0;
}

void ConditionHosts::Living::conclude(void* context, const supv_verdict* verdict) {
  const auto* self = static_cast<Living*>(context);
  self->hosts_.surroundings_.judged(
      self->judged(verdict->outcome, verdict->reason == nullptr ? "" : printable(verdict->reason)));
}

// -----------------------------------------------------------------------------------------------

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
  Conditions conditions(arm.spec->conditions.size());
  for (std::uint32_t i = 0; i < conditions.size(); ++i) {
    // Those of kind change are judged by the core's timelines.
    if (arm.spec->conditions[i].kind == ConditionKind::change) continue;
    conditions[i] = std::make_unique<Living>(*this, arm, i);
  }
  runs_[arm.run] = std::move(conditions);
}

void ConditionHosts::disarm(const fx::Disarm& disarm) { runs_.erase(disarm.run); }

ConditionHosts::Living* ConditionHosts::find(RunId run, std::uint32_t condition) {
  const auto found = runs_.find(run);
  if (found == runs_.end() || condition >= found->second.size()) return nullptr;
  return found->second[condition].get();
}

void ConditionHosts::poll(const fx::Poll& poll) {
  Living* living = find(poll.run, poll.condition);
  if (living == nullptr) return;
  supv_event event{};
  event.kind = SUPV_TICK;
  ask(*living, event);
}

void ConditionHosts::tell_end(const fx::TellEnd& end) {
  Living* living = find(end.run, end.condition);
  if (living == nullptr) return;
  supv_event event{};
  event.kind = SUPV_ENDED;
  event.exit_code = end.status.how == ExitStatus::How::code ? end.status.value : -1;
  event.exit_signal = end.status.how == ExitStatus::How::signal ? end.status.value : 0;
  ask(*living, event);
}

void ConditionHosts::ask(Living& living, supv_event event) {
  const Moment now = surroundings_.now();
  event.size = sizeof event;
  event.monotonic_ns = now.time.time_since_epoch().count();
  event.wall_ns = now.wall_ms * 1'000'000;
  std::string reason;
  const auto begin = std::chrono::steady_clock::now();
  const supv_outcome outcome = living.ask(event, reason);
  const auto took = std::chrono::steady_clock::now() - begin;
  if (took > kSlow) {
    surroundings_.slow(
        fmt::format("condition {} took {} ms", living.name(),
                    std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  }
  if (outcome != SUPV_PENDING) {
    surroundings_.judged(living.judged(outcome, std::move(reason)));
  }
}

}  // namespace supv
