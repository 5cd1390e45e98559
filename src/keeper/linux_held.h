#pragma once

#include <cstdint>

#include "keeper/linux_kernel.h"

/// Inside of LinuxKernel; only linux_*.cc include this.
namespace supv {

/// What is held for a slot. All zeros: nothing, so descriptors are stored plus one where 0 counts.
struct LinuxKernel::Held {
  std::int32_t pidfd;  ///< Plus one.
  std::int32_t line;   ///< Plus one; gate and error channel, until exec is settled.
  std::int32_t stored[wire::kMaxStored];
  std::uint32_t serial;  ///< Tells its epoll events from those of an earlier life of the slot.
  std::uint8_t stored_count;
  bool watched;
  bool polled;  ///< There is no pidfd to wait for.

  bool used() const { return watched || line != 0 || stored_count != 0; }
};

}  // namespace supv
