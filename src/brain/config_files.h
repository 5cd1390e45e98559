#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "brain/kept_config.h"
#include "config/load.h"
#include "core/spec.h"

namespace supv {

/// The configuration that is in force: which files and directories it is read from, and a copy of
/// what they said when it was accepted. Both are kept in the runtime directory, so that neither a
/// death of the brain nor a broken edit changes anything. Watches that a load kept although no file
/// names them any more (retained) are in force too: each is remembered with the files that defined
/// it last.
class ConfigFiles {
 public:
  /// What a load came to.
  struct Outcome {
    std::optional<Config> config;       ///< Of begin(): with what is retained.
    std::vector<std::string> retained;  ///< Names of its watches that no file names any more.
    std::string diagnostics;            ///< Rendered; warnings too.
    std::vector<std::string> warnings;
    bool incomplete = false;  ///< Loaded::incomplete: nothing else counts.
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
  /// `plugin` as in FileAccess.
  Outcome load(std::uint64_t ticket, const std::vector<std::string>& files,
               decltype(FileAccess::plugin) plugin = {});
  struct Committed {
    bool written = true;               ///< The copy is on the runtime directory.
    std::vector<std::string> watches;  ///< Names of the watches it defines, and of the retained.
    std::vector<std::string> unknown;  ///< Those to retain of which nobody knows a definition.
  };
  /// The configuration of `ticket` is in force from now on, and with it `retained`: names of
  /// watches that it does not define and that were in force before. Empty: it is since long.
  std::optional<Committed> commit(std::uint64_t ticket,
                                  const std::vector<std::string>& retained = {});

 private:
  using Retained = KeptConfig::Retained;
  struct Candidate {
    FileSet set;
    std::vector<std::string> watches;
  };
  Outcome read(const std::vector<std::string>& paths, FileAccess files) const;
  static FileAccess mixed_access(const FileAccess& disk, const FileSet& set,
                                 const std::vector<std::string>& fresh);
  void add_retained(Outcome& outcome, const std::vector<Retained>& retained) const;
  std::vector<Retained> retain(std::vector<std::string>& names) const;
  std::vector<Retained> sources(std::vector<std::string>& names, const FileSet& set) const;
  std::optional<FileSet> narrowed(const FileSet& set,
                                  const std::vector<const WatchSpec*>& watches) const;
  void propose(std::uint64_t ticket, FileSet set, const Config& config);

  std::string kept_path_;
  std::string instance_;
  LoadInput input_;
  bool has_kept_ = false;
  std::map<std::uint64_t, Candidate> candidates_;  ///< Loaded, not in force yet.
};

}  // namespace supv
