#pragma once

#include <sys/resource.h>

#include <cstdint>

#include "keeper/wire.h"

namespace supv {

/// What a forked child needs to become the program of its plan. Descriptors are the parent's
/// copies.
struct ChildSetup {
  int line = -1;         ///< Gate and error channel: a byte comes in, a failure goes out.
  int parent_line = -1;  ///< The parent's end, which must not live on in the child.
  int entrance = -1;     ///< cgroup.procs to enter; -1: born inside, or none.
  int lock = -1;         ///< Held until the gate has opened: a new keeper waits for it.
  int plan = -1;
  const int* child_fds = nullptr;
  std::uint32_t child_fd_count = 0;
  std::uint64_t tag = 0;  ///< 0: none.
  rlimit files{};         ///< RLIMIT_NOFILE as supvd found it.
  bool reset_oom = false;
  bool close_range = true;
};

/// What comes out of the line when a step failed.
struct ChildFailure {
  wire::Step step;
  std::int32_t error;
};

/// Has no signal ignored, not even the two that the C library keeps for itself: children inherit
/// what is ignored, through exec as well, and ignoring SIGCHLD would throw exit statuses away. To
/// be called once by whoever is going to fork; sparing each child 64 system calls.
void ignore_nothing();

/// From fork to exec. Async-signal-safe; never returns: it executes the program, or says why not
/// and exits 127, or exits 0 because the gate was closed unopened.
[[noreturn]] void exec_child(const ChildSetup& setup);

/// The plan as the child maps it, with every offset checked. Exposed for the fuzz test.
class MappedPlan {
 public:
  /// `bytes` (size of them, writable, 8-aligned) is used in place. Check ok() before anything else.
  MappedPlan(unsigned char* bytes, std::size_t size);
  bool ok() const { return ok_; }
  const wire::Plan& head() const { return *reinterpret_cast<const wire::Plan*>(bytes_); }
  /// NULL-terminated arrays.
  char* const* paths() const { return list(head().paths); }
  char* const* argv() const { return list(head().argv); }
  char* const* envp() const { return list(head().envp); }
  /// nullptr: none.
  const char* text(std::uint32_t offset) const;
  const std::uint32_t* groups() const;

 private:
  bool check();
  bool resolve(std::uint32_t offset, std::uint32_t count);
  char* const* list(std::uint32_t offset) const {
    return reinterpret_cast<char* const*>(bytes_ + offset);
  }
  unsigned char* bytes_;
  std::size_t size_;
  bool ok_;
};

}  // namespace supv
