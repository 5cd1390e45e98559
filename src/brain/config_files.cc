#include "brain/config_files.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <malloc.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

namespace supv {

namespace {

constexpr std::size_t kMaxCandidates = 4;
constexpr std::string_view kWatchFiles = "/*.watch.yaml";

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

ConfigFiles::ConfigFiles(std::string kept_path, std::string instance, LoadInput input)
    : kept_path_(std::move(kept_path)), instance_(std::move(instance)), input_(std::move(input)) {
  has_kept_ = read_kept(kept_path_, instance_).has_value();
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
    outcome.incomplete = loaded.incomplete;
    if (loaded.ok && !loaded.incomplete) outcome.config = std::move(loaded.config);
  }
  // The parsed trees of all files were alive at once; the next load may be weeks away.
  ::malloc_trim(0);
  return outcome;
}

ConfigFiles::Outcome ConfigFiles::begin(const std::vector<std::string>& paths) {
  const std::optional<KeptConfig> kept = read_kept(kept_path_, instance_);
  if (kept) {
    Outcome in_force = read(kept->set.paths, replaying_access(kept->set.recording));
    if (in_force.config) {
      add_retained(in_force, kept->retained);
      return in_force;
    }
  }
  FileSet fresh;
  fresh.paths = paths;
  Outcome outcome = read(fresh.paths, recording_access(input_.files, fresh.recording));
  if (outcome.config) {
    propose(0, std::move(fresh), *outcome.config);
    if (kept) add_retained(outcome, kept->retained);
  }
  return outcome;
}

void ConfigFiles::add_retained(Outcome& outcome, const std::vector<Retained>& retained) const {
  for (const Retained& entry : retained) {
    Outcome from = read(entry.from.paths, replaying_access(entry.from.recording));
    if (!from.config) {
      outcome.warnings.push_back(
          fmt::format("what defined {} cannot be read any more", fmt::join(entry.watches, ", ")));
      continue;
    }
    for (WatchSpec& watch : from.config->watches) {
      const auto same = [&watch](const WatchSpec& other) { return other.name == watch.name; };
      std::vector<WatchSpec>& all = outcome.config->watches;
      if (!contains(entry.watches, watch.name) || std::any_of(all.begin(), all.end(), same)) {
        continue;
      }
      outcome.retained.push_back(watch.name);
      all.push_back(std::move(watch));
    }
    std::vector<PluginSpec>& used = outcome.config->plugins.used;
    for (PluginSpec& plugin : from.config->plugins.used) {
      const auto same = [&plugin](const PluginSpec& other) { return other.name == plugin.name; };
      if (std::none_of(used.begin(), used.end(), same)) used.push_back(std::move(plugin));
    }
  }
}

/// Disk for what is to be read anew, the copy for the other files that watches come from. What
/// those include may have changed with the new file, so it comes from the disk.
FileAccess ConfigFiles::mixed_access(const FileAccess& disk, const FileSet& set,
                                     const std::vector<std::string>& fresh) {
  const auto old = std::make_shared<const FileSet>(set);
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

ConfigFiles::Outcome ConfigFiles::load(std::uint64_t ticket, const std::vector<std::string>& files,
                                       decltype(FileAccess::plugin) plugin) {
  FileAccess disk = input_.files;
  disk.plugin = std::move(plugin);
  const std::optional<KeptConfig> kept = read_kept(kept_path_, instance_);
  FileSet next;
  if (kept) next.paths = kept->set.paths;
  for (const std::string& file : files) {
    if (!covered(next.paths, file)) next.paths.push_back(file);
  }
  const bool whole = files.empty() || !kept;
  Outcome outcome =
      read(next.paths,
           recording_access(whole ? disk : mixed_access(disk, kept->set, files), next.recording));
  if (!outcome.config) return outcome;
  propose(ticket, std::move(next), *outcome.config);
  return outcome;
}

void ConfigFiles::propose(std::uint64_t ticket, FileSet set, const Config& config) {
  Candidate& candidate = candidates_[ticket];
  candidate = {std::move(set), {}};
  for (const WatchSpec& watch : config.watches) candidate.watches.push_back(watch.name);
  // Those of plans are never committed.
  if (candidates_.size() > kMaxCandidates) candidates_.erase(candidates_.begin());
}

std::optional<ConfigFiles::Committed> ConfigFiles::commit(
    std::uint64_t ticket, const std::vector<std::string>& retained) {
  const auto found = candidates_.find(ticket);
  if (found == candidates_.end()) return std::nullopt;
  Committed committed;
  {
    Candidate candidate = std::move(found->second);
    candidates_.clear();
    committed.watches = std::move(candidate.watches);
    committed.watches.insert(committed.watches.end(), retained.begin(), retained.end());
    committed.unknown = retained;
    KeptConfig kept{std::move(candidate.set), retain(committed.unknown)};
    committed.written = write_kept(kept_path_, instance_, kept);
  }
  ::malloc_trim(0);
  return committed;
}

/// Where the watches of `names` are defined: as retained before, or by the set that was in force
/// until now. Leaves those in `names` that are defined nowhere.
std::vector<ConfigFiles::Retained> ConfigFiles::retain(std::vector<std::string>& names) const {
  std::vector<Retained> result;
  if (names.empty()) return result;
  std::optional<KeptConfig> before = read_kept(kept_path_, instance_);
  if (!before) return result;
  for (Retained& entry : before->retained) {
    std::erase_if(entry.watches,
                  [&names](const std::string& name) { return std::erase(names, name) == 0; });
    if (!entry.watches.empty()) result.push_back(std::move(entry));
  }
  if (names.empty()) return result;
  for (Retained& entry : sources(names, before->set)) result.push_back(std::move(entry));
  return result;
}

/// Takes those out of `names` that `set` defines; grouped by the least that defines them.
std::vector<ConfigFiles::Retained> ConfigFiles::sources(std::vector<std::string>& names,
                                                        const FileSet& set) const {
  std::vector<Retained> result;
  const Outcome whole = read(set.paths, replaying_access(set.recording));
  if (!whole.config) return result;
  std::map<std::string, std::vector<const WatchSpec*>> by_file;
  for (const WatchSpec& watch : whole.config->watches) {
    if (std::erase(names, watch.name) > 0) by_file[watch.file].push_back(&watch);
  }
  Retained rest{{}, set};
  for (const auto& [file, watches] : by_file) {
    std::optional<FileSet> least = narrowed(set, watches);
    Retained& entry = least ? result.emplace_back(Retained{{}, std::move(*least)}) : rest;
    for (const WatchSpec* watch : watches) entry.watches.push_back(watch->name);
  }
  if (!rest.watches.empty()) result.push_back(std::move(rest));
  return result;
}

/// Their file alone (with what it reads in turn), if it defines them as the whole set does: what is
/// retained load after load must not become a copy of everything each time.
std::optional<FileSet> ConfigFiles::narrowed(const FileSet& set,
                                             const std::vector<const WatchSpec*>& watches) const {
  FileSet least;
  least.paths = {watches.front()->file};
  const Outcome alone =
      read(least.paths, recording_access(replaying_access(set.recording), least.recording));
  if (!alone.config) return std::nullopt;
  const bool same = std::all_of(watches.begin(), watches.end(), [&alone](const WatchSpec* watch) {
    return std::any_of(alone.config->watches.begin(), alone.config->watches.end(),
                       [watch](const WatchSpec& other) {
                         return other.name == watch->name && same_spec(other, *watch);
                       });
  });
  return same ? std::optional(std::move(least)) : std::nullopt;
}

}  // namespace supv
