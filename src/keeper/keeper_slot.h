#pragma once

#include "keeper/keeper.h"

/// Inside of Keeper; only keeper*.cc include this.
namespace supv {

/// One run in memory. Zero bytes are an empty slot, so an untouched table costs no memory; memo and
/// ladder live in the record alone and are read back when they are needed.
struct Keeper::Slot {
  Life life;
  std::int64_t started_monotonic_ns;
  std::int64_t started_wall_ms;
  std::int64_t deadline_ns;  ///< 0: none.
  std::int64_t kill_at_ns;   ///< When KILL is due, or was first sent.
  wire::Phase phase;
  wire::Step step;  ///< Not none: the process never reached exec.
  std::int32_t error;
  std::uint32_t after;
  std::int32_t status_value;
  std::uint32_t left;
  std::int32_t stuck_pid;
  std::int32_t follow_error;
  std::uint16_t news;  ///< What the brain has not been told yet; bits of namespace news.
  std::uint8_t status_how;
  std::uint8_t dumped_core;
  Stage stage;
  std::uint8_t ladder_step;
  std::uint8_t looks;  ///< How often the tree was found not empty: spaces the next look.
  std::uint8_t adopted;

  bool used() const { return phase != wire::Phase::empty; }
  bool over() const { return phase == wire::Phase::gone || phase == wire::Phase::failed; }
  bool main_lives() const { return used() && !over() && life.pid != 0 && status_how == 0; }
  bool is(std::uint32_t flag) const { return (life.flags & flag) != 0; }
  wire::Status status() const { return {status_how, status_value, dumped_core, 0}; }
  void set_status(const wire::Status& status) {
    // A main process that has ended is never without a status: 3 says that nobody could see it.
    status_how = static_cast<std::uint8_t>(status.how == 0 ? 3 : status.how);
    status_value = status.value;
    dumped_core = static_cast<std::uint8_t>(status.dumped_core != 0);
  }
};

namespace news {
inline constexpr std::uint16_t kSlot = 1, kLaunched = 2, kStartFailed = 4, kFollowed = 8,
                               kNotFollowed = 16, kExited = 32, kStuck = 64, kGone = 128;
}

inline constexpr std::int64_t kMillisecond = 1'000'000;
inline constexpr std::int64_t kSecond = 1'000 * kMillisecond;

}  // namespace supv
