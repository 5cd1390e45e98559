#pragma once

#include <cstdint>

namespace supv {

/// The mark that every process of a run carries and cannot lose: a unique hard RLIMIT_LOCKS, which
/// Linux has not used since 2.4, which children inherit, and which /proc shows.
///
/// A supvd outside of any other has the tags k << 26 | 0x3ffffff. One that runs inside such a run
/// lowers the last 26 bits: its tags lie in the range of the run that it is a part of, so that
/// run's sweep finds them. One inside of that has no tags left.
struct TagRange {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool has(std::uint64_t value) const { return low <= value && value <= high; }
};

/// What the processes of a run with this tag may carry.
TagRange range_of(std::uint64_t tag);

/// Makes tags for runs.
class TagSource {
 public:
  /// `inherited`: this process's own hard limit (UINT64_MAX: unlimited); `random`: any bits.
  TagSource(std::uint64_t inherited, std::uint64_t random);
  /// A new tag; 0: there are none for us.
  std::uint64_t next();

 private:
  enum class Kind : std::uint8_t { outermost, nested, none };
  Kind kind_;
  std::uint64_t range_;
  std::uint64_t count_;
};

}  // namespace supv
