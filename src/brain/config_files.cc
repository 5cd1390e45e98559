#include "brain/config_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fnmatch.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "base/units.h"

namespace supv {

namespace {

constexpr std::string_view kHeader = "supv kept configuration 1";
constexpr std::size_t kMaxCandidates = 4;
constexpr std::string_view kWatchFiles = "/*.watch.yaml";

/// Texts of any content, one after the other: "LENGTH:BYTES\n".
void put(std::string& to, std::string_view text) {
  to += fmt::format("{}:", text.size());
  to.append(text) += '\n';
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

void put_list(std::string& to, const std::vector<std::string>& list) {
  put(to, std::to_string(list.size()));
  for (const std::string& one : list) put(to, one);
}

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

bool contains(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

/// True when a directory of the set brings this file along anyway.
bool covered(const std::vector<std::string>& paths, const std::string& file) {
  return std::any_of(paths.begin(), paths.end(), [&file](const std::string& path) {
    return path == file || ::fnmatch((path + std::string(kWatchFiles)).c_str(), file.c_str(),
                                     FNM_PATHNAME | FNM_PERIOD) == 0;
  });
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
  return access;
}

ConfigFiles::ConfigFiles(std::string kept_path, std::string instance, LoadInput input)
    : kept_path_(std::move(kept_path)), instance_(std::move(instance)), input_(std::move(input)) {
  has_kept_ = read_kept().has_value();
}

ConfigFiles::Outcome ConfigFiles::read(const std::vector<std::string>& paths,
                                       FileAccess files) const {
  Outcome outcome;
  {
    LoadInput input = input_;
    input.paths = paths;
    input.files = std::move(files);
    Loaded loaded = supv::load(input);
    outcome.diagnostics = render(loaded.diagnostics);
    for (const Diagnostic& diagnostic : loaded.diagnostics) {
      if (diagnostic.severity != Diagnostic::Severity::warning) continue;
      outcome.warnings.push_back(fmt::format("{}:{}:{}: {}", diagnostic.place.file,
                                             diagnostic.place.line, diagnostic.place.column,
                                             diagnostic.text));
    }
    if (loaded.ok) outcome.config = std::move(loaded.config);
  }
  // The parsed trees of all files were alive at once; the next load may be weeks away.
  ::malloc_trim(0);
  return outcome;
}

ConfigFiles::Outcome ConfigFiles::begin(const std::vector<std::string>& paths) {
  if (const std::optional<Kept> kept = read_kept()) {
    Outcome in_force = read(kept->paths, replaying_access(kept->recording));
    if (in_force.config) return in_force;
  }
  Kept fresh;
  fresh.paths = paths;
  Outcome outcome = read(fresh.paths, recording_access(disk_access(), fresh.recording));
  if (outcome.config) propose(0, std::move(fresh), *outcome.config);
  return outcome;
}

/// Disk for what is to be read anew, the copy for the other files that watches come from. What
/// those include may have changed with the new file, so it comes from the disk.
FileAccess ConfigFiles::mixed_access(const Kept& kept,
                                     const std::vector<std::string>& fresh) const {
  const FileAccess disk = disk_access();
  const auto old = std::make_shared<const Kept>(kept);
  FileAccess access = disk;
  access.read = [disk, old, fresh](const std::string& path, std::string& error) {
    const auto found = old->recording.texts.find(path);
    const bool from_set = covered(old->paths, path) && !contains(fresh, path);
    if (from_set && found != old->recording.texts.end()) {
      return std::optional<std::string>(found->second);
    }
    return disk.read(path, error);
  };
  access.glob = [disk, old, fresh](const std::string& pattern) {
    const auto found = old->recording.globs.find(pattern);
    if (found == old->recording.globs.end()) return disk.glob(pattern);
    std::vector<std::string> paths = found->second;
    for (const std::string& file : fresh) {
      if (::fnmatch(pattern.c_str(), file.c_str(), FNM_PATHNAME | FNM_PERIOD) != 0) continue;
      if (!contains(paths, file)) paths.push_back(file);
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  };
  return access;
}

ConfigFiles::Outcome ConfigFiles::load(std::uint64_t ticket,
                                       const std::vector<std::string>& files) {
  const std::optional<Kept> kept = read_kept();
  Kept next;
  if (kept) next.paths = kept->paths;
  for (const std::string& file : files) {
    if (!covered(next.paths, file)) next.paths.push_back(file);
  }
  const bool whole = files.empty() || !kept;
  Outcome outcome =
      read(next.paths,
           recording_access(whole ? disk_access() : mixed_access(*kept, files), next.recording));
  if (!outcome.config) return outcome;
  propose(ticket, std::move(next), *outcome.config);
  return outcome;
}

void ConfigFiles::propose(std::uint64_t ticket, Kept kept, const Config& config) {
  for (const WatchSpec& watch : config.watches) kept.watches.push_back(watch.name);
  candidates_[ticket] = std::move(kept);
  // Those of plans are never committed.
  if (candidates_.size() > kMaxCandidates) candidates_.erase(candidates_.begin());
}

std::optional<ConfigFiles::Committed> ConfigFiles::commit(std::uint64_t ticket) {
  const auto found = candidates_.find(ticket);
  if (found == candidates_.end()) return std::nullopt;
  Kept kept = std::move(found->second);
  candidates_.clear();
  Committed committed{write_kept(kept), std::move(kept.watches)};
  kept = {};
  ::malloc_trim(0);
  return committed;
}

std::optional<ConfigFiles::Kept> ConfigFiles::read_kept() const {
  const std::string bytes = whole_file(kept_path_);
  Taker taker(bytes);
  const auto header = taker.text();
  const auto instance = taker.text();
  if (!header || *header != kHeader || !instance || *instance != instance_) return std::nullopt;
  Kept kept;
  if (!taker.list(kept.paths) || !take_recording(taker, kept.recording)) return std::nullopt;
  return kept;
}

bool ConfigFiles::write_kept(const Kept& kept) const {
  std::string bytes;
  put(bytes, kHeader);
  put(bytes, instance_);
  put_list(bytes, kept.paths);
  put_list(bytes, {kept.recording.directories.begin(), kept.recording.directories.end()});
  put(bytes, std::to_string(kept.recording.globs.size()));
  for (const auto& [pattern, paths] : kept.recording.globs) {
    put(bytes, pattern);
    put_list(bytes, paths);
  }
  put(bytes, std::to_string(kept.recording.texts.size()));
  for (const auto& [path, text] : kept.recording.texts) {
    put(bytes, path);
    put(bytes, text);
  }
  const std::string fresh = kept_path_ + ".new";
  // 0600: watch files may hold what only their owner may read.
  const Fd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd || !write_all(fd.get(), bytes)) return false;
  return ::rename(fresh.c_str(), kept_path_.c_str()) == 0;
}

}  // namespace supv
