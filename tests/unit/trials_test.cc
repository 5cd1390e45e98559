#include "core/trials.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace supv;
using std::chrono::seconds;

namespace {

using Indices = std::vector<std::uint32_t>;

/// The trials of one watch; time and answers are the test's.
struct Bench {
  WatchSpec spec;
  std::unique_ptr<Trials> trials;
  Moment now{Time(seconds(1000)), 1'000'000};

  ConditionSpec& add(const std::string& id, Duration interval = seconds(10),
                     std::uint8_t phases = phase::kUp) {
    ConditionSpec one;
    one.name = one.id = id;
    one.interval = interval;
    one.phases = phases;
    spec.conditions.push_back(one);
    return spec.conditions.back();
  }
  /// A part of the whole at this index.
  ConditionSpec& part(std::size_t parent, const std::string& id) {
    const std::uint8_t phases = spec.conditions[parent].phases;
    ConditionSpec& one = add(id, spec.conditions[parent].interval, phases);
    one.parent = static_cast<std::int16_t>(parent);
    return one;
  }
  void make(std::uint64_t salt = 1) { trials = std::make_unique<Trials>(spec, salt); }
  void begin(std::uint8_t phases = phase::kUp) { trials->begin(now.time, phases); }
  void pass(Duration time) {
    now.time += time;
    now.wall_ms += time.count();
  }
  Indices due(std::uint8_t phases = phase::kUp) { return trials->take_due(now.time, phases); }
  std::optional<std::uint32_t> say(std::uint32_t index, char answer, std::string reason = "") {
    const Verdict verdict = answer == 'y'   ? Verdict::yes
                            : answer == 'n' ? Verdict::no
                                            : Verdict::unknown;
    return trials->take(now, {static_cast<RunId>(7ULL), index, verdict, std::move(reason)});
  }
  /// Asks everything that is due after one interval, and gives these answers to what is no whole.
  void round(const std::string& answers, Duration interval = seconds(10)) {
    pass(interval);
    const Indices asked = due();
    REQUIRE(asked.size() == answers.size());
    for (std::size_t i = 0; i < asked.size(); ++i) say(asked[i], answers[i]);
  }
  Duration until_next(std::uint8_t phases = phase::kUp) const {
    const auto next = trials->next(phases);
    REQUIRE(next);
    return std::chrono::duration_cast<Duration>(*next - now.time);
  }
};

}  // namespace

TEST_CASE("what is judged in a phase are its conditions that can be asked") {
  Bench bench;
  bench.add("up");
  bench.add("rest", seconds(10), phase::kRest);
  bench.add("both", seconds(10), phase::kUp | phase::kRest);
  bench.add("whole").kind = ConditionKind::any;
  bench.part(3, "part");
  bench.add("end").kind = ConditionKind::exit;
  bench.add("change").kind = ConditionKind::change;
  bench.make();
  CHECK(bench.trials->members(phase::kUp) == Indices{0, 2, 4, 5});
  CHECK(bench.trials->members(phase::kRest) == Indices{1, 2});
  CHECK(bench.trials->members(phase::kAlways).empty());
  bench.begin();
  bench.pass(seconds(10));
  // Ends are told, not asked for.
  CHECK(bench.due() == Indices{0, 2, 4});
}

TEST_CASE("beats are multiples of the interval; how a start goes is looked at at once") {
  Bench bench;
  bench.add("slow", seconds(30));
  bench.add("fast", seconds(7));
  bench.add("start", seconds(7), phase::kStarting);
  bench.make();
  CHECK_FALSE(bench.trials->next(phase::kStarting | phase::kRest) == std::nullopt);
  bench.begin();
  CHECK(bench.due().empty());
  CHECK(bench.until_next() == Duration(1000));  // 1001 is a multiple of 7
  bench.pass(Duration(999));
  CHECK(bench.due().empty());
  bench.pass(Duration(1));
  CHECK(bench.due() == Indices{1});
  CHECK(bench.due().empty());  // asked once
  CHECK(bench.until_next() == Duration(19000));
  bench.say(1, 'n');
  CHECK(bench.until_next() == Duration(7000));
  bench.begin(phase::kStarting);
  CHECK(bench.due(phase::kStarting) == Indices{2});
}

TEST_CASE(
    "what is awaited is not asked again, and an answer that came late is followed by a beat") {
  Bench bench;
  bench.add("one", seconds(10));
  bench.make();
  bench.begin();
  bench.pass(seconds(10));
  CHECK(bench.due() == Indices{0});
  CHECK_FALSE(bench.trials->next(phase::kUp));
  bench.pass(seconds(25));
  CHECK(bench.due().empty());
  bench.say(0, '?');
  CHECK(bench.due() == Indices{0});
  CHECK_FALSE(bench.trials->holds(0));
}

TEST_CASE("three of the last five, and a new phase counts from nothing") {
  Bench bench;
  bench.add("one").times = {3, 5};
  bench.make();
  bench.begin();
  std::string held;
  for (const char answer : std::string("yynny?n")) {
    bench.round(std::string(1, answer));
    held += bench.trials->holds(0) ? '!' : '.';
  }
  CHECK(held == "....!..");
  CHECK(bench.trials->checked(0));
  bench.begin();
  CHECK_FALSE(bench.trials->checked(0));
  CHECK(bench.trials->report(0).verdict == "unknown");
  CHECK(bench.trials->report(0).reason == "not judged yet");
  bench.round("y");
  bench.round("y");
  CHECK_FALSE(bench.trials->holds(0));
  bench.round("y");
  CHECK(bench.trials->holds(0));
  bench.trials->clear(0);
  bench.round("y");
  CHECK_FALSE(bench.trials->holds(0));
  CHECK(bench.trials->report(0).verdict == "true");
}

TEST_CASE("the end of a phase leaves the others alone") {
  Bench bench;
  bench.add("up").splay = seconds(60);
  bench.add("always", seconds(10), phase::kAlways).splay = seconds(60);
  bench.make();
  bench.begin(phase::kUp | phase::kAlways);
  bench.pass(seconds(10));
  for (const std::uint32_t i : bench.due(phase::kUp | phase::kAlways)) {
    bench.say(i, 'y');
    bench.trials->may_act_at(i, bench.now.time);
  }
  CHECK(bench.trials->holds(0));
  bench.trials->end(static_cast<std::uint8_t>(~phase::kAlways));
  CHECK_FALSE(bench.trials->holds(0));
  CHECK_FALSE(bench.trials->act_at(0));
  CHECK(bench.trials->holds(1));
  CHECK(bench.trials->act_at(1));
  CHECK(bench.trials->waiting() == 1);
  // What was awaited is awaited no longer.
  bench.pass(seconds(10));
  CHECK(bench.due() == Indices{0});
  bench.trials->end(phase::kUp);
  bench.pass(seconds(10));
  CHECK(bench.due() == Indices{0});
}

TEST_CASE("a whole has a verdict when the last part has answered") {
  struct Row {
    ConditionKind kind;
    const char* answers;
    const char* verdict;
  };
  using Kind = ConditionKind;
  for (const Row& row :
       {Row{Kind::all, "yy", "true"}, Row{Kind::all, "yn", "false"}, Row{Kind::all, "?n", "false"},
        Row{Kind::all, "y?", "unknown"}, Row{Kind::any, "ny", "true"}, Row{Kind::any, "?y", "true"},
        Row{Kind::any, "nn", "false"}, Row{Kind::any, "n?", "unknown"},
        Row{Kind::none, "nn", "true"}, Row{Kind::none, "ny", "false"},
        Row{Kind::none, "y?", "unknown"}, Row{Kind::none, "??", "unknown"}}) {
    CAPTURE(static_cast<int>(row.kind));
    CAPTURE(row.answers);
    Bench bench;
    bench.add("whole").kind = row.kind;
    bench.part(0, "a");
    bench.part(0, "b");
    bench.make();
    bench.begin();
    bench.pass(seconds(10));
    REQUIRE(bench.due() == Indices{1, 2});
    CHECK_FALSE(bench.say(1, row.answers[0]));
    CHECK_FALSE(bench.trials->checked(0));
    CHECK(bench.say(2, row.answers[1]) == 0);
    CHECK(bench.trials->report(0).verdict == row.verdict);
    CHECK(bench.trials->holds(0) == (std::string(row.verdict) == "true"));
  }
}

TEST_CASE("a part counts as true when it holds, and the reasons say which") {
  Bench bench;
  bench.add("whole").kind = ConditionKind::any;
  bench.part(0, "a").times = {2, 2};
  bench.part(0, "b");
  bench.make();
  bench.begin();
  bench.round("yn");
  CHECK_FALSE(bench.trials->holds(0));
  bench.pass(seconds(10));
  bench.due();
  bench.say(1, 'y', "90 MB");
  bench.say(2, 'n', "3%");
  CHECK(bench.trials->holds(0));
  CHECK(bench.trials->reason(0) == "a: 90 MB");
  bench.pass(seconds(10));
  bench.due();
  bench.say(1, '?', "no answer");
  bench.say(2, 'n', "3%");
  CHECK(bench.trials->report(0).verdict == "unknown");
  CHECK(bench.trials->reason(0) == "a: unknown");
}

TEST_CASE("a whole counts its own verdicts, one for each round of answers") {
  Bench bench;
  ConditionSpec& whole = bench.add("whole");
  whole.kind = ConditionKind::all;
  whole.times = {3, 3};
  bench.part(0, "a");
  bench.part(0, "b");
  bench.make();
  bench.begin();
  bench.round("yy");
  bench.round("yy");
  CHECK_FALSE(bench.trials->holds(0));
  bench.round("yy");
  CHECK(bench.trials->holds(0));
  bench.round("yn");
  CHECK_FALSE(bench.trials->holds(0));
}

TEST_CASE("wholes within wholes have one verdict for each round of answers, too") {
  Bench bench;
  ConditionSpec& outer = bench.add("outer");
  outer.kind = ConditionKind::all;
  outer.times = {2, 2};
  bench.part(0, "left").kind = ConditionKind::any;
  bench.part(1, "a");
  bench.part(1, "b");
  bench.part(0, "right").kind = ConditionKind::none;
  bench.part(4, "c");
  bench.make();
  bench.begin();
  bench.pass(seconds(10));
  REQUIRE(bench.due() == Indices{2, 3, 5});
  CHECK_FALSE(bench.say(2, 'y'));
  CHECK_FALSE(bench.say(3, 'n'));  // the right half is awaited
  CHECK(bench.say(5, 'n') == 0);
  CHECK(bench.trials->verdict(0) == Verdict::yes);
  CHECK_FALSE(bench.trials->holds(0));  // once
  bench.pass(seconds(10));
  bench.due();
  CHECK_FALSE(bench.say(5, 'n'));  // whoever answers first, nothing old is counted with it
  CHECK_FALSE(bench.say(2, 'n'));
  CHECK(bench.say(3, 'n') == 0);
  CHECK(bench.trials->verdict(0) == Verdict::no);
  bench.round("ynn");
  CHECK_FALSE(bench.trials->holds(0));
  bench.round("nyn");
  CHECK(bench.trials->holds(0));
  bench.round("yy?");
  CHECK(bench.trials->report(0).verdict == "unknown");
}

TEST_CASE("degrading asks twice as often after each of the first two failures") {
  Bench bench;
  ConditionSpec& one = bench.add("one", seconds(8));
  one.degrading = true;
  one.times = {3, 3};
  bench.make();
  bench.begin();
  std::vector<int> waits;
  std::string held;
  for (const char answer : std::string("yyyy?ny")) {
    waits.push_back(static_cast<int>(bench.until_next().count()));
    bench.pass(bench.until_next());
    REQUIRE(bench.due() == Indices{0});
    bench.say(0, answer);
    held += bench.trials->holds(0) ? '!' : '.';
  }
  CHECK(waits == std::vector<int>{8000, 4000, 2000, 2000, 2000, 2000, 4000});
  CHECK(held == "..!!...");
  // After an answer that all is well the beats are those of the interval again.
  bench.say(0, 'n');
  CHECK((bench.now.time + bench.until_next()).time_since_epoch() % seconds(8) == seconds(0));
  Bench brief;
  brief.add("one", Duration(12)).degrading = true;
  brief.make();
  brief.begin();
  for (int i = 0; i < 4; ++i) {
    brief.pass(brief.until_next());
    REQUIRE(brief.due() == Indices{0});
    brief.say(0, 'y');
  }
  CHECK(brief.until_next() == Duration(10));  // never faster
}

TEST_CASE("the time to act is one of its own for each host, watch and condition, and stays") {
  Bench bench;
  bench.add("a").splay = seconds(1000);
  bench.add("b").splay = seconds(1000);
  bench.add("plain");
  bench.make(1);
  bench.begin();
  bench.round("yyy");
  const Time now = bench.now.time;
  const Time a = bench.trials->may_act_at(0, now);
  const Time b = bench.trials->may_act_at(1, now);
  CHECK(a >= now);
  CHECK(a <= now + seconds(1000));
  CHECK(a != b);
  CHECK(bench.trials->may_act_at(2, now) == now);
  CHECK_FALSE(bench.trials->act_at(2));
  bench.pass(seconds(1));
  CHECK(bench.trials->may_act_at(0, bench.now.time) == a);  // as long as it holds
  Trials same(bench.spec, 1);
  CHECK(same.may_act_at(0, now) == a);
  Trials other(bench.spec, 2);
  CHECK(other.may_act_at(0, now) != a);
}

TEST_CASE("a splay that ends is told once, and forgotten when the condition is false by then") {
  Bench bench;
  bench.add("a", seconds(100)).splay = seconds(50);
  bench.make();
  bench.begin();
  bench.pass(seconds(100));
  REQUIRE(bench.due() == Indices{0});
  bench.say(0, 'y');
  const Time act = bench.trials->may_act_at(0, bench.now.time);
  CHECK(bench.trials->next_splay() == act);
  CHECK(bench.trials->take_splayed(act - Duration(1)).empty());
  CHECK(bench.trials->take_splayed(act) == Indices{0});
  CHECK(bench.trials->take_splayed(act).empty());
  CHECK_FALSE(bench.trials->next_splay());
  CHECK(bench.trials->waiting() == 0);
  bench.pass(seconds(100));
  REQUIRE(bench.due() == Indices{0});
  bench.say(0, 'n');
  CHECK_FALSE(bench.trials->act_at(0));
  CHECK_FALSE(bench.trials->waiting());
  bench.pass(seconds(100));
  REQUIRE(bench.due() == Indices{0});
  bench.say(0, 'y');
  const Time again = bench.trials->may_act_at(0, bench.now.time);
  CHECK(again - bench.now.time == act - (bench.now.time - seconds(200)));
  CHECK(bench.trials->take_splayed(again) == Indices{0});
}

TEST_CASE("what was told of is remembered by the trials of the next definition") {
  Bench bench;
  bench.add("a");
  bench.add("b");
  bench.make();
  bench.begin();
  bench.trials->set_told(0, true);
  bench.trials->set_told(1, true);
  bench.begin();
  CHECK(bench.trials->told(0));  // a new phase does not make it untold
  Bench next;
  next.add("b");
  next.add("a").times = {2, 2};
  next.add("c");
  next.make();
  next.trials->inherit(*bench.trials, bench.spec);
  CHECK(next.trials->told(0));
  CHECK_FALSE(next.trials->told(1));  // it is another condition now
  CHECK_FALSE(next.trials->told(2));
}

TEST_CASE("what was measured is shown with the verdict that it came with, and no other") {
  Bench bench;
  bench.add("whole").kind = ConditionKind::all;
  bench.part(0, "part");
  bench.make();
  bench.begin();
  const auto say = [&](Verdict verdict, const std::string& metrics) {
    bench.trials->take(bench.now, {static_cast<RunId>(7ULL), 1, verdict, "reason", metrics});
    return bench.trials->report(1).metrics;
  };
  CHECK(bench.trials->report(1).metrics.empty());
  const std::vector<Metric> load = {{"load1", 0.5, "", "5", "10", 0.0, {}},
                                    {"load 5", 0.25, "", "", "", {}, {}}};
  CHECK(say(Verdict::no, "load1=0.5;5;10;0 'load 5'=0.25 and=rubbish") == load);
  CHECK(bench.trials->report(1).metrics == load);  // as often as somebody asks
  CHECK(bench.trials->report(0).metrics.empty());  // a whole measures nothing itself
  CHECK(say(Verdict::yes, "").empty());
  CHECK(say(Verdict::unknown, "load1=U").size() == 1);
  CHECK(say(Verdict::unknown, "").empty());
  CHECK(say(Verdict::yes, "a=1").size() == 1);
  bench.trials->end(phase::kUp);
  CHECK(bench.trials->report(1).metrics.size() == 1);  // as its reason
  bench.begin();
  CHECK(bench.trials->report(1).metrics.empty());
}
