#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/check.h"
#include "core/messages.h"

namespace supv {

/// Numbers for runs, and whose they are. A number is generation << 16 | slot: the slot is free at
/// the keeper, the generation is higher than any seen before.
class RunIds {
 public:
  /// Slots below belong to supvd's own processes (0 is the brain's): first its roles, then the
  /// commands it runs for conditions and contacts, then plugins. The lowest ones: what the keeper
  /// looks through ends with the highest slot in use.
  static constexpr std::uint32_t kFirst = 96;
  static constexpr std::uint32_t kFirstPlugin = 64;
  static constexpr std::uint32_t kFirstCommand = 8;
  static constexpr std::uint32_t kSlots = 16000;

  /// A run that exists already.
  void take(RunId run, std::uint32_t watch) {
    const auto number = static_cast<std::uint64_t>(run);
    generation_ = std::max(generation_, number >> 16);
    used_[number & 0xffff] = true;
    owner_[run] = watch;
  }
  void at_least(std::uint64_t generation) { generation_ = std::max(generation_, generation); }

  /// A new run of `watch`.
  RunId make(std::uint32_t watch) {
    std::uint32_t slot = hint_;
    while (used_[slot]) ++slot;
    SUPV_CHECK(slot < kSlots);
    hint_ = slot + 1;
    used_[slot] = true;
    const auto run = static_cast<RunId>(++generation_ << 16 | slot);
    owner_[run] = watch;
    return run;
  }
  /// A number for conditions that are judged while nothing runs: no slot belongs to it.
  RunId make_idle(std::uint32_t watch) {
    const auto run = static_cast<RunId>(++generation_ << 16);
    owner_[run] = watch;
    return run;
  }
  void release(RunId run) {
    const auto slot = static_cast<std::uint32_t>(static_cast<std::uint64_t>(run) & 0xffff);
    if (owner_.erase(run) == 0 || slot == 0) return;
    used_[slot] = false;
    hint_ = std::min(hint_, slot);
  }
  /// The watch whose run this is; nothing for a run that has been buried.
  std::optional<std::uint32_t> owner(RunId run) const {
    const auto at = owner_.find(run);
    return at == owner_.end() ? std::nullopt : std::optional(at->second);
  }
  bool full(std::uint32_t watches) const { return watches * 2 >= kSlots; }

 private:
  std::uint64_t generation_ = 0;
  std::uint32_t hint_ = kFirst;
  std::vector<bool> used_ = std::vector<bool>(0x10000);
  std::unordered_map<RunId, std::uint32_t> owner_;
};

}  // namespace supv
