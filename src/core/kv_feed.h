#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/kv_follower.h"

namespace supv {

/// Who wants samples: a condition of a watch, by the watch's number and the condition's index.
struct KvSubscriber {
  std::uint32_t watch = 0;
  std::uint32_t condition = 0;
  auto operator<=>(const KvSubscriber&) const = default;
};

/// One subscription; `spec` must outlive the next assign().
struct KvSubscription {
  KvSubscriber who;
  const KvSpec* spec = nullptr;
};

/// What the feed has to say to one subscriber: a sample, or why there is none.
struct KvNews {
  KvSubscriber who;
  std::optional<Sample> sample;
  std::string trouble;
};

/// Samples for any number of conditions over few connections. Equal queries are shared; above the
/// budget of a plaintext agent the keys of one folder become one prefix query, and what is still
/// too much is polled.
class KvFeed {
 public:
  /// Connections to one agent without TLS (contract 2.2).
  static constexpr std::size_t kBudget = 16;

  KvFeed(HashKey key, std::uint64_t seed) : key_(key), random_(seed) {}

  /// Replaces all subscriptions. Queries that stay keep their place in the index. Subscribers of a
  /// query whose value is known get it back at once.
  std::vector<KvNews> assign(std::vector<KvSubscription> subscriptions,
                             const std::map<std::string, ConsulSpec>& clusters, Moment now);
  std::optional<Time> due() const;
  /// Asks what is due; `tag` numbers are taken from `next_tag`.
  std::vector<fx::Http> on_deadline(Time now, std::uint64_t& next_tag);
  std::vector<KvNews> on_reply(Moment now, const ev::HttpDone& done);

  /// "watch", "poll" or "poll (connection budget)".
  std::string mode(KvSubscriber who) const;
  /// "ok" | "down" | "unused": down while no query has a good last answer.
  std::string health() const;

 private:
  struct Feed {
    KvFollower follower;
    bool over_budget = false;
    bool merged = false;
    bool plain = true;  ///< Its agent has no TLS: counts against the budget.
    std::vector<KvSubscription> subscribers;
    std::optional<KvAnswer> last;  ///< Kept while small, for subscribers that come later.
  };

  struct Placement {
    std::map<KvQuery, KvQuery> folder;  ///< A key's query, and the folder's that serves it.
    std::set<KvQuery> polled;           ///< What the budget has no connection for.
  };
  Placement place(const std::map<std::string, ConsulSpec>& clusters) const;
  void plan(const std::map<std::string, ConsulSpec>& clusters, Moment now);
  std::vector<KvNews> deliver(const Feed& feed, const KvAnswer& answer, Moment now,
                              std::set<KvQuery>& missing) const;
  std::optional<KvNews> news_for(const Feed& feed, const KvSubscription& to, const KvAnswer& answer,
                                 Moment now, std::set<KvQuery>& missing) const;
  std::map<std::string, std::size_t> under_way() const;

  HashKey key_;
  Random random_;
  std::vector<KvSubscription> subscriptions_;
  std::map<std::string, ConsulSpec> clusters_;
  std::map<KvQuery, Feed> feeds_;
  std::set<KvQuery> solo_;  ///< Keys a folder's answer did not contain: asked for alone.
};

}  // namespace supv
