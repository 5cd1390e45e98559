#include "core/trial.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "core/change_trial.h"

using namespace supv;
using std::chrono::seconds;

namespace {

std::string story(TimesSpec times, const std::string& answers) {
  Trial trial(times);
  std::string held;
  for (const char one : answers)
    held += trial.record(one == 'y'   ? Verdict::yes
                         : one == 'n' ? Verdict::no
                                      : Verdict::unknown)
                ? '!'
                : '.';
  return held;
}

Sample value(const std::string& text) {
  if (text.empty()) return {Sample::Kind::absent, 1, {}, 0, nullptr};
  return {Sample::Kind::present, 1, keyed_hash({1, 2}, text), 0, nullptr};
}

struct Fixture {
  ConditionSpec spec;
  Time start{seconds(1000)};
  Fixture() {
    spec.id = "consul_kv#1";
    spec.kind = ConditionKind::change;
    spec.kv.emplace();
    spec.kv->path = "key";
    spec.kv->min_interval = Duration(0);
  }
  Moment at(Duration after) const { return {start + after, 0}; }
  std::optional<Duration> ready_in(const ChangeTrial& trial) const {
    const auto ready = trial.ready();
    if (!ready) return std::nullopt;
    return std::chrono::duration_cast<Duration>(ready->at - start);
  }
};

}  // namespace

TEST_CASE("so many of the last so many") {
  struct Row {
    TimesSpec times;
    const char* answers;
    const char* held;
  };
  for (const Row& row :
       {Row{{1, 1}, "nyn", ".!."}, Row{{3, 3}, "yyyny", "..!.."}, Row{{3, 5}, "yynny", "....!"},
        Row{{3, 5}, "yynnny", "......"}, Row{{2, 2}, "y?y", "..!"}, Row{{1, 1}, "?", "."},
        Row{{3, 5}, "yy?????y", ".......!"}}) {
    CAPTURE(row.answers);
    CHECK(story(row.times, row.answers) == row.held);
  }
  CHECK(story({64, 64}, std::string(64, 'y')) == std::string(63, '.') + "!");
}

TEST_CASE("after it has acted the count starts again") {
  Trial trial({2, 3});
  trial.record(Verdict::yes);
  CHECK(trial.record(Verdict::yes));
  trial.clear();
  CHECK_FALSE(trial.record(Verdict::yes));
}

TEST_CASE_FIXTURE(Fixture, "settle waits for quiet, but not for ever") {
  spec.kv->settle = seconds(2);
  ChangeTrial trial(spec, 1);
  trial.begin(value("A"), false);
  trial.see(at(seconds(0)), value("B"));
  CHECK(ready_in(trial) == seconds(2));
  trial.see(at(seconds(1)), value("C"));
  CHECK(ready_in(trial) == seconds(3));
  for (int i = 2; i < 20; ++i) trial.see(at(seconds(i)), value("D" + std::to_string(i)));
  CHECK(ready_in(trial) == seconds(8));  // four times settle after the first
  spec.kv->settle_max = seconds(5);
  CHECK(ready_in(trial) == seconds(5));
  trial.see(at(seconds(21)), value("A"));
  CHECK_FALSE(ready_in(trial));
}

TEST_CASE_FIXTURE(Fixture, "changes inside min_interval are merged, not dropped") {
  spec.kv->min_interval = seconds(5);
  ChangeTrial trial(spec, 1);
  trial.begin(value("A"), false);
  trial.see(at(seconds(0)), value("B"));
  CHECK(ready_in(trial) == seconds(0));
  trial.acted(start);
  trial.begin(trial.latest(), false);
  trial.see(at(seconds(1)), value("C"));
  CHECK(ready_in(trial) == seconds(5));
}

TEST_CASE_FIXTURE(Fixture, "one and the same value is not acted on again at once") {
  ChangeTrial trial(spec, 1);
  trial.begin(value("A"), false);
  trial.see(at(seconds(0)), value("B"));
  trial.acted(start);
  CHECK(ready_in(trial) == seconds(30));  // the reload has failed: it is tried again, later
  trial.see(at(seconds(3)), value("C"));
  REQUIRE(ready_in(trial));
  CHECK(*ready_in(trial) <= seconds(3));
}

TEST_CASE_FIXTURE(Fixture, "splay is bounded, spread, and the same after a crash") {
  spec.splay = seconds(100);
  std::set<std::int64_t> seen;
  for (std::uint64_t salt = 0; salt < 50; ++salt) {
    ChangeTrial trial(spec, salt);
    trial.begin(value("A"), false);
    trial.see(at(seconds(0)), value("B"));
    ChangeTrial again(spec, salt);
    again.begin(value("A"), false);
    again.see(at(seconds(0)), value("B"));
    REQUIRE(ready_in(trial));
    CHECK(*ready_in(trial) == *ready_in(again));
    CHECK(*ready_in(trial) >= seconds(0));
    CHECK(*ready_in(trial) <= seconds(100));
    seen.insert(ready_in(trial)->count());
  }
  CHECK(seen.size() > 40);
  CHECK(*seen.rbegin() - *seen.begin() > 50'000);
}

TEST_CASE_FIXTURE(Fixture, "a missing key is held, or is a change") {
  ChangeTrial held(spec, 1);
  held.begin(value("A"), false);
  held.see(at(seconds(0)), value(""));
  CHECK_FALSE(held.changed());
  CHECK(held.latest().kind == Sample::Kind::absent);
  held.see(at(seconds(1)), value("A"));
  CHECK_FALSE(held.changed());
  held.see(at(seconds(2)), value(""));
  held.see(at(seconds(3)), value("B"));
  CHECK(held.changed());

  ChangeTrial created(spec, 1);
  created.begin(value(""), false);
  created.see(at(seconds(0)), value("A"));
  CHECK(created.changed());

  spec.kv->on_delete = KvSpec::OnDelete::change;
  ChangeTrial deleted(spec, 1);
  deleted.begin(value("A"), false);
  deleted.see(at(seconds(0)), value(""));
  CHECK(deleted.changed());
}

TEST_CASE_FIXTURE(Fixture, "trouble is shown, acts on nothing and clears nothing") {
  ChangeTrial trial(spec, 1);
  CHECK(trial.report().verdict == "unknown");
  trial.begin(value("A"), false);
  trial.see(at(seconds(0)), value("A"));
  CHECK(trial.report().verdict == "false");
  trial.trouble("HTTP 500");
  CHECK(trial.report().verdict == "unknown");
  CHECK(trial.report().reason == "HTTP 500");
  CHECK_FALSE(trial.changed());
  trial.see(at(seconds(1)), value("B"));
  trial.trouble("no leader");
  CHECK(trial.changed());
  CHECK(trial.report().verdict == "true");
}

TEST_CASE_FIXTURE(Fixture, "a new definition of the watch forgets nothing") {
  ChangeTrial old(spec, 1);
  old.begin(value("A"), false);
  old.see(at(seconds(0)), value("B"));
  ChangeTrial trial(spec, 1);
  trial.inherit(old);
  CHECK(trial.changed());
  CHECK(ready_in(trial) == ready_in(old));
  CHECK(trial.report().timeline.size() == 2);
}
