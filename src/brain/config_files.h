#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/load.h"
#include "core/messages.h"

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

/// The configuration that is in force: which files and directories it is read from, and a copy of
/// what they said when it was accepted. Both are kept in the runtime directory, so that neither a
/// death of the brain nor a broken edit changes anything.
class ConfigFiles {
 public:
  /// What a load came to.
  struct Outcome {
    std::optional<Config> config;
    std::string diagnostics;  ///< Rendered; warnings too.
    std::vector<std::string> warnings;
  };

  /// `input` has everything but `paths` and `files`. `instance` names this life of supvd (not of
  /// its brain): what another one kept is not used.
  ConfigFiles(std::string kept_path, std::string instance, LoadInput input);

  /// Whether this instance has had a configuration before: only its brain is new.
  bool has_kept() const { return has_kept_; }
  /// The configuration a brain begins with: the one in force, from its copy, whatever has become of
  /// the files (somebody may be editing them, and the end of a brain is no load); `paths` if this
  /// supvd is new. In force after commit(0).
  Outcome begin(const std::vector<std::string>& paths);
  /// Reads `files` anew, everything else as it was; empty: reads the whole set anew. Nothing is in
  /// force before commit().
  Outcome load(std::uint64_t ticket, const std::vector<std::string>& files);
  struct Committed {
    bool written = true;               ///< The copy is on the runtime directory.
    std::vector<std::string> watches;  ///< Names of the watches it defines.
  };
  /// The configuration of `ticket` is in force from now on. Empty: it is since long.
  std::optional<Committed> commit(std::uint64_t ticket);

 private:
  struct Kept {
    std::vector<std::string> paths;
    Recording recording;
    std::vector<std::string> watches;  ///< Not written down.
  };
  Outcome read(const std::vector<std::string>& paths, FileAccess files) const;
  FileAccess mixed_access(const Kept& kept, const std::vector<std::string>& fresh) const;
  void propose(std::uint64_t ticket, Kept kept, const Config& config);
  std::optional<Kept> read_kept() const;
  bool write_kept(const Kept& kept) const;

  std::string kept_path_;
  std::string instance_;
  LoadInput input_;
  bool has_kept_ = false;
  std::map<std::uint64_t, Kept> candidates_;  ///< Loaded, not in force yet.
};

}  // namespace supv
