#pragma once

#include "base/fd.h"

namespace supv {

/// Writes this process into the lock file as its owner. Throws KeeperError.
void sign_lock(const Fd& lock);

}  // namespace supv
