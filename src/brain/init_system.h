#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "brain/environment.h"
#include "core/messages.h"

namespace supv {

/// What supvd says of itself to the systemd (or supvd) that started it, if one did. Speaks for the
/// keeper, which is the process that was started. Never fails and never waits.
class InitSystem {
 public:
  /// `own`: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are read from it.
  InitSystem(const Environment& own, pid_t keeper);

  void ready();
  void reloading(Time now);
  void stopping();
  /// Keep-alives, twice as often as demanded; empty when none is.
  std::optional<Time> deadline() const { return next_; }
  void tick(Time now);

 private:
  void say(std::string_view text);

  std::string socket_;
  pid_t keeper_;
  std::chrono::microseconds pace_{0};
  std::optional<Time> next_;
};

}  // namespace supv
