#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "courier/transfers.h"
#include "courier/wire.h"

namespace supv::courier {

/// Who waits for which transfer. Requests outlive the brain that made them: cancelling a blocking
/// query frees nothing on the agent until its `wait` has passed, so the next brain gets it.
class Ledger {
 public:
  /// What two requests have in common when one may have the answer of the other. Empty: never.
  static std::string key_of(const Request& request);

  /// A new brain: nobody waits for anything that is under way any more.
  void begin();
  /// Lets `tag` wait for a transfer with this key that nobody waits for, at most until `deadline`.
  bool attach(const std::string& key, std::uint64_t tag, Clock::time_point deadline);
  /// A transfer was started for `tag`.
  void add(Transfers::Id id, std::string key, std::uint64_t tag);
  /// A transfer has ended; what comes back is for the present brain. An answer nobody waits for is
  /// dropped: every brain reads afresh before it waits, so such an answer could only be older than
  /// what it knows.
  std::optional<Done> end(Transfers::Id id, Done done);
  /// The tags that have waited long enough.
  std::vector<std::uint64_t> expire(Clock::time_point now);

  std::optional<Clock::time_point> wake() const;
  std::size_t under_way() const { return waits_.size(); }

 private:
  struct Wait {
    std::string key;
    std::optional<std::uint64_t> tag;
    std::optional<Clock::time_point> deadline;  ///< Of an attached tag; others have the transfer's.
  };
  std::map<Transfers::Id, Wait> waits_;
};

}  // namespace supv::courier
