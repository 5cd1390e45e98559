#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/messages.h"

namespace supv {

/// A process that another supervisor started.
struct OtherRun {
  int pid = 0;
  std::uint64_t start_ticks = 0;  ///< Field 22 of its /proc/PID/stat.
  Moment started;
};

/// Whom another supervisor's pid file names, if that is certain: it lives, runs as the user that
/// `process` says, belongs to no supvd, and began before the file was written (a pid that was given
/// to somebody else since began later). Empty: nobody; `why` says what is wrong, and stays empty
/// when there is no such file.
std::optional<OtherRun> find_other(const ProcessSpec& process, const std::string& pid_file,
                                   std::string& why);

}  // namespace supv
