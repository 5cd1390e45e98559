#pragma once

#include <supv/condition.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <locale>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

/// The C++ face of <supv/condition.h>: derive from Condition, end with one SUPV_CONDITION line.
/// Needs C++17 and nothing else.
namespace supv::sdk {

/// What a condition sees, with one line that says why.
struct Verdict {
  supv_outcome outcome = SUPV_OK;
  std::string reason;
  std::string metrics = {};  ///< As supv_verdict says.
};

inline Verdict ok(std::string reason = {}) { return {SUPV_OK, std::move(reason)}; }
inline Verdict fire(std::string reason) { return {SUPV_FIRE, std::move(reason)}; }
inline Verdict unknown(std::string reason) { return {SUPV_UNKNOWN, std::move(reason)}; }
/// It was asked for something that takes time; answered() says the verdict.
inline Verdict pending() { return {SUPV_PENDING, {}}; }

/// Two numbers as people read them, for reasons: "1.5 GiB", "312 MiB", "17 B"; "97.5%".
inline std::string bytes_text(double bytes) {
  const char* unit = "B";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (bytes < 1024) break;
    bytes /= 1024;
    unit = next;
  }
  char text[32];
  const bool whole = bytes >= 100 || bytes == static_cast<double>(static_cast<long>(bytes));
  std::snprintf(text, sizeof text, whole ? "%.0f %s" : "%.1f %s", bytes, unit);
  return text;
}
inline std::string percent_text(double percent) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f%%", percent);
  return text;
}

/// A time as people read it, in its two largest units: "2d3h", "1h30m", "45s", "250ms".
inline std::string duration_text(double milliseconds) {
  struct Unit {
    const char* name;
    std::int64_t size;
  };
  std::string text = milliseconds < 0 ? "-" : "";
  auto left = static_cast<std::int64_t>(milliseconds < 0 ? -milliseconds : milliseconds);
  if (left < 1000) return text + std::to_string(left) + "ms";
  int shown = 0;
  for (const Unit& unit : {Unit{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}}) {
    if (shown > 0) ++shown;
    if (left < unit.size) continue;
    text += std::to_string(left / unit.size) + unit.name;
    left %= unit.size;
    if (++shown >= 2) break;
  }
  return text;
}

/// supvd, as a condition sees it. Options have been checked against their declared types before a
/// condition is created; a reader that meets something else all the same (a test, another host)
/// throws std::invalid_argument, which in a constructor becomes the reason of the verdict unknown.
class Host {
 public:
  explicit Host(const supv_host* host) : host_(host) {}

  bool has(const char* option) const { return host_->option(host_->context, option) != nullptr; }
  std::string text(const char* option) const {
    const char* value = host_->option(host_->context, option);
    return value == nullptr ? std::string() : std::string(value);
  }
  bool boolean(const char* option) const {
    const std::string value = text(option);
    if (value != "true" && value != "false") refuse(option, "neither true nor false", value);
    return value == "true";
  }
  /// Sizes in bytes, durations in milliseconds, percentages in percent: supvd hands every number
  /// over in its base unit. 0 for an option that has no value.
  double number(const char* option) const {
    if (!has(option)) return 0;
    std::istringstream in(text(option));
    in.imbue(std::locale::classic());
    double value = 0;
    if (!(in >> value) || in.peek() != std::istringstream::traits_type::eof()) {
      refuse(option, "not a number", text(option));
    }
    return value;
  }
  /// A path as it is meant: a relative one is relative to the watch's `dir`. For SUPV_WAITS.
  std::string path(const char* option) const {
    const std::string written = text(option);
    const std::string dir = text("watch.dir");
    if (written.empty() || written.front() == '/' || dir.empty()) return written;
    return dir.back() == '/' ? dir + written : dir + "/" + written;
  }
  /// True if the option says `word`; for SUPV_CHOICE.
  bool is(const char* option, const char* word) const { return text(option) == word; }

  std::string watch_name() const { return host_->watch_name(host_->context); }
  int pid() const { return host_->pid(host_->context); }
  /// False when the run is gone.
  bool usage(supv_scope scope, bool with_pss, supv_usage& usage) const {
    usage.size = sizeof usage;
    return host_->usage(host_->context, scope, with_pss ? 1 : 0, &usage) == 0;
  }
  /// False when an answer is still awaited; otherwise return pending().
  bool http(supv_http_request request) const {
    request.size = sizeof request;
    return host_->http(host_->context, &request) == 0;
  }
  bool run(const std::string& command, std::int64_t timeout_ms) const {
    return host_->run(host_->context, command.c_str(), timeout_ms) == 0;
  }
  /// The text of a file below /proc or /sys; false when it cannot be read.
  bool read(const std::string& path, std::string& text) const {
    text.resize(std::size_t{64} * 1024);
    const std::int64_t size = host_->read(host_->context, path.c_str(), text.data(), text.size());
    text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return size >= 0;
  }
  /// Empty when the run's tree has no cgroup of its own.
  std::string cgroup() const {
    const char* path = host_->cgroup(host_->context);
    return path == nullptr ? std::string() : std::string(path);
  }
  std::vector<std::int32_t> pids(supv_scope scope) const {
    std::vector<std::int32_t> all(64);
    for (;;) {
      const std::size_t count = host_->pids(host_->context, scope, all.data(), all.size());
      const bool fits = count <= all.size();
      all.resize(count);
      if (fits) return all;
    }
  }

 private:
  [[noreturn]] static void refuse(const char* option, const char* what, const std::string& value) {
    throw std::invalid_argument(std::string(option) + ": " + what + ": '" + value + "'");
  }

  const supv_host* host_;
};

/// In place of the array of options, for a condition without any.
struct NoOptions {
  constexpr operator const supv_option*() const { return nullptr; }
};
inline constexpr NoOptions kNoOptions{};

/// Derive from it, take a `const Host&` in the constructor and answer in poll() or ended().
class Condition {
 public:
  virtual ~Condition() = default;
  virtual Verdict poll(const supv_event&) { return ok(); }
  virtual Verdict ended(const supv_event&) { return ok(); }
  /// What came of Host::http or Host::run.
  virtual Verdict answered(const supv_reply&) { return ok(); }
};

namespace detail {

inline char printable(char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7F ? ' ' : c; }

/// What a reason has to be, whatever text an exception or a peer put into it.
inline std::string one_line(std::string text) {
  constexpr std::size_t kMost = 1000;
  if (text.size() > kMost) {
    std::size_t end = kMost;
    // Not in the middle of a character of UTF-8.
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text.resize(end);
    text += "...";
  }
  for (char& c : text) c = printable(c);
  return text;
}

struct Instance {
  Condition* condition;
  std::string reason;
  std::string metrics;
};

template <typename Class>
void* create(const supv_host* host, char* error, std::size_t room) noexcept {
  try {
    auto condition = std::make_unique<Class>(Host(host));
    auto* instance = new Instance{condition.get(), {}, {}};
    condition.release();
    return instance;
  } catch (const std::exception& e) {
    std::snprintf(error, room, "%s", e.what());
    for (char* at = error; room > 0 && *at != '\0'; ++at) *at = printable(*at);
  } catch (...) {
    std::snprintf(error, room, "unknown exception");
  }
  return nullptr;
}

inline void say_thrown(Instance& instance, const char* what, supv_verdict& verdict) noexcept {
  verdict.outcome = SUPV_UNKNOWN;
  verdict.reason = "the condition threw an exception";
  try {
    instance.reason = one_line(std::string("the condition threw: ") + what);
    verdict.reason = instance.reason.c_str();
  } catch (...) {
  }
}

inline void on_event(void* self, const supv_event* event, supv_verdict* verdict) noexcept {
  auto* instance = static_cast<Instance*>(self);
  try {
    Verdict said = event->kind == SUPV_ENDED   ? instance->condition->ended(*event)
                   : event->kind == SUPV_REPLY ? instance->condition->answered(*event->reply)
                                               : instance->condition->poll(*event);
    instance->reason = one_line(std::move(said.reason));
    verdict->outcome = said.outcome;
    verdict->reason = instance->reason.c_str();
    // supvd of an older header does not know what was appended.
    if (verdict->size >= offsetof(supv_verdict, metrics) + sizeof verdict->metrics) {
      instance->metrics = std::move(said.metrics);
      verdict->metrics = instance->metrics.empty() ? nullptr : instance->metrics.c_str();
    }
  } catch (const std::exception& e) {
    say_thrown(*instance, e.what(), *verdict);
  } catch (...) {
    say_thrown(*instance, "an unknown exception", *verdict);
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
constexpr std::uint32_t count(NoOptions) { return 0; }

}  // namespace detail
}  // namespace supv::sdk

/// The exported symbol; the built-ins, which are linked together, choose their own.
#ifndef SUPV_CONDITION_SYMBOL
#define SUPV_CONDITION_SYMBOL supv_condition_plugin
#endif

/// SUPV_CONDITION(Class, "name", "when it is true", SUPV_POLL, options): `options` is an array of
/// supv_option. A condition without options takes supv::sdk::kNoOptions.
#define SUPV_CONDITION(Class, name, help, kind, options) \
  SUPV_CONDITION_THAT(Class, name, help, kind, options, 0)

/// The same with supv_flags: SUPV_WAITS for one that may block.
#define SUPV_CONDITION_THAT(Class, name, help, kind, options, flags)   \
  extern "C" __attribute__((visibility("default")))                    \
  const supv_condition_descriptor SUPV_CONDITION_SYMBOL;               \
  extern "C" const supv_condition_descriptor SUPV_CONDITION_SYMBOL = { \
      SUPV_CONDITION_ABI,                                              \
      sizeof(supv_condition_descriptor),                               \
      name,                                                            \
      help,                                                            \
      kind,                                                            \
      options,                                                         \
      supv::sdk::detail::count(options),                               \
      supv::sdk::detail::create<Class>,                                \
      supv::sdk::detail::on_event,                                     \
      supv::sdk::detail::destroy,                                      \
      flags,                                                           \
      sizeof(supv_option)}
