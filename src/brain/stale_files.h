#pragma once

#include <sys/types.h>

#include "core/messages.h"

namespace supv {

/// god's behaviors clean_pid_file and clean_unix_socket, before a start: removes the spawn's
/// stale_pid_file if it names no live process, and its stale_socket if nobody listens on it. What
/// is not a pid file or a socket, or is not owned by `uid`, stays. Failures do no harm.
void remove_stale(const fx::Spawn& spawn, uid_t uid);

}  // namespace supv
