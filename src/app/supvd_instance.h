#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "app/supvd_settings.h"
#include "base/fd.h"

namespace supv {

/// Why supvd cannot start; one line for people.
struct CannotStart : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Makes a directory (and what is missing above it) and checks that it is ours alone: no symlink,
/// our own or root's, and with `mode` nobody else may write, or with 0700 even read. Throws
/// CannotStart.
void make_own_directory(const std::string& path, std::uint32_t mode);

/// What makes this process the only supvd of its socket, runtime and state directory.
struct Instance {
  Fd lock;        ///< Of the runtime directory.
  Fd state_lock;  ///< Of the state directory.
  Fd listener;    ///< Bound, not yet listening: who listens is whom clients see.
};

/// Makes the directories, takes the locks and binds the socket. Throws CannotStart, which names
/// the pid of a supvd that is already there.
Instance claim_instance(const Settings& settings, std::uint32_t socket_mode);
/// The state directory's lock again, after a re-execution.
Fd lock_state(const Settings& settings);
/// Writes our pid where others look for it: the state lock and, if asked for, the pid file.
void write_pid(const Settings& settings, const Fd& state_lock);
/// Removes what claim_instance and write_pid left in the file system, if it is still ours.
void leave_instance(const Settings& settings);

}  // namespace supv
