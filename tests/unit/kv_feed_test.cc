#include "core/kv_feed.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

using namespace supv;
using std::chrono::seconds;

namespace {

/// A store that answers reads and prefixes at once and holds what waits for an index.
struct Bench {
  KvFeed feed{HashKey{1, 2}, 1};
  std::map<std::string, ConsulSpec> clusters{{"", ConsulSpec{}}};
  std::vector<KvSpec> specs;
  std::set<std::string> hidden;  ///< Keys that a list leaves out (no right to list them).
  Moment now{Time(seconds(1000)), 0};
  std::uint64_t tag = 1;
  std::map<std::uint64_t, fx::Http> under_way;
  std::size_t most_under_way = 0;
  std::size_t asked = 0;
  std::map<std::uint32_t, int> samples;

  void add(const std::string& path, bool prefix = false) {
    KvSpec spec;
    spec.path = path;
    spec.prefix = prefix;
    specs.push_back(spec);
  }
  void assign() {
    std::vector<KvSubscription> all;
    for (std::uint32_t i = 0; i < specs.size(); ++i) all.push_back({{i, 0}, &specs[i]});
    take(feed.assign(std::move(all), clusters, now));
  }
  void take(const std::vector<KvNews>& news) {
    for (const KvNews& item : news)
      if (item.sample && item.sample->kind == Sample::Kind::present) ++samples[item.who.watch];
  }
  std::string entry(const std::string& key) const {
    return fmt::format(R"({{"Key":"{}","Value":"djE=","ModifyIndex":7}})", key);
  }
  HttpReply answer(const std::string& path) const {
    const bool recurse = path.find("?recurse") != std::string::npos;
    const std::string key = path.substr(7, std::min(path.find('?'), path.size()) - 7);
    if (!recurse) return {200, "", 7, true, 0, "[" + entry(key) + "]"};
    std::string all;
    for (const KvSpec& spec : specs)
      if (spec.path.starts_with(key) && !hidden.contains(spec.path) && !spec.prefix)
        all += (all.empty() ? "" : ",") + entry(spec.path);
    return all.empty() ? HttpReply{404, "", 7, true, 0, ""}
                       : HttpReply{200, "", 7, true, 0, "[" + all + "]"};
  }
  void turn() {
    for (fx::Http& http : feed.on_deadline(now.time, tag)) {
      ++asked;
      under_way[http.tag] = std::move(http);
    }
    most_under_way = std::max(most_under_way, under_way.size());
    for (auto at = under_way.begin(); at != under_way.end();) {
      if (at->second.path_and_query.find("index=") != std::string::npos) {
        ++at;
        continue;
      }
      const ev::HttpDone done{at->first, answer(at->second.path_and_query)};
      at = under_way.erase(at);
      take(feed.on_reply(now, done));
    }
  }
  void run(Duration time) {
    const Time end = now.time + time;
    while (now.time < end) {
      turn();
      const auto due = feed.due();
      now.time = std::min(end, due ? std::max(*due, now.time + Duration(1)) : end);
    }
  }
};

}  // namespace

TEST_CASE_FIXTURE(Bench, "thousands of conditions on one key share one query") {
  for (int i = 0; i < 3000; ++i) add("app/a");
  assign();
  run(seconds(2));
  CHECK(most_under_way == 1);
  CHECK(asked == 2);  // a read, then a held query
  CHECK(samples.size() == 3000);
  CHECK(feed.mode({0, 0}) == "watch");
  CHECK(feed.health() == "ok");
}

TEST_CASE_FIXTURE(Bench, "500 keys of ten folders become ten queries") {
  for (int i = 0; i < 500; ++i) add(fmt::format("dir{}/key{}", i % 10, i));
  assign();
  run(seconds(5));
  CHECK(most_under_way <= KvFeed::kBudget);
  CHECK(samples.size() == 500);
  for (std::uint32_t i = 0; i < 500; ++i) CHECK(feed.mode({i, 0}) == "watch");
  CHECK(under_way.size() == 10);
}

TEST_CASE_FIXTURE(Bench, "500 keys without common folders: what is over the budget is polled") {
  for (int i = 0; i < 500; ++i) add(fmt::format("dir{}/key", i));
  assign();
  run(seconds(20));
  CHECK(most_under_way <= KvFeed::kBudget);
  CHECK(samples.size() == 500);
  std::size_t watched = 0;
  for (std::uint32_t i = 0; i < 500; ++i) {
    const std::string mode = feed.mode({i, 0});
    if (mode == "watch")
      ++watched;
    else
      CHECK(mode == "poll (connection budget)");
  }
  CHECK(watched == KvFeed::kBudget - 1);
  for (const auto& [who, count] : samples) CHECK(count >= 1);
}

TEST_CASE_FIXTURE(Bench, "a key that a folder's list does not show is read alone") {
  for (int i = 0; i < 40; ++i) add(fmt::format("app/key{}", i));
  hidden = {"app/key3", "app/key17"};
  assign();
  run(seconds(5));
  CHECK(samples.size() == 40);
  CHECK(samples.contains(3));
  CHECK(samples.contains(17));
  CHECK(under_way.size() == 3);  // the folder and the two
}

TEST_CASE_FIXTURE(Bench, "an agent with TLS has no budget") {
  clusters[""].address = "https://127.0.0.1:8501";
  for (int i = 0; i < 100; ++i) add(fmt::format("dir{}/key", i));
  assign();
  run(seconds(5));
  CHECK(under_way.size() == 100);
  CHECK(feed.mode({99, 0}) == "watch");
}

TEST_CASE_FIXTURE(Bench, "queries that stay keep their place; who comes later is told at once") {
  add("app/a");
  assign();
  run(seconds(1));
  CHECK(asked == 2);
  add("app/a");
  assign();
  CHECK(samples[1] == 1);
  run(seconds(1));
  CHECK(asked == 2);
}

TEST_CASE_FIXTURE(Bench, "nothing to follow is unused, nothing good is down") {
  assign();
  CHECK(feed.health() == "unused");
  CHECK_FALSE(feed.due());
  add("app/a");
  assign();
  const auto requests = feed.on_deadline(now.time, tag);
  REQUIRE(requests.size() == 1);
  const auto news =
      feed.on_reply(now, {requests.front().tag, {500, "", 0, true, 0, "No cluster leader"}});
  REQUIRE(news.size() == 1);
  CHECK_FALSE(news.front().sample);
  CHECK(news.front().trouble.find("500") != std::string::npos);
  CHECK(feed.health() == "down");
  CHECK(feed.on_reply(now, {requests.front().tag, answer("/v1/kv/app/a")}).empty());  // told twice
}
