#pragma once

#include <string>
#include <vector>

#include "config/load.h"

namespace supv {

/// What the loader is given on this machine: the environment, the node's facts, the ready-made
/// watches and the built-in conditions. Paths become absolute.
LoadInput load_input(const std::vector<std::string>& paths);

}  // namespace supv
