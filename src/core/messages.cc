#include "core/messages.h"

#include <fmt/format.h>

namespace supv {

std::string describe(const ExitStatus& status) {
  switch (status.how) {
    case ExitStatus::How::code:
      return fmt::format("exit {}", status.value);
    case ExitStatus::How::signal:
      return fmt::format("killed by {}{}", signal_name(status.value),
                         status.core ? " (core dumped)" : "");
    case ExitStatus::How::unknown:
      break;
  }
  return "ended, status unknown";
}

}  // namespace supv
