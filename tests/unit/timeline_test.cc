#include "core/timeline.h"

#include <doctest/doctest.h>

#include "core/change_trial.h"
#include "core/memo.h"

using namespace supv;

namespace {

Sample value(char name, std::uint64_t index = 1) {
  if (name == '0') return {Sample::Kind::absent, index, {}, 0, nullptr};
  return {Sample::Kind::present, index, keyed_hash({1, 2}, std::string(1, name)), 0, nullptr};
}

/// Feeds samples ('!': nothing to see) to a trial that acts at once, as a restart would: the next
/// run begins under the newest value. Answers as the vectors of the poll mode are written.
std::string story(const std::string& samples, std::uint32_t window) {
  ConditionSpec spec;
  spec.id = "consul_kv#1";
  spec.kind = ConditionKind::change;
  spec.kv.emplace();
  spec.kv->path = "key";
  spec.kv->window = window;
  spec.kv->min_interval = Duration(0);
  spec.kv->on_delete = KvSpec::OnDelete::change;
  ChangeTrial trial(spec, 7);
  trial.begin(Sample{}, true);
  std::string told;
  Time now{std::chrono::seconds(100)};
  for (const char one : samples) {
    now += std::chrono::seconds(5);
    if (one == '!') {
      trial.trouble("no leader");
      told += 's';
      CHECK_FALSE(trial.changed());
      continue;
    }
    trial.see({now, 0}, value(one));
    const auto ready = trial.ready();
    const bool acts = ready && ready->at <= now;
    CHECK(acts == trial.changed());
    told += acts ? 'R' : '-';
    if (!acts) continue;
    trial.acted(now);
    trial.begin(trial.latest(), false);
  }
  return told;
}

}  // namespace

TEST_CASE("the sample vectors hold with any window") {
  struct Row {
    const char* samples;
    const char* told;
  };
  for (const std::uint32_t window : {2U, 3U, 7U})
    for (const Row& row :
         {Row{"B", "-"}, Row{"AABB", "--R-"}, Row{"ABBA", "-R-R"}, Row{"ABA", "-RR"},
          Row{"A!!B", "-ssR"}, Row{"A!!A", "-ss-"}, Row{"AB!B", "-Rs-"}, Row{"A0A", "-RR"}}) {
      CAPTURE(row.samples);
      CAPTURE(window);
      CHECK(story(row.samples, window) == row.told);
    }
}

TEST_CASE("the baseline is never dropped and the window bounds what is kept") {
  for (const std::uint32_t window : {2U, 3U, 5U}) {
    Timeline timeline(window);
    timeline.begin(value('A'), false);
    for (const char name : std::string("BCDEFG")) {
      CHECK(timeline.push(value(name)));
      CHECK(timeline.samples().size() <= window);
      CHECK(timeline.baseline().same_as(value('A')));
      CHECK(timeline.newest().same_as(value(name)));
      CHECK(timeline.changed());
    }
    CHECK(timeline.push(value('A')));
    CHECK_FALSE(timeline.changed());
  }
}

TEST_CASE("what is the same is not pushed: index, locks and flags do not count") {
  Timeline timeline(3);
  timeline.begin(value('A', 10), false);
  CHECK_FALSE(timeline.push(value('A', 11)));
  CHECK(timeline.samples().size() == 1);
  CHECK(timeline.push(value('B', 12)));
  CHECK_FALSE(timeline.push(value('B', 13)));
  CHECK(timeline.samples().size() == 2);
  CHECK(timeline.push(value('0', 14)));
  CHECK_FALSE(timeline.push(value('0', 15)));
}

TEST_CASE("without a baseline the first sample becomes an assumed one") {
  Timeline timeline(2);
  timeline.begin(Sample{}, false);
  CHECK_FALSE(timeline.has_baseline());
  CHECK_FALSE(timeline.changed());
  CHECK_FALSE(timeline.push(value('A')));
  CHECK(timeline.has_baseline());
  CHECK(timeline.assumed());
  CHECK_FALSE(timeline.changed());
  timeline.begin(value('B'), false);
  CHECK_FALSE(timeline.assumed());
  CHECK(timeline.baseline().same_as(value('B')));
}

TEST_CASE("a change is told by places, never by values") {
  const auto leaves = [](std::uint32_t host, std::uint32_t port) {
    return std::make_shared<const Leaves>(Leaves{{"/redis/host", host}, {"/redis/port", port}});
  };
  Timeline timeline(2);
  Sample before = value('A', 12);
  before.leaves = leaves(1, 1);
  Sample after = value('B', 15);
  after.leaves = leaves(2, 1);
  timeline.begin(before, false);
  timeline.push(after);
  CHECK(timeline.describe_change() == "index 12 → 15 (/redis/host)");
  timeline.push(value('0', 16));
  CHECK(timeline.describe_change() == "index 12 → absent");
}

TEST_CASE("a baseline from a record learns its leaves from the first equal sample") {
  Timeline timeline(2);
  timeline.begin(value('A', 12), false);
  Sample again = value('A', 12);
  again.leaves = std::make_shared<const Leaves>(Leaves{{"/a", 1}});
  timeline.push(again);
  Sample after = value('B', 13);
  after.leaves = std::make_shared<const Leaves>(Leaves{{"/a", 2}, {"/b", 1}});
  timeline.push(after);
  CHECK(timeline.describe_change() == "index 12 → 13 (/a, /b)");
}
