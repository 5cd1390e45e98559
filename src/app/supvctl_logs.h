#pragma once

#include <vector>

#include "app/supvctl_invocation.h"
#include "core/protocol.h"

namespace supv::ctl {

/// Prints the last lines of the logs, each with its watch's name before it when there are several
/// logs, and with `-f` what is added, across rotations, until interrupted. Returns an exit code.
int print_logs(const std::vector<protocol::LogFiles>& logs, const Invocation& invocation);

}  // namespace supv::ctl
