#pragma once

#include <string>

#include "base/fd.h"

namespace supv::scribe {

/// Makes this process the only scribe of a runtime directory: two that write to the end of the
/// same file would overwrite each other. An earlier one, which stayed after its supvd had gone, is
/// asked to end (TERM); what it had not written yet is still in the FIFOs.
class Takeover {
 public:
  /// Waits up to 5 s. Without success (a foreign file system, a predecessor that cannot end)
  /// complete() is false; the caller goes on all the same, since blocked workers are worse.
  explicit Takeover(const std::string& directory);
  bool complete() const { return complete_; }

 private:
  Fd lock_;  ///< Held until this process ends.
  bool complete_ = false;
};

}  // namespace supv::scribe
