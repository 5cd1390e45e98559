#include "base/units.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <csignal>
#include <ctime>
#include <limits>
#include <utility>

namespace supv {
namespace {

using std::string_view;

/// Durations beyond this would overflow a clock that counts nanoseconds in 64 bits.
constexpr std::int64_t kLongest = std::int64_t{100} * 365 * 24 * 3600 * 1000;

struct Unit {
  string_view name;
  std::int64_t milliseconds;
};
/// From the longest to the shortest; a duration names them in this order, each at most once.
constexpr std::array<Unit, 5> kUnits = {
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

/// Takes the leading run of characters for which `keep` holds off `text`.
template <typename Keep>
string_view take(string_view& text, Keep keep) {
  std::size_t length = 0;
  while (length < text.size() && keep(text[length])) ++length;
  const string_view taken = text.substr(0, length);
  text.remove_prefix(length);
  return taken;
}

/// The factor of a size's unit; 0 when it is none.
std::uint64_t size_factor(string_view unit) {
  if (unit.empty() || unit == "B" || unit == "b") return 1;
  std::uint64_t factor = 0;
  switch (lower(unit.front())) {
    case 'k':
      factor = std::uint64_t{1} << 10;
      break;
    case 'm':
      factor = std::uint64_t{1} << 20;
      break;
    case 'g':
      factor = std::uint64_t{1} << 30;
      break;
    case 't':
      factor = std::uint64_t{1} << 40;
      break;
    default:
      return 0;
  }
  unit.remove_prefix(1);
  if (!unit.empty() && unit.front() == 'i') {
    unit.remove_prefix(1);
    if (unit.empty()) return 0;
  }
  if (unit.size() == 1 && lower(unit.front()) == 'b') unit.remove_prefix(1);
  return unit.empty() ? factor : 0;
}

constexpr std::array<std::pair<string_view, int>, 35> kSignals = {{
    {"HUP", SIGHUP},   {"INT", SIGINT},       {"QUIT", SIGQUIT},  {"ILL", SIGILL},
    {"TRAP", SIGTRAP}, {"ABRT", SIGABRT},     {"BUS", SIGBUS},    {"FPE", SIGFPE},
    {"KILL", SIGKILL}, {"USR1", SIGUSR1},     {"SEGV", SIGSEGV},  {"USR2", SIGUSR2},
    {"PIPE", SIGPIPE}, {"ALRM", SIGALRM},     {"TERM", SIGTERM},  {"STKFLT", SIGSTKFLT},
    {"CHLD", SIGCHLD}, {"CONT", SIGCONT},     {"STOP", SIGSTOP},  {"TSTP", SIGTSTP},
    {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},    {"XCPU", SIGXCPU},
    {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF},  {"WINCH", SIGWINCH},
    {"IO", SIGIO},     {"PWR", SIGPWR},       {"SYS", SIGSYS},    {"IOT", SIGIOT},
    {"POLL", SIGPOLL}, {"CLD", SIGCHLD},      {"UNUSED", SIGSYS},
}};

/// "RTMIN", "RTMIN+3", "RTMAX-1" by the kernel's own bounds as glibc reserves them.
std::optional<int> parse_realtime(string_view text) {
  const bool from_min = text.starts_with("RTMIN");
  if (!from_min && !text.starts_with("RTMAX")) return std::nullopt;
  text.remove_prefix(5);
  int signal = from_min ? SIGRTMIN : SIGRTMAX;
  if (!text.empty()) {
    if (text.front() != (from_min ? '+' : '-')) return std::nullopt;
    const auto offset = parse_unsigned(text.substr(1));
    if (!offset || *offset > 64) return std::nullopt;
    signal += from_min ? static_cast<int>(*offset) : -static_cast<int>(*offset);
  }
  if (signal < SIGRTMIN || signal > SIGRTMAX) return std::nullopt;
  return signal;
}

}  // namespace

std::optional<Duration> parse_duration(string_view text) {
  if (text == "0") return Duration{0};
  if (text.empty()) return std::nullopt;
  std::int64_t total = 0;
  std::size_t next_unit = 0;
  while (!text.empty()) {
    const auto count = parse_unsigned(take(text, is_digit));
    const string_view name = take(text, [](char c) { return !is_digit(c); });
    if (!count) return std::nullopt;
    while (next_unit < kUnits.size() && kUnits[next_unit].name != name) ++next_unit;
    if (next_unit == kUnits.size()) return std::nullopt;
    const std::int64_t unit = kUnits[next_unit++].milliseconds;
    if (*count > static_cast<std::uint64_t>((kLongest - total) / unit)) return std::nullopt;
    total += static_cast<std::int64_t>(*count) * unit;
  }
  return Duration{total};
}

std::string format_duration(Duration duration) {
  // Unsigned, because the most negative count has no positive twin.
  std::uint64_t rest = static_cast<std::uint64_t>(duration.count());
  std::string text;
  if (duration.count() < 0) {
    text = "-";
    rest = 0 - rest;
  }
  if (rest == 0) return "0s";
  for (const Unit& unit : kUnits) {
    const std::uint64_t count = rest / static_cast<std::uint64_t>(unit.milliseconds);
    if (count > 0) text += fmt::format("{}{}", count, unit.name);
    rest %= static_cast<std::uint64_t>(unit.milliseconds);
  }
  return text;
}

std::optional<std::uint64_t> parse_size(string_view text) {
  const auto whole = parse_unsigned(take(text, is_digit));
  if (!whole) return std::nullopt;
  string_view decimals;
  const bool fraction = !text.empty() && text.front() == '.';
  if (fraction) {
    text.remove_prefix(1);
    decimals = take(text, is_digit);
    if (decimals.empty() || decimals.size() > 6) return std::nullopt;
  }
  const std::uint64_t factor = size_factor(text);
  if (factor == 0 || (fraction && factor == 1)) return std::nullopt;
  if (*whole > std::numeric_limits<std::uint64_t>::max() / factor) return std::nullopt;
  std::uint64_t parts = 0;
  std::uint64_t scale = 1;
  for (const char digit : decimals) {
    parts = parts * 10 + static_cast<std::uint64_t>(digit - '0');
    scale *= 10;
  }
  const std::uint64_t bytes = *whole * factor;
  const std::uint64_t rest = parts * factor / scale;
  if (rest > std::numeric_limits<std::uint64_t>::max() - bytes) return std::nullopt;
  return bytes + rest;
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array<string_view, 7> kNames = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::uint64_t unit = 1;
  std::size_t name = 0;
  while (name + 1 < kNames.size() && bytes / unit >= 1024) {
    unit *= 1024;
    ++name;
  }
  std::uint64_t whole = bytes / unit;
  const std::uint64_t rest = bytes % unit;
  // Tenths, rounded; split so that nothing overflows at EiB.
  std::uint64_t tenth = unit == 1 ? 0 : (rest / (unit / 2 / 10 == 0 ? 1 : unit / 20) + 1) / 2;
  if (tenth >= 10) {
    ++whole;
    tenth = 0;
    if (whole == 1024 && name + 1 < kNames.size()) {
      whole = 1;
      ++name;
    }
  }
  if (tenth == 0) return fmt::format("{}{}", whole, kNames[name]);
  return fmt::format("{}.{}{}", whole, tenth, kNames[name]);
}

std::optional<double> parse_percent(string_view text) {
  if (text.size() < 2 || text.back() != '%') return std::nullopt;
  text.remove_suffix(1);
  if (text.size() > 15 || !is_digit(text.front()) || !is_digit(text.back())) return std::nullopt;
  double value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

std::optional<int> parse_signal(string_view text) {
  if (!text.empty() && is_digit(text.front())) {
    const auto number = parse_unsigned(text);
    if (!number || *number < 1 || *number > 64) return std::nullopt;
    return static_cast<int>(*number);
  }
  if (text.starts_with("SIG")) {
    text.remove_prefix(3);
    // What signal_name() writes for a number without a name reads back.
    if (!text.empty() && is_digit(text.front())) return parse_signal(text);
  }
  for (const auto& [name, number] : kSignals) {
    if (name == text) return number;
  }
  return parse_realtime(text);
}

std::string signal_name(int signal) {
  for (const auto& [name, number] : kSignals) {
    if (number == signal) return std::string(name);
  }
  return fmt::format("SIG{}", signal);
}

std::vector<string_view> signal_names() {
  std::vector<string_view> names;
  names.reserve(kSignals.size());
  for (const auto& [name, number] : kSignals) names.push_back(name);
  return names;
}

std::optional<std::uint64_t> parse_unsigned(string_view text) {
  if (text.empty() || !is_digit(text.front())) return std::nullopt;
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

std::optional<std::uint32_t> parse_octal(string_view text) {
  if (text.empty()) return std::nullopt;
  std::uint32_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '7') return std::nullopt;
    value = value * 8 + static_cast<std::uint32_t>(c - '0');
    if (value > 07777) return std::nullopt;
  }
  return value;
}

std::string format_time(std::int64_t unix_milliseconds) {
  std::int64_t seconds = unix_milliseconds / 1000;
  if (unix_milliseconds % 1000 < 0) --seconds;
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  if (gmtime_r(&time, &parts) == nullptr) return "invalid time";
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace supv
