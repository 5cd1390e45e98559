#pragma once

#include <bit>
#include <cstdint>
#include <string>

#include "core/messages.h"

namespace supv {

/// Judges one polled condition over one run: interval, and "3 of the last 5". It never acts.
class Trial {
 public:
  explicit Trial(TimesSpec times) : times_(times) {}

  /// Takes one answer; true when the condition holds now. Unknown answers neither count nor clear.
  bool record(Verdict verdict) {
    if (verdict == Verdict::unknown) return false;
    const std::uint64_t window = times_.of >= 64 ? ~0ULL : (1ULL << times_.of) - 1;
    history_ = (history_ << 1 | (verdict == Verdict::yes ? 1U : 0U)) & window;
    return std::popcount(history_) >= times_.fires;
  }
  /// After it has acted (notify_if) the count starts again.
  void clear() { history_ = 0; }

 private:
  TimesSpec times_;
  std::uint64_t history_ = 0;
};

}  // namespace supv
