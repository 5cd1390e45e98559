#include "brain/kept_config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>

#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "base/units.h"

namespace supv {

namespace {

constexpr std::string_view kHeader = "supv kept configuration 2";
/// What plugins declare stands among the texts, under a name that no file has.
const std::string kPluginPrefix = "plugin:";

/// Texts of any content, one after the other: "LENGTH:BYTES\n".
void put(std::string& to, std::string_view text) {
  to += fmt::format("{}:", text.size());
  to.append(text) += '\n';
}

void put_list(std::string& to, const std::vector<std::string>& list) {
  put(to, std::to_string(list.size()));
  for (const std::string& one : list) put(to, one);
}

void put_set(std::string& to, const FileSet& set) {
  put_list(to, set.paths);
  put_list(to, {set.recording.directories.begin(), set.recording.directories.end()});
  put(to, std::to_string(set.recording.globs.size()));
  for (const auto& [pattern, paths] : set.recording.globs) {
    put(to, pattern);
    put_list(to, paths);
  }
  put(to, std::to_string(set.recording.texts.size()));
  for (const auto& [path, text] : set.recording.texts) {
    put(to, path);
    put(to, text);
  }
}

/// Takes such texts off the front; empty at anything else.
class Taker {
 public:
  explicit Taker(std::string_view bytes) : bytes_(bytes) {}
  std::optional<std::string> text() {
    const std::size_t colon = bytes_.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const auto size = parse_unsigned(bytes_.substr(0, colon));
    if (!size || *size + 1 > bytes_.size() - colon - 1) return std::nullopt;
    std::string result(bytes_.substr(colon + 1, *size));
    bytes_.remove_prefix(colon + 1 + *size + 1);
    return result;
  }
  std::optional<std::uint64_t> count() {
    const auto written = text();
    return written ? parse_unsigned(*written) : std::nullopt;
  }
  /// A counted list of texts.
  bool list(std::vector<std::string>& into) {
    const auto size = count();
    for (std::uint64_t i = 0; size && i < *size; ++i) {
      auto one = text();
      if (!one) return false;
      into.push_back(std::move(*one));
    }
    return size.has_value();
  }

 private:
  std::string_view bytes_;
};

bool take_recording(Taker& taker, Recording& into) {
  std::vector<std::string> directories;
  if (!taker.list(directories)) return false;
  into.directories.insert(directories.begin(), directories.end());
  const auto globs = taker.count();
  for (std::uint64_t i = 0; globs && i < *globs; ++i) {
    const auto pattern = taker.text();
    if (!pattern || !taker.list(into.globs[*pattern])) return false;
  }
  const auto texts = taker.count();
  for (std::uint64_t i = 0; globs && texts && i < *texts; ++i) {
    const auto path = taker.text();
    auto text = taker.text();
    if (!path || !text) return false;
    into.texts.emplace(*path, std::move(*text));
  }
  return globs && texts;
}

bool take_set(Taker& taker, FileSet& into) {
  return taker.list(into.paths) && take_recording(taker, into.recording);
}

std::string whole_file(const std::string& path) {
  std::string bytes;
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return bytes;
  std::array<char, 65536> chunk;
  ssize_t size = 0;
  while ((size = ::read(fd.get(), chunk.data(), chunk.size())) > 0) {
    bytes.append(chunk.data(), static_cast<std::size_t>(size));
  }
  return bytes;
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::write(fd, bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

}  // namespace

FileAccess recording_access(FileAccess under, Recording& into) {
  FileAccess access;
  access.read = [under, &into](const std::string& path, std::string& error) {
    auto text = under.read(path, error);
    if (text) into.texts[path] = *text;
    return text;
  };
  access.glob = [under, &into](const std::string& pattern) {
    return into.globs[pattern] = under.glob(pattern);
  };
  access.is_directory = [under, &into](const std::string& path) {
    const bool is = under.is_directory(path);
    if (is) into.directories.insert(path);
    return is;
  };
  access.plugin = [under, &into](const std::string& path, const FileAccess::Options* tried) {
    FileAccess::Plugin plugin = under.plugin ? under.plugin(path, tried) : FileAccess::Plugin{};
    if (tried == nullptr && plugin.state == FileAccess::Plugin::State::known)
      into.texts[kPluginPrefix + path] = plugin.text;
    return plugin;
  };
  return access;
}

FileAccess replaying_access(const Recording& recording) {
  const auto held = std::make_shared<const Recording>(recording);
  FileAccess access;
  access.read = [held](const std::string& path, std::string& error) -> std::optional<std::string> {
    const auto found = held->texts.find(path);
    if (found != held->texts.end()) return found->second;
    error = "No such file or directory";
    return std::nullopt;
  };
  access.glob = [held](const std::string& pattern) {
    const auto found = held->globs.find(pattern);
    return found == held->globs.end() ? std::vector<std::string>() : found->second;
  };
  access.is_directory = [held](const std::string& path) {
    return held->directories.count(path) > 0;
  };
  // What was accepted once is not tried again.
  access.plugin = [held](const std::string& path,
                         const FileAccess::Options* tried) -> FileAccess::Plugin {
    using State = FileAccess::Plugin::State;
    if (tried != nullptr) return {State::known, {}};
    const auto found = held->texts.find(kPluginPrefix + path);
    if (found != held->texts.end()) return {State::known, found->second};
    return {State::refused, "nothing is known of it"};
  };
  return access;
}

std::optional<KeptConfig> read_kept(const std::string& path, const std::string& instance) {
  const std::string bytes = whole_file(path);
  Taker taker(bytes);
  const auto header = taker.text();
  const auto writer = taker.text();
  if (!header || *header != kHeader || !writer || *writer != instance) return std::nullopt;
  KeptConfig kept;
  if (!take_set(taker, kept.set)) return std::nullopt;
  const auto entries = taker.count();
  for (std::uint64_t i = 0; entries && i < *entries; ++i) {
    KeptConfig::Retained& entry = kept.retained.emplace_back();
    if (!taker.list(entry.watches) || !take_set(taker, entry.from)) return std::nullopt;
  }
  if (!entries) return std::nullopt;
  return kept;
}

bool write_kept(const std::string& path, const std::string& instance, const KeptConfig& kept) {
  std::string bytes;
  put(bytes, kHeader);
  put(bytes, instance);
  put_set(bytes, kept.set);
  put(bytes, std::to_string(kept.retained.size()));
  for (const KeptConfig::Retained& entry : kept.retained) {
    put_list(bytes, entry.watches);
    put_set(bytes, entry.from);
  }
  const std::string fresh = path + ".new";
  // 0600: watch files may hold what only their owner may read.
  const Fd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd || !write_all(fd.get(), bytes)) return false;
  return ::rename(fresh.c_str(), path.c_str()) == 0;
}

}  // namespace supv
