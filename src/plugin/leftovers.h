#pragma once

#include <sys/types.h>

#include <cstddef>
#include <vector>

namespace supv {

/// Children of this process, those that it has adopted among them.
std::vector<pid_t> children();

/// Kills all children of this process and theirs, and waits for them. This process must be their
/// subreaper (PR_SET_CHILD_SUBREAPER), or theirs get away. Returns how many were alive.
std::size_t kill_what_is_left();

}  // namespace supv
