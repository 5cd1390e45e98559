#pragma once

namespace supv {

/// Prints where an invariant broke and aborts; the keeper then starts a new brain, which reads
/// the truth from the records. Async-signal-safe.
[[noreturn]] void check_failed(const char* file, int line, const char* condition) noexcept;

}  // namespace supv

/// States a fact about our own code (never about input). Stays on in release builds: a supervisor
/// with a wrong picture of its children starts second copies, one that is restarted adopts them.
#define SUPV_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::supv::check_failed(__FILE__, __LINE__, #condition))
