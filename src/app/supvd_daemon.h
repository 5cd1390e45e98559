#pragma once

#include "app/supvd_instance.h"
#include "app/supvd_settings.h"
#include "base/fd.h"
#include "keeper/run_keeper.h"

namespace supv {

/// Puts the process into a state that does not depend on who started it: descriptors 0 to 2 open,
/// every signal at its default and unblocked, umask 022. Call it first.
void reset_process();

/// Becomes the keeper of a claimed instance: listens, starts the brain, returns supvd's exit code.
/// `launched` (may be empty) gets one byte once the control socket takes connections. Throws
/// KeeperError, CannotStart and std::system_error before anything has been started.
int become_keeper(const Settings& settings, Instance instance, const Fd& launched);
/// The same for a keeper that was re-executed (USR2).
int resume_keeper(const Settings& settings, Reborn before);

/// Forks the daemon, waits until it has launched every watch (or, with --wait-ready, until they
/// are ready), says which ones failed, and returns the launcher's exit code.
int launch(const Settings& settings, Instance instance);

}  // namespace supv
