#pragma once

#include <supv/condition.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>

/// The C++ face of <supv/condition.h>: derive from Condition, end with one SUPV_CONDITION line.
/// Needs C++17 and nothing else.
namespace supv::sdk {

/// What a condition sees, with one line that says why.
struct Verdict {
  supv_outcome outcome = SUPV_OK;
  std::string reason;
};

inline Verdict ok(std::string reason = {}) { return {SUPV_OK, std::move(reason)}; }
inline Verdict fire(std::string reason) { return {SUPV_FIRE, std::move(reason)}; }
inline Verdict unknown(std::string reason) { return {SUPV_UNKNOWN, std::move(reason)}; }

/// supvd, as a condition sees it. Options have been checked against their declared types before a
/// condition is created, so the typed readers do not fail.
class Host {
 public:
  explicit Host(const supv_host* host) : host_(host) {}

  bool has(const char* option) const { return host_->option(host_->context, option) != nullptr; }
  std::string text(const char* option) const {
    const char* value = host_->option(host_->context, option);
    return value == nullptr ? std::string() : std::string(value);
  }
  bool boolean(const char* option) const { return text(option) == "true"; }
  /// Sizes in bytes, durations in milliseconds, percentages in percent: supvd hands every number
  /// over in its base unit.
  double number(const char* option) const { return has(option) ? std::stod(text(option)) : 0.0; }

  std::string watch_name() const { return host_->watch_name(host_->context); }
  int pid() const { return host_->pid(host_->context); }
  /// False when the run is gone.
  bool usage(supv_scope scope, bool with_pss, supv_usage& usage) const {
    usage.size = sizeof usage;
    return host_->usage(host_->context, scope, with_pss ? 1 : 0, &usage) == 0;
  }

 private:
  const supv_host* host_;
};

/// Derive from it, take a `const Host&` in the constructor and answer in poll() or ended().
class Condition {
 public:
  virtual ~Condition() = default;
  virtual Verdict poll(const supv_event&) { return ok(); }
  virtual Verdict ended(const supv_event&) { return ok(); }
};

namespace detail {

struct Instance {
  Condition* condition;
  std::string reason;
};

template <typename Class>
void* create(const supv_host* host, char* error, std::size_t room) noexcept {
  try {
    return new Instance{new Class(Host(host)), {}};
  } catch (const std::exception& e) {
    std::snprintf(error, room, "%s", e.what());
  } catch (...) {
    std::snprintf(error, room, "unknown exception");
  }
  return nullptr;
}

inline void on_event(void* self, const supv_event* event, supv_verdict* verdict) noexcept {
  auto* instance = static_cast<Instance*>(self);
  try {
    Verdict said = event->kind == SUPV_ENDED ? instance->condition->ended(*event)
                                             : instance->condition->poll(*event);
    instance->reason = std::move(said.reason);
    verdict->outcome = said.outcome;
    verdict->reason = instance->reason.c_str();
  } catch (...) {
    verdict->outcome = SUPV_UNKNOWN;
    verdict->reason = "the condition threw an exception";
  }
}

inline void destroy(void* self) noexcept {
  auto* instance = static_cast<Instance*>(self);
  delete instance->condition;
  delete instance;
}

template <std::size_t Count>
constexpr std::uint32_t count(const supv_option (&)[Count]) {
  return Count;
}

}  // namespace detail
}  // namespace supv::sdk

/// The exported symbol; the built-ins, which are linked together, choose their own.
#ifndef SUPV_CONDITION_SYMBOL
#define SUPV_CONDITION_SYMBOL supv_condition_plugin
#endif

/// SUPV_CONDITION(Class, "name", "when it is true", SUPV_POLL, options): `options` is an array of
/// supv_option. A condition without options takes supv::sdk::kNoOptions.
#define SUPV_CONDITION(Class, name, help, kind, options)                                       \
  extern "C" __attribute__((visibility("default"))) const supv_condition_descriptor            \
      SUPV_CONDITION_SYMBOL;                                                                    \
  extern "C" const supv_condition_descriptor SUPV_CONDITION_SYMBOL = {                          \
      SUPV_CONDITION_ABI,                                                                       \
      sizeof(supv_condition_descriptor),                                                        \
      name,                                                                                     \
      help,                                                                                     \
      kind,                                                                                     \
      options,                                                                                  \
      supv::sdk::detail::count(options),                                                        \
      supv::sdk::detail::create<Class>,                                                         \
      supv::sdk::detail::on_event,                                                              \
      supv::sdk::detail::destroy}
