#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.h"

namespace supv {

enum class LogLevel : std::uint8_t { debug, info, warn, error };
enum class LogFormat : std::uint8_t { text, json };
/// "debug", "info", "warn" (or "warning"), "error".
std::optional<LogLevel> parse_log_level(std::string_view text);
std::optional<LogFormat> parse_log_format(std::string_view text);

/// supvd's own log: a line a message, to a file or to stderr. Never throws and never waits: what
/// the other end does not take at once is dropped and counted.
class Log {
 public:
  /// To stderr; with priorities instead of times when that is the journal.
  Log();
  void set_level(LogLevel level) { level_ = level; }
  void set_format(LogFormat format) { format_ = format; }
  /// Goes on in `path` (created 0640), or on stderr when it is empty. False: it cannot be opened;
  /// the log goes on where it was.
  bool open(const std::string& path);
  /// Opens the same path again, after a rotation.
  bool reopen() { return open(path_); }

  void write(LogLevel level, std::string_view text) noexcept;
  template <typename... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) noexcept {
    print(LogLevel::debug, format, fmt::make_format_args(args...));
  }
  template <typename... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) noexcept {
    print(LogLevel::info, format, fmt::make_format_args(args...));
  }
  template <typename... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) noexcept {
    print(LogLevel::warn, format, fmt::make_format_args(args...));
  }
  template <typename... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) noexcept {
    print(LogLevel::error, format, fmt::make_format_args(args...));
  }
  /// Lines that could not be written.
  std::uint64_t dropped() const { return dropped_; }

 private:
  void print(LogLevel level, fmt::string_view format, fmt::format_args args) noexcept;
  void put(std::string_view line);

  LogLevel level_ = LogLevel::info;
  LogFormat format_ = LogFormat::text;
  std::string path_;
  Fd file_;
  bool journal_ = false;
  std::uint64_t dropped_ = 0;
};

}  // namespace supv
