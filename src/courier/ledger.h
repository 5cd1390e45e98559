#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
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
  /// An answer for the present brain.
  struct Reply {
    std::string key;  ///< Empty: of no use to anyone else.
    Done done;
  };

  /// What two requests have in common when one may have the answer of the other. Empty: never.
  static std::string key_of(const Request& request);

  /// A new brain: nobody waits for anything that is under way any more.
  void begin();
  /// An answer that was kept for this key.
  std::optional<Done> claim_kept(const std::string& key, std::uint64_t tag);
  /// Lets `tag` wait for a transfer with this key that nobody waits for, at most until `deadline`.
  bool attach(const std::string& key, std::uint64_t tag, Clock::time_point deadline);
  /// A transfer was started for `tag`.
  void add(Transfers::Id id, std::string key, std::uint64_t tag);
  /// A transfer has ended; what comes back is for the present brain, the rest is kept or dropped.
  std::optional<Reply> end(Transfers::Id id, Done done, Clock::time_point now);
  /// Keeps an answer that its brain did not live to read.
  void keep(Reply reply, Clock::time_point now);
  /// Drops answers that nobody claimed; returns the tags that have waited long enough.
  std::vector<std::uint64_t> expire(Clock::time_point now);

  std::optional<Clock::time_point> wake() const;
  std::size_t under_way() const { return waits_.size(); }

 private:
  struct Wait {
    std::string key;
    std::optional<std::uint64_t> tag;
    std::optional<Clock::time_point> deadline;  ///< Of an attached tag; others have the transfer's.
  };
  struct Kept {
    Reply reply;
    Clock::time_point until;
  };

  std::map<Transfers::Id, Wait> waits_;
  std::deque<Kept> kept_;  ///< In the order of `until`.
  std::size_t kept_bytes_ = 0;
};

}  // namespace supv::courier
