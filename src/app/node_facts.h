#pragma once

#include <string>

#include "config/load.h"

namespace supv {

/// Host name, and address and MAC of an interface: of `interface` if it is given, else of the first
/// one with a private IPv4 that has a default route or is a physical device, never a bridge.
NodeFacts node_facts(const std::string& interface);

}  // namespace supv
