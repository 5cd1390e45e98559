#pragma once

#include <supv/condition.h>

#include <string>

namespace supv {

/// What a condition answered.
struct Answer {
  supv_outcome outcome = SUPV_UNKNOWN;
  std::string reason;
  std::string metrics;
};

/// Answers for one condition of one run: code of ours in this process, or a plugin in its own.
class Judge {
 public:
  Judge() = default;
  virtual ~Judge() = default;
  Judge(const Judge&) = delete;
  Judge& operator=(const Judge&) = delete;

  /// Never waits: what takes time is SUPV_PENDING and said later, through supv_host.conclude of
  /// the host it was made with.
  virtual Answer tell(const supv_event& event) = 0;
  /// What was pending has not been said in time, and nobody waits for it any more.
  virtual void overdue() {}
};

}  // namespace supv
