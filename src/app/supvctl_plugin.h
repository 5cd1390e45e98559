#pragma once

#include "app/supvctl_invocation.h"

namespace supv::ctl {

/// `plugin check FILE.so [--option NAME=VALUE]...`: what supvd would do to a plugin, done to it in
/// a process of its own; a line for each thing that was found out. 0: nothing is wrong; 1; 2:
/// usage.
int check_plugin_file(const Invocation& invocation);

}  // namespace supv::ctl
