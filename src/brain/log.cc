#include "brain/log.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <cstdlib>

#include "base/text.h"
#include "base/units.h"

namespace supv {
namespace {

// What a pipe that is writable at all takes at once (PIPE_BUF).
constexpr std::size_t kLongest = 4096;
constexpr std::size_t kDress = 96;  // What a line has besides its text.
constexpr std::array<std::string_view, 4> kLevels = {"debug", "info", "warn", "error"};
// debug, info, warning, err of syslog(3).
constexpr std::array<std::string_view, 4> kPriorities = {"<7>", "<6>", "<4>", "<3>"};

/// True if stderr is the stream that systemd named to us (sd-daemon(3)).
bool stderr_is_journal() {
  const char* named = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  return named != nullptr && ::fstat(STDERR_FILENO, &status) == 0 &&
         fmt::format("{}:{}", status.st_dev, status.st_ino) == named;
}

std::int64_t wall_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

/// At most `room` bytes, never half a character.
std::string_view cut(std::string_view text, std::size_t room) {
  if (text.size() <= room) return text;
  while (room > 0 && (static_cast<unsigned char>(text[room]) & 0xC0U) == 0x80U) --room;
  return text.substr(0, room);
}

/// `text` has no control characters any more.
std::string json_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view text) {
  if (text == "warning") return LogLevel::warn;
  for (std::size_t i = 0; i < kLevels.size(); ++i) {
    if (text == kLevels[i]) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

std::optional<LogFormat> parse_log_format(std::string_view text) {
  if (text == "text") return LogFormat::text;
  if (text == "json") return LogFormat::json;
  return std::nullopt;
}

Log::Log() : journal_(stderr_is_journal()) {}

bool Log::open(const std::string& path) {
  Fd fresh;
  if (!path.empty()) {
    fresh.reset(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640));
    if (!fresh) return false;
  }
  file_ = std::move(fresh);
  path_ = path;
  return true;
}

void Log::print(LogLevel level, fmt::string_view format, fmt::format_args args) noexcept {
  if (level < level_) return;
  try {
    write(level, fmt::vformat(format, args));
  } catch (...) {
    ++dropped_;
  }
}

void Log::write(LogLevel level, std::string_view text) noexcept {
  if (level < level_) return;
  try {
    const auto index = static_cast<std::size_t>(level);
    const std::string whole = printable(cut(text, kLongest));
    // JSON may need two bytes for one.
    const std::string_view safe =
        cut(whole, (kLongest - kDress) / (format_ == LogFormat::json ? 2 : 1));
    if (format_ == LogFormat::json) {
      put(fmt::format("{{\"at\":\"{}\",\"level\":\"{}\",\"text\":\"{}\"}}", format_time(wall_ms()),
                      kLevels[index], json_escaped(safe)));
    } else if (journal_ && !file_) {
      put(fmt::format("{}{}", kPriorities[index], safe));
    } else {
      put(fmt::format("{} {}: {}", format_time(wall_ms()), kLevels[index], safe));
    }
  } catch (...) {
    ++dropped_;
  }
}

void Log::put(std::string_view line) {
  const int fd = file_ ? file_.get() : STDERR_FILENO;
  std::string bytes(line);
  bytes += '\n';
  // stderr is shared with others, so it cannot be made non-blocking: it is asked first.
  pollfd ready{fd, POLLOUT, 0};
  const bool writable = ::poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0;
  const auto size = static_cast<ssize_t>(bytes.size());
  if (!writable || ::write(fd, bytes.data(), bytes.size()) != size) ++dropped_;
}

}  // namespace supv
