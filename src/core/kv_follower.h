#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/kv_sample.h"
#include "core/messages.h"
#include "core/random.h"

namespace supv {

/// What one query asks for; equal queries are shared.
struct KvQuery {
  std::string cluster;
  std::string datacenter;
  std::string path;
  bool prefix = false;
  bool poll = false;  ///< Asked every `interval` instead of blocking.
  Duration interval{5000};
  auto operator<=>(const KvQuery&) const = default;
};

/// One answer of a query that says something about the values.
struct KvAnswer {
  bool absent = false;  ///< The key (or everything under the prefix) does not exist; confirmed.
  std::uint64_t index = 0;
  std::vector<KvEntry> entries;
};

/// Follows one query by the rules of blocking queries. Every rule was seen on a real agent:
/// the index is never kept across an error and goes back with the server's; an early answer with
/// an unchanged index means a restored snapshot; a 404 is an answer only with an index and a known
/// leader, and is believed only when a second, consistent read confirms it; everything else says
/// nothing about the values.
class KvFollower {
 public:
  explicit KvFollower(KvQuery query) : query_(std::move(query)) {}

  const KvQuery& query() const { return query_; }
  /// When the next request is due; nothing while one is under way.
  std::optional<Time> due() const { return asking_ ? std::nullopt : std::optional(due_); }
  bool asking() const { return asking_; }
  /// The request that is due. The caller sends it under `tag`.
  fx::Http ask(Time now, std::uint64_t tag);
  /// Takes the answer to the request under way; an answer that says nothing returns nothing and
  /// leaves the reason in trouble().
  std::optional<KvAnswer> on_reply(Time now, const HttpReply& reply, Random& random);
  std::uint64_t tag() const { return tag_; }
  /// Why nothing is known at the moment; empty when the last answer was good.
  const std::string& trouble() const { return trouble_; }
  /// Asks again at once (used when an answer came that the agent could not have given now).
  void soon(Time now) { due_ = std::min(due_, now); }
  void delay_first(Time when) { due_ = when; }

 private:
  std::optional<KvAnswer> on_absent(Time now, std::uint64_t index);
  bool accept(Time now, std::uint64_t index, bool early);
  enum class Trouble : std::uint8_t {
    away,     ///< Asked again soon: agents come back.
    strange,  ///< Somebody else answers. Perhaps a proxy that restarts, so the pause grows.
    denied,   ///< Does not mend itself: the long pause at once.
  };
  void fail(Time now, const HttpReply& reply, std::string why, Trouble trouble, Random& random);

  KvQuery query_;
  Time due_{};
  Time asked_at_{};
  Time pace_{};  ///< Each request moves it on by one pace; it may be a burst ahead of the clock.
  std::uint64_t tag_ = 0;
  std::uint64_t index_ = 0;
  std::uint32_t failures_ = 0;
  std::uint32_t hasty_ = 0;  ///< Answers in a row that came at once although nothing was new.
  bool asking_ = false;
  bool confirming_ = false;
  bool absent_ = false;  ///< The last good answer was a confirmed absence.
  std::string trouble_ = "not asked yet";
};

}  // namespace supv
