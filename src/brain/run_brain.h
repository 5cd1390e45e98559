#pragma once

#include <string>

#include "config/load.h"

namespace supv {

/// What a brain is started with; supvd's flags and defaults, resolved.
struct BrainOptions {
  LoadInput load;           ///< `paths` are absolute; used only by a new supvd, see ConfigFiles.
  std::string socket;       ///< Path of the control socket.
  std::string runtime_dir;  ///< Exists, 0700.
  std::string state_dir;    ///< Is made (0700) if need be.
  std::string log_dir;      ///< Of captured output; is made (0755) if need be.
  std::string log_file;     ///< supvd's own log; empty: standard error.
  std::string log_level;    ///< Empty: what the configuration says, else info.
  std::string log_format;   ///< The same; else text.
  std::string version;
  bool dev = false;         ///< The trial KV runs.
  std::string probe;        ///< Only this watch counts; nothing is started, nobody is told.
  bool foreground = false;  ///< Or told by -l: `daemon.log` does not move the log.
  int keeper_fd = 3;        ///< The channel to the keeper.
  int listener_fd = 4;      ///< The control socket, listening.
};

/// A brain's whole life. Returns its exit code; anything but 0 makes the keeper start another.
int run_brain(const BrainOptions& options);

}  // namespace supv
