#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace supv {

/// Every duration in a watch file, with the resolution we promise.
using Duration = std::chrono::milliseconds;

/// "500ms", "5s", "2m", "1h30m", "2d" (a number always needs a unit; "0" alone is zero).
/// Empty when the text is not a duration or would overflow.
std::optional<Duration> parse_duration(std::string_view text);
/// The shortest exact spelling: "1h30m", "250ms", "0s".
std::string format_duration(Duration duration);

/// "300MB", "1.5GiB", "4096": K, M, G, T are powers of 1024 with or without "iB"/"B", as in god
/// and systemd; a bare number is bytes. Empty when it is not a size.
std::optional<std::uint64_t> parse_size(std::string_view text);
/// "1.5GiB", "300MiB", "12KiB", "17B": at most one decimal.
std::string format_size(std::uint64_t bytes);

/// "50%" -> 50. CPU is percent of one core, so more than 100 is legal.
std::optional<double> parse_percent(std::string_view text);

/// "TERM", "SIGTERM", "15" -> 15; names are those of signal(7). Empty for anything else.
std::optional<int> parse_signal(std::string_view text);
/// 15 -> "TERM"; "SIG42" for a number without a name.
std::string signal_name(int signal);
/// Every name that parse_signal() takes, without "SIG" and without the real-time ones.
std::vector<std::string_view> signal_names();

/// Strict decimal without sign, space or overflow.
std::optional<std::uint64_t> parse_unsigned(std::string_view text);
/// Quoted octal as in `umask: "0022"`; at most 07777.
std::optional<std::uint32_t> parse_octal(std::string_view text);

/// RFC 3339 in UTC, "2026-01-02T03:04:05Z".
std::string format_time(std::int64_t unix_milliseconds);

}  // namespace supv
