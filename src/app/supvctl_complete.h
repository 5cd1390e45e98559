#pragma once

#include <string>

#include "app/supvctl_invocation.h"

namespace supv::ctl {

/// The script that makes a shell ask `supvctl __complete`; empty for an unknown shell.
std::string completion_script(const std::string& shell);
/// Prints what the last word may become, one a line. Never fails: without supvd there are no names.
void print_completions(const Invocation& invocation);

}  // namespace supv::ctl
