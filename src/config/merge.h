#pragma once

#include "config/tree.h"

namespace supv {

/// Merges the keys of watches: maps merge, everything else is replaced. Counts what it makes, so
/// that a small file cannot unfold to more than a machine holds.
class Merger {
 public:
  Merger(Arena& arena, Report& report) : arena_(arena), report_(report) {}

  /// `over` on top of `base`, both the keys of a watch. `extends` is not inherited; what `over`
  /// says about the stop ladder or about readiness replaces all of what `base` says about it.
  const Node* watch(const Node& base, const Node& over);

 private:
  const Node* merge(const Node& base, const Node& over, bool of_watch);

  Arena& arena_;
  Report& report_;
  std::size_t merged_ = 0;
};

}  // namespace supv
