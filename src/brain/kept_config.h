#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/load.h"

namespace supv {

/// Everything a load has seen of the file system, so that it can be done again as it was.
struct Recording {
  std::map<std::string, std::string> texts;               ///< By path; what was not there is not.
  std::map<std::string, std::vector<std::string>> globs;  ///< By pattern.
  std::set<std::string> directories;
  bool operator==(const Recording&) const = default;
};

/// `under`, and what it answers goes into `into`, which must outlive it.
FileAccess recording_access(FileAccess under, Recording& into);
/// Answers as the recording says; whatever it does not know does not exist.
FileAccess replaying_access(const Recording& recording);

/// The files and directories of a configuration, with what they said.
struct FileSet {
  std::vector<std::string> paths;
  Recording recording;
  bool operator==(const FileSet&) const = default;
};

/// A configuration in force as it is written down.
struct KeptConfig {
  /// Watches that a load kept although no file names them any more, and where they are defined.
  struct Retained {
    std::vector<std::string> watches;
    FileSet from;
    bool operator==(const Retained&) const = default;
  };
  FileSet set;
  std::vector<Retained> retained;
  bool operator==(const KeptConfig&) const = default;
};

/// What `instance` wrote to `path`; empty for another one's, and for what is damaged.
std::optional<KeptConfig> read_kept(const std::string& path, const std::string& instance);
/// Replaces it as a whole, readable by its owner only. False when that was not possible.
bool write_kept(const std::string& path, const std::string& instance, const KeptConfig& kept);

}  // namespace supv
