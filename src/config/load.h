#pragma once

#include <supv/condition.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/diagnostic.h"
#include "core/spec.h"

namespace supv {

/// What `${node.…}` stands for. An empty field is one that could not be found out; using it is an
/// error at the place where it is used.
struct NodeFacts {
  std::string hostname;
  std::string ip;
  std::string mac;
  bool operator==(const NodeFacts&) const = default;
};

/// The conditions that a configuration may name. The descriptors must outlive the load.
using Catalog = std::vector<const supv_condition_descriptor*>;

/// How the loader sees the file system; tests and fuzzers put their own here.
struct FileAccess {
  /// What is known of a plugin.
  struct Plugin {
    enum class State : std::uint8_t { known, refused, unknown };
    State state = State::unknown;
    /// known: Declaration::pack(); for a trial why it refuses the options, or nothing.
    /// refused: why it cannot be used. unknown: nothing; it has to be found out first.
    std::string text;
  };
  /// Options as a condition gets them, by name.
  using Options = std::vector<std::pair<std::string, std::string>>;

  /// The content, or empty with `error` set ("No such file or directory"). Reads at most 1 MiB and
  /// one byte, so that a larger file is seen to be too large.
  std::function<std::optional<std::string>(const std::string& path, std::string& error)> read;
  /// The paths that match a glob, sorted.
  std::function<std::vector<std::string>(const std::string& pattern)> glob;
  std::function<bool(const std::string& path)> is_directory;
  /// What the plugin in the file declares; with `tried`, whether it takes these options. Unset:
  /// there are no plugins.
  std::function<Plugin(const std::string& path, const Options* tried)> plugin = {};
};
/// The real one.
FileAccess disk_access();

struct LoadInput {
  /// Files, or directories of which every *.watch.yaml is read.
  std::vector<std::string> paths;
  /// What relative `paths` are relative to; empty: the working directory.
  std::string base_dir;
  std::map<std::string, std::string> environment;  ///< For `${env.NAME}`.
  /// Asked at most once for each interface, and only if a file uses `${node.…}`; the argument is
  /// the name from `node: {interface: …}`, or empty. Without it every fact is unknown.
  std::function<NodeFacts(const std::string& interface)> node;
  /// Where `extends: NAME` looks for NAME.watch.yaml, in this order.
  std::vector<std::string> watch_dirs;
  /// Where plugins are looked for after the places that `plugins` names, in this order.
  std::vector<std::string> plugin_dirs;
  Catalog catalog;
  FileAccess files = disk_access();
};

struct Loaded {
  Config config;  ///< Complete only if `ok`.
  /// Every error and warning, by file in the order of reading, then by line.
  std::vector<Diagnostic> diagnostics;
  bool ok = false;
  /// Something had to be assumed of a plugin of which nothing was known: neither `config` nor the
  /// diagnostics count. Each question was put to FileAccess::plugin.
  bool incomplete = false;
};

/// Reads, checks and resolves a whole configuration. Never throws for what a file contains, and
/// never executes anything.
Loaded load(const LoadInput& input);

/// The JSON Schema (draft-07) of a watch file, generated from the tables that the loader checks
/// with.
std::string json_schema(const Catalog& catalog);

}  // namespace supv
