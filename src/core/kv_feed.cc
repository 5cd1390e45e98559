#include "core/kv_feed.h"

#include <algorithm>

namespace supv {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kKeepBytes = 64 * 1024;
constexpr Duration kStagger = 10ms;

KvQuery query_of(const KvSpec& spec) {
  return {spec.cluster,
          spec.datacenter,
          spec.path,
          spec.prefix,
          spec.mode == KvSpec::Mode::poll,
          spec.mode == KvSpec::Mode::poll ? spec.interval : Duration(0)};
}

KvQuery folder_of(const KvQuery& query) {
  const std::size_t slash = query.path.rfind('/');
  KvQuery folder = query;
  folder.path = slash == std::string::npos ? "" : query.path.substr(0, slash + 1);
  folder.prefix = true;
  return folder;
}

std::size_t bytes_of(const KvAnswer& answer) {
  std::size_t bytes = 0;
  for (const KvEntry& entry : answer.entries) bytes += entry.key.size() + entry.value.size();
  return bytes;
}

bool is_plain(const std::map<std::string, ConsulSpec>& clusters, const std::string& name) {
  const auto spec = clusters.find(name);
  return spec == clusters.end() || !spec->second.address.starts_with("https://");
}

/// Turns keys of one folder into one query, largest folder first, until the rest fits.
std::map<KvQuery, KvQuery> merge(const std::vector<KvQuery>& blocking,
                                 const std::set<KvQuery>& solo, std::size_t budget) {
  std::map<KvQuery, KvQuery> place;
  std::map<KvQuery, std::vector<KvQuery>> folders;
  for (const KvQuery& query : blocking)
    if (!query.prefix && !solo.contains(query) && !folder_of(query).path.empty())
      folders[folder_of(query)].push_back(query);
  std::vector<std::pair<KvQuery, std::vector<KvQuery>>> largest(folders.begin(), folders.end());
  std::stable_sort(largest.begin(), largest.end(),
                   [](const auto& a, const auto& b) { return a.second.size() > b.second.size(); });
  std::size_t count = blocking.size();
  for (const auto& [folder, members] : largest) {
    if (count <= budget || members.size() < 2) break;
    for (const KvQuery& member : members) place[member] = folder;
    count -= members.size() - 1;
  }
  return place;
}

}  // namespace

std::vector<KvNews> KvFeed::assign(std::vector<KvSubscription> subscriptions,
                                   const std::map<std::string, ConsulSpec>& clusters, Moment now) {
  subscriptions_ = std::move(subscriptions);
  clusters_ = clusters;
  plan(clusters_, now);
  std::vector<KvNews> news;
  std::set<KvQuery> missing;
  for (const auto& [query, feed] : feeds_)
    if (feed.last && feed.follower.trouble().empty())
      for (KvNews& item : deliver(feed, *feed.last, now, missing)) news.push_back(std::move(item));
  return news;
}

/// Who shares, and who is polled, so that no plaintext agent gets more than its budget.
KvFeed::Placement KvFeed::place(const std::map<std::string, ConsulSpec>& clusters) const {
  std::map<std::string, std::vector<KvQuery>> blocking;
  std::set<std::string> polling;
  std::set<KvQuery> seen;
  for (const KvSubscription& subscription : subscriptions_) {
    const KvQuery query = query_of(*subscription.spec);
    if (query.poll)
      polling.insert(query.cluster);
    else if (seen.insert(query).second)
      blocking[query.cluster].push_back(query);
  }
  Placement placement;
  for (const auto& [cluster, queries] : blocking) {
    const std::size_t budget = kBudget - (polling.contains(cluster) ? 1 : 0);
    if (!is_plain(clusters, cluster) || queries.size() <= budget) continue;
    // Once something is polled, one connection is kept for all the polls.
    const auto merged = merge(queries, solo_, kBudget - 1);
    placement.folder.insert(merged.begin(), merged.end());
    std::set<KvQuery> used;
    for (const KvQuery& query : queries) {
      const auto folder = merged.find(query);
      const KvQuery& target = folder == merged.end() ? query : folder->second;
      if (used.contains(target)) continue;
      if (used.size() < kBudget - 1) {
        used.insert(target);
      } else {
        placement.polled.insert(query);
        placement.folder.erase(query);
      }
    }
  }
  return placement;
}

void KvFeed::plan(const std::map<std::string, ConsulSpec>& clusters, Moment now) {
  const Placement placement = place(clusters);
  std::map<KvQuery, Feed> feeds;
  std::size_t order = 0;
  for (const KvSubscription& subscription : subscriptions_) {
    const KvQuery own = query_of(*subscription.spec);
    KvQuery query = own;
    const auto folder = placement.folder.find(own);
    if (folder != placement.folder.end()) query = folder->second;
    if (placement.polled.contains(own)) {
      query.poll = true;
      query.interval = subscription.spec->interval;
    }
    auto at = feeds.find(query);
    if (at == feeds.end()) {
      if (auto old = feeds_.extract(query)) {
        old.mapped().subscribers.clear();
        at = feeds.insert(std::move(old)).position;
      } else {
        at = feeds.emplace(query, Feed{KvFollower(query), false, false, true, {}, {}}).first;
        at->second.follower.delay_first(now.time + kStagger * (order++ / kBudget));
      }
      at->second.plain = is_plain(clusters, query.cluster);
      at->second.merged = query.prefix && !own.prefix;
      at->second.over_budget = query.poll && !own.poll;
    }
    at->second.subscribers.push_back(subscription);
  }
  feeds_ = std::move(feeds);
}

/// How many requests each plaintext agent has under way.
std::map<std::string, std::size_t> KvFeed::under_way() const {
  std::map<std::string, std::size_t> count;
  for (const auto& [query, feed] : feeds_)
    if (feed.plain && feed.follower.asking()) ++count[query.cluster];
  return count;
}

std::optional<Time> KvFeed::due() const {
  const auto busy = under_way();
  std::optional<Time> first;
  for (const auto& [query, feed] : feeds_) {
    const std::optional<Time> due = feed.follower.due();
    if (!due || (first && *first <= *due)) continue;
    // Without a free connection nothing can be asked; the next answer frees one.
    const auto full = busy.find(query.cluster);
    if (feed.plain && full != busy.end() && full->second >= kBudget) continue;
    first = due;
  }
  return first;
}

std::vector<fx::Http> KvFeed::on_deadline(Time now, std::uint64_t& next_tag) {
  std::vector<fx::Http> requests;
  auto busy = under_way();
  for (auto& [query, feed] : feeds_) {
    const std::optional<Time> due = feed.follower.due();
    if (!due || *due > now) continue;
    if (feed.plain && busy[query.cluster]++ >= kBudget) continue;
    requests.push_back(feed.follower.ask(now, next_tag++));
  }
  return requests;
}

std::optional<KvNews> KvFeed::news_for(const Feed& feed, const KvSubscription& to,
                                       const KvAnswer& answer, Moment now,
                                       std::set<KvQuery>& missing) const {
  const KvView view{key_, *to.spec};
  KvNews news{to.who, Sample{}, ""};
  if (to.spec->prefix) {
    news.sample = answer.absent ? Sample{Sample::Kind::absent, 0, {}, 0, nullptr}
                                : sample_prefix(view, answer.entries);
  } else {
    const auto entry = std::find_if(answer.entries.begin(), answer.entries.end(),
                                    [&](const KvEntry& e) { return e.key == to.spec->path; });
    if (entry == answer.entries.end()) {
      if (feed.merged) {
        // Without the right to list a folder Consul leaves keys out silently: only a read of the
        // key itself can tell "missing" from "hidden".
        missing.insert(query_of(*to.spec));
        return std::nullopt;
      }
      news.sample = Sample{Sample::Kind::absent, 0, {}, 0, nullptr};
    } else {
      news.sample = sample_value(view, *entry);
      if (!news.sample) news.trouble = "the value is not JSON; held";
    }
  }
  if (news.sample) {
    news.sample->wall_ms = now.wall_ms;
    if (news.sample->index == 0) news.sample->index = answer.index;
  }
  return news;
}

std::vector<KvNews> KvFeed::deliver(const Feed& feed, const KvAnswer& answer, Moment now,
                                    std::set<KvQuery>& missing) const {
  std::vector<KvNews> all;
  const KvSpec* last = nullptr;
  for (const KvSubscription& to : feed.subscribers) {
    // Thousands of watches with the same view of one key share the work.
    if (last != nullptr && *last == *to.spec && !all.empty()) {
      all.push_back(all.back());
      all.back().who = to.who;
      continue;
    }
    last = nullptr;
    if (auto news = news_for(feed, to, answer, now, missing)) {
      all.push_back(std::move(*news));
      last = to.spec;
    }
  }
  return all;
}

std::vector<KvNews> KvFeed::on_reply(Moment now, const ev::HttpDone& done) {
  const auto at = std::find_if(feeds_.begin(), feeds_.end(), [&](const auto& item) {
    return item.second.follower.asking() && item.second.follower.tag() == done.tag;
  });
  if (at == feeds_.end()) return {};
  Feed& feed = at->second;
  auto answer = feed.follower.on_reply(now.time, done.reply, random_);
  if (!answer) {
    std::vector<KvNews> news;
    if (feed.follower.trouble().empty()) return news;  // asked again before it is believed
    for (const KvSubscription& to : feed.subscribers)
      news.push_back({to.who, std::nullopt, feed.follower.trouble()});
    return news;
  }
  std::set<KvQuery> missing;
  std::vector<KvNews> news = deliver(feed, *answer, now, missing);
  if (bytes_of(*answer) <= kKeepBytes)
    feed.last = std::move(*answer);
  else
    feed.last.reset();
  if (!missing.empty()) {
    solo_.insert(missing.begin(), missing.end());
    plan(clusters_, now);
  }
  return news;
}

std::string KvFeed::mode(KvSubscriber who) const {
  for (const auto& [query, feed] : feeds_)
    for (const KvSubscription& to : feed.subscribers)
      if (to.who == who)
        return feed.over_budget ? "poll (connection budget)" : query.poll ? "poll" : "watch";
  return "watch";
}

std::string KvFeed::health() const {
  if (feeds_.empty()) return "unused";
  return std::any_of(feeds_.begin(), feeds_.end(),
                     [](const auto& item) { return item.second.follower.trouble().empty(); })
             ? "ok"
             : "down";
}

}  // namespace supv
