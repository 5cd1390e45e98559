#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.h"

namespace supv {

/// The JSON leaves of a value: pointer and a hash of its content, sorted. Tells which part changed
/// without keeping the value.
using Leaves = std::vector<std::pair<std::string, std::uint32_t>>;

/// One valid observation of a watched key or prefix. Holds no content, only its keyed digest.
struct Sample {
  enum class Kind : std::uint8_t { none, absent, present };
  Kind kind = Kind::none;
  std::uint64_t index = 0;  ///< ModifyIndex; shown, never compared.
  Digest digest;            ///< Empty unless present.
  std::int64_t wall_ms = 0;
  std::shared_ptr<const Leaves> leaves;  ///< Null when unknown (not JSON, or from a record).

  /// Content only: rewriting the same value, locks and flags are no change.
  bool same_as(const Sample& other) const { return kind == other.kind && digest == other.digest; }
};

/// The samples one condition has seen since its run was started: the baseline first, then the
/// distinct ones that followed, at most `window` in all. The baseline is never dropped.
class Timeline {
 public:
  explicit Timeline(std::uint32_t window) : window_(window) {}

  /// A run (or a reload) begins under `baseline`; what came before no longer counts. Kind none:
  /// the first sample becomes the baseline, which is then `assumed`.
  void begin(const Sample& baseline, bool assumed);
  /// Takes a valid sample; true when it differs from the newest one.
  bool push(const Sample& sample);

  bool changed() const;
  bool assumed() const { return assumed_; }
  bool has_baseline() const { return !samples_.empty(); }
  const Sample& baseline() const { return samples_.front(); }
  const Sample& newest() const { return samples_.back(); }
  const std::vector<Sample>& samples() const { return samples_; }
  /// "index 12 → 15 (/redis/host)": never a value.
  std::string describe_change() const;

 private:
  std::uint32_t window_;
  bool assumed_ = false;
  std::vector<Sample> samples_;
};

}  // namespace supv
