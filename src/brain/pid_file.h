#pragma once

#include <time.h>

#include <optional>
#include <string>

#include "core/spec.h"

namespace supv {

/// A pid file: what it says, and when that was written.
struct PidFile {
  int pid = 0;  ///< 0: no pid.
  timespec written{};
};

/// Empty when there is nothing at that path as the run sees it; the rest as read_pid_file().
std::optional<PidFile> look_at_pid_file(const ProcessSpec& process, const std::string& path);

/// What a pid file says: a number from 2 to pid_max, with white space around it. 0 when there is no
/// such file, or it says anything else. Never blocks and has no side effects, whatever stands at
/// that path.
int read_pid_file(const ProcessSpec& process, const std::string& path);

}  // namespace supv
