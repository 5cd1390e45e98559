#include "brain/environment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/text.h"

namespace supv {

namespace {

constexpr std::size_t kMaxEnvFile = std::size_t{1} << 20;
constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool starts_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

bool for_supvd_alone(std::string_view name) {
  constexpr std::array<std::string_view, 4> kPrefixes = {"CONSUL_HTTP_TOKEN", "WATCHDOG_",
                                                         "LISTEN_", "SUPV_"};
  for (const std::string_view prefix : kPrefixes) {
    if (starts_with(name, prefix)) return true;
  }
  return name == "NOTIFY_SOCKET";
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

bool loads_bundler(std::string_view option) {
  return starts_with(option, "-r") && option.ends_with("bundler/setup");
}

/// Removes the parts of a list variable that `unwanted` names; an empty rest removes it wholly.
template <typename Unwanted>
void prune_list(Environment& env, const std::string& name, char separator, Unwanted unwanted) {
  const auto found = env.find(name);
  if (found == env.end()) return;
  std::string rest;
  for (const std::string_view part : split(found->second, separator)) {
    if (part.empty() || unwanted(part)) continue;
    if (!rest.empty()) rest += separator;
    rest += part;
  }
  if (rest.empty()) {
    env.erase(found);
  } else {
    found->second = rest;
  }
}

bool has_bundler_option(const Environment& env) {
  const auto found = env.find("RUBYOPT");
  if (found == env.end()) return false;
  for (const std::string_view option : split(found->second, ' ')) {
    if (loads_bundler(option)) return true;
  }
  return false;
}

/// What Bundler.unbundled_env does, except that a BUNDLE_* which was there before stays: images set
/// BUNDLE_PATH or BUNDLE_GEMFILE on purpose. Only its own marks prove that bundler set the rest.
void undo_bundle_exec(Environment& env) {
  static constexpr std::string_view kOriginal = "BUNDLER_ORIG_";
  static constexpr std::string_view kNone = "BUNDLER_ENVIRONMENT_PRESERVER_INTENTIONALLY_NIL";
  const auto first = env.lower_bound(std::string(kOriginal));
  const bool kept_originals = first != env.end() && starts_with(first->first, kOriginal);
  if (!kept_originals && env.count("BUNDLE_BIN_PATH") == 0 && !has_bundler_option(env)) return;
  for (const char* name :
       {"BUNDLE_GEMFILE", "BUNDLE_BIN_PATH", "BUNDLER_VERSION", "BUNDLER_SETUP"}) {
    env.erase(name);
  }
  Environment originals;
  for (auto at = env.lower_bound(std::string(kOriginal));
       at != env.end() && starts_with(at->first, kOriginal);) {
    originals.emplace(at->first.substr(kOriginal.size()), at->second);
    at = env.erase(at);
  }
  for (const auto& [name, value] : originals) {
    if (value == kNone) {
      env.erase(name);
    } else {
      env[name] = value;
    }
  }
  prune_list(env, "RUBYOPT", ' ', loads_bundler);
  prune_list(env, "RUBYLIB", ':', [](std::string_view path) {
    return path.find("/bundler-") != std::string_view::npos;
  });
}

/// Reads one env file. One instance, one file.
class EnvText {
 public:
  EnvText(const std::string& path, const std::string& text) : path_(path), text_(text) {}

  void read(Environment& into) {
    while (at_ < text_.size()) {
      read_line(into);
      if (at_ < text_.size()) step();  // The newline.
    }
  }

 private:
  bool end_of_line() const { return at_ >= text_.size() || text_[at_] == '\n'; }
  void step() {
    if (text_[at_] == '\n') ++line_;
    ++at_;
  }
  void skip_blanks() {
    while (!end_of_line() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r')) ++at_;
  }
  void skip_comment() {
    while (!end_of_line()) ++at_;
  }
  [[noreturn]] void refuse(std::size_t line, const std::string& why) const {
    throw StartRefused("env_file", 0, fmt::format("{}:{}: {}", path_, line, why));
  }

  static bool name_start(char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  }
  std::string read_name() {
    const std::size_t start = at_;
    while (!end_of_line() && (name_start(text_[at_]) || (text_[at_] >= '0' && text_[at_] <= '9')))
      ++at_;
    return text_.substr(start, at_ - start);
  }

  void read_line(Environment& into) {
    skip_blanks();
    if (end_of_line()) return;
    if (text_[at_] == '#') return skip_comment();
    std::string name;
    if (name_start(text_[at_])) name = read_name();
    if (name == "export" && !end_of_line() && (text_[at_] == ' ' || text_[at_] == '\t')) {
      skip_blanks();
      name = !end_of_line() && name_start(text_[at_]) ? read_name() : std::string();
    }
    if (name.empty() || end_of_line() || text_[at_] != '=') refuse(line_, "not a KEY=VALUE line");
    ++at_;
    into[name] = read_value();
  }

  /// A value is made of quoted and bare parts, as in a shell. A bare `#` after a blank begins a
  /// comment; other bare blanks are part of the value, as systemd and docker read them.
  std::string read_value() {
    skip_blanks();
    std::string value;
    std::size_t solid = 0;  // Up to here nothing is trimmed: quoted, or not blank.
    while (!end_of_line()) {
      const char c = text_[at_];
      const bool after_blank = at_ > 0 && (text_[at_ - 1] == ' ' || text_[at_ - 1] == '\t');
      if (c == '#' && after_blank) {
        skip_comment();
        break;
      }
      if (c == '\'' || c == '"') {
        read_quoted(c, value);
        solid = value.size();
        continue;
      }
      if (c == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] != '\n') ++at_;
      if (text_[at_] == '\0') refuse(line_, "a NUL byte");
      value += text_[at_];
      if (c != ' ' && c != '\t' && c != '\r') solid = value.size();
      ++at_;
    }
    value.resize(solid);
    return value;
  }

  void read_quoted(char quote, std::string& value) {
    const std::size_t opened = line_;
    ++at_;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\0') refuse(line_, "a NUL byte");
      if (quote == '"' && text_[at_] == '\\' && at_ + 1 < text_.size()) {
        ++at_;
        append_escape(value);
      } else {
        value += text_[at_];
      }
      step();
    }
    if (at_ >= text_.size()) refuse(opened, "a quote that is never closed");
    ++at_;
  }

  void append_escape(std::string& value) const {
    switch (text_[at_]) {
      case 'n':
        value += '\n';
        return;
      case 't':
        value += '\t';
        return;
      case 'r':
        value += '\r';
        return;
      case '"':
      case '\\':
      case '$':
      case '`':
        value += text_[at_];
        return;
      case '\n':
        return;  // A continued line.
    }
    value += '\\';
    value += text_[at_];
  }

  const std::string& path_;
  const std::string& text_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
};

std::string read_small_file(const std::string& path) {
  const auto refuse = [&path](int error) {
    throw StartRefused("env_file", error, fmt::format("{}: {}", path, std::strerror(error)));
  };
  // Non-blocking, so that a FIFO in its place cannot hold up everybody.
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) refuse(errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) < 0) refuse(errno);
  if (!S_ISREG(status.st_mode)) {
    throw StartRefused("env_file", 0, fmt::format("{}: not a regular file", path));
  }
  std::string text;
  std::array<char, 4096> chunk;
  for (;;) {
    const ssize_t size = ::read(fd.get(), chunk.data(), chunk.size());
    if (size < 0) refuse(errno);
    if (size == 0) return text;
    text.append(chunk.data(), static_cast<std::size_t>(size));
    if (text.size() > kMaxEnvFile) refuse(EFBIG);
  }
}

}  // namespace

Environment read_environment(const char* const* block) {
  Environment env;
  for (; block != nullptr && *block != nullptr; ++block) {
    const std::string_view entry = *block;
    const std::size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string_view::npos) continue;
    env.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return env;
}

Environment inherited_environment(const Environment& own) {
  Environment env;
  for (const auto& [name, value] : own) {
    if (!for_supvd_alone(name)) env.emplace(name, value);
  }
  undo_bundle_exec(env);
  return env;
}

Environment clean_environment(const Environment& own) {
  const Environment inherited = inherited_environment(own);
  Environment env;
  env["PATH"] = kDefaultPath;
  for (const char* name : {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG"}) {
    const auto found = inherited.find(name);
    if (found != inherited.end()) env[name] = found->second;
  }
  return env;
}

void parse_env_text(const std::string& path, const std::string& text, Environment& into) {
  EnvText(path, text).read(into);
}

void read_env_file(const std::string& path, Environment& into) {
  parse_env_text(path, read_small_file(path), into);
}

}  // namespace supv
