#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/collect.h"
#include "config/merge.h"

namespace supv {

/// Resolves `extends` and `defaults`.
class Inheritance {
 public:
  Inheritance(Collection& files, Merger& merger, Reader& reader, const LoadInput& input)
      : files_(files), merger_(merger), reader_(reader), input_(input) {}

  /// All keys of the watch: its own, over those of what it extends, over the defaults of its file
  /// and of the files that include it. nullptr after an error.
  const Node* resolve(const WatchEntry& watch);
  /// Checks the defaults of a file that has no watches of its own.
  void check(const Document& document) { defaults_of(document); }

 private:
  const Node* extended(const WatchEntry& watch);
  const WatchEntry* base_of(const WatchEntry& watch, const Node& name);
  bool circular(const WatchEntry& watch, const Node& reference);
  /// The defaults that apply in a file, merged; nullptr if there are none.
  const Node* defaults_of(const Document& document);
  void report_unknown_base(const WatchEntry& watch, const Node& reference, const std::string& name);

  Collection& files_;
  Merger& merger_;
  Reader& reader_;
  const LoadInput& input_;
  std::vector<const WatchEntry*> open_;
  std::map<const Node*, const Node*> resolved_;  ///< By body, without defaults of its file.
  std::map<const Document*, const Node*> defaults_;
};

}  // namespace supv
