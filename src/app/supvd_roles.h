#pragma once

#include <optional>

namespace supv {

/// When the command line says `--role NAME`: lives that role's life and returns its exit code.
/// Roles are started by the keeper; their channels are descriptors 3 and up.
std::optional<int> run_role(int argc, char** argv);

}  // namespace supv
