#pragma once

#include "app/supvctl_invocation.h"

namespace supv::ctl {

/// Runs one command line and returns what the process exits with.
int run_command(const Invocation& invocation);

}  // namespace supv::ctl
