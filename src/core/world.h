#pragma once

#include <optional>
#include <vector>

#include "core/messages.h"

namespace supv {

/// Everything that is not a decision: the clocks, the kernel, the network, the conditions.
class World {
 public:
  virtual ~World() = default;
  /// Constant between two waits.
  virtual Moment now() const = 0;
  /// Sleeps until something happens or `wake` has come (then at least a Tick). Never empty.
  virtual std::vector<Event> wait(std::optional<Time> wake) = 0;
  /// Never fails: what goes wrong comes back as an event.
  virtual void perform(const Effect& effect) = 0;
};

}  // namespace supv
