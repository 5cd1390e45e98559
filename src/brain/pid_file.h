#pragma once

#include <string>

#include "core/spec.h"

namespace supv {

/// What a pid file says: a number from 2 to pid_max, with white space around it. 0 when there is no
/// such file, or it says anything else. Never blocks and has no side effects, whatever stands at
/// that path.
int read_pid_file(const ProcessSpec& process, const std::string& path);

}  // namespace supv
