#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/fd.h"
#include "keeper/wire.h"

namespace supv {

/// Why a keeper cannot start; the text is one line for people.
struct KeeperError : std::runtime_error {
  using std::runtime_error::runtime_error;
  int running_pid = 0;  ///< Not 0: another supvd has this runtime directory.
};

/// Takes RUNTIME_DIR/lock, which makes this process (and, through the descriptor, its forked
/// successor) the only supvd of that directory. The directory exists. Waits up to 5 s for children
/// of a dead keeper that are still between fork and gate. Throws KeeperError.
/// Bind the control socket only after this.
Fd take_lock(const std::string& runtime_dir);

/// What a re-executed keeper brings along (USR2). Non-empty exactly when this process image was
/// started that way; look here before parsing arguments for side effects, locking or binding.
struct Reborn {
  Fd lock;
  Fd listener;
  Fd state;  ///< For run_keeper alone.
};
std::optional<Reborn> reborn();

struct KeeperOptions {
  std::string runtime_dir;  ///< Exists, 0700; holds the records. The instance's identity.
  Fd lock;                  ///< From take_lock or reborn.
  Fd listener;              ///< Handed to each brain as descriptor 4; 3 is its channel.
  Fd state;                 ///< From reborn; else empty.
  /// Made with PlanBuilder. Let its path be /proc/self/exe: then keeper and brain always speak the
  /// same protocol, even when the file on disk has been replaced; USR2 takes the new one.
  Fd brain_plan;
  std::uint32_t max_watches = 4096;  ///< Runs at a time; slots beyond it are for guests and roles.
  std::string reexec_path;           ///< USR2: the program, usually the path it was started by.
  std::vector<std::string> reexec_argv;  ///< USR2: as this process got them; empty: USR2 is only
                                         ///< told to the brain.
};

/// The keeper, until it is to end: returns supvd's exit code. Single-threaded caller; changes the
/// process for good (signal mask, subreaper, limits). Throws KeeperError before anything is
/// started.
int run_keeper(KeeperOptions options);

}  // namespace supv
