#include "keeper/tag.h"

namespace supv {
namespace {

constexpr std::uint64_t kLow = 0x3ffffff;           // 26 bits
constexpr std::uint64_t kOuter = (1ULL << 36) - 1;  // Keeps tags below what some tools call huge.
constexpr std::uint64_t kInner = (1ULL << 25) - 1;

bool is_outermost(std::uint64_t limit) {
  return (limit & kLow) == kLow && limit >> 26U != 0 && limit >> 62U == 0;
}

}  // namespace

TagRange range_of(std::uint64_t tag) { return {is_outermost(tag) ? tag & ~kLow : tag, tag}; }

TagSource::TagSource(std::uint64_t inherited, std::uint64_t random)
    : kind_(inherited == UINT64_MAX   ? Kind::outermost
            : is_outermost(inherited) ? Kind::nested
                                      : Kind::none),
      range_(inherited & ~kLow),
      count_(random & (kind_ == Kind::nested ? kInner : kOuter)) {}

std::uint64_t TagSource::next() {
  switch (kind_) {
    case Kind::outermost:
      count_ = count_ >= kOuter ? 1 : count_ + 1;
      return count_ << 26U | kLow;
    case Kind::nested:
      // The last one would be the surrounding run's own tag.
      count_ = count_ + 1 >= kInner ? 1 : count_ + 1;
      return range_ | count_ << 1U | 1U;
    case Kind::none:
      return 0;
  }
  return 0;
}

}  // namespace supv
