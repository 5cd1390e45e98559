#pragma once

#include <cstdint>
#include <string>

namespace supv {

/// What a process that runs a plugin may do.
struct Confinement {
  /// Whose rights it has. Empty: `nobody` if this process is root's, else unchanged. Another user
  /// than its own needs root.
  std::string user;
  std::uint64_t memory = std::uint64_t{256} << 20;  ///< Bytes of private memory.
  /// Processes and threads that its user may have beside those that there are now. The kernel
  /// counts those of one user together, whoever started them.
  std::uint64_t tasks = 64;
};

/// Confines this process for good: user and groups, memory, descriptors, processes, no core, no new
/// privileges, and a little behind everybody else on the processor. Throws BadPlugin with the step
/// that failed: then nothing of a plugin may run.
void confine(const Confinement& limits);

}  // namespace supv
