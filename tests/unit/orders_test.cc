#include "core/orders.h"

#include <doctest/doctest.h>

#include "core/supervisor.h"

using namespace supv;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

/// A whole core with two watches, played by hand.
struct Bench {
  Supervisor core;
  Moment now{Time(seconds(1000)), 1'000'000'000};
  std::vector<Effect> effects;
  std::map<std::string, std::string> memory;
  std::uint64_t tag = 0;

  explicit Bench(std::vector<Memory> before = {}, std::vector<LiveRun> runs = {},
                 bool fresh = true) {
    ev::Boot boot;
    for (const char* name : {"a", "b"}) {
      WatchSpec spec;
      spec.name = name;
      spec.process.start.argv = {"prog"};
      spec.ready.kind = ReadySpec::Kind::notify;
      spec.ladder = {{15, Duration(5000)}, {9, Duration(0)}};
      spec.autostart = false;
      boot.config.watches.push_back(spec);
    }
    boot.config.clusters[""] = ConsulSpec{};
    boot.memory = std::move(before);
    boot.runs = std::move(runs);
    boot.fresh = fresh;
    step(std::move(boot));
  }
  void step(Event event) {
    effects = core.step(now, event);
    for (const Effect& effect : effects)
      if (const auto* kept = std::get_if<fx::Remember>(&effect)) memory[kept->key] = kept->text;
  }
  std::vector<Memory> memories() const {
    std::vector<Memory> all;
    for (const auto& [key, text] : memory)
      if (!text.empty()) all.push_back({key, text});
    return all;
  }
  std::uint64_t ask(Request::Verb verb, std::vector<std::string> select, const std::string& id) {
    Request request;
    request.client = static_cast<ClientId>(++tag);
    request.tag = tag;
    request.verb = verb;
    request.select = std::move(select);
    request.action_id = id;
    step(ev::Asked{request});
    return tag;
  }
  const Report* answer(std::uint64_t to) const {
    for (const Effect& effect : effects)
      if (const auto* reply = std::get_if<fx::Reply>(&effect))
        if (reply->tag == to && !reply->progress) return &reply->report;
    return nullptr;
  }
  RunId spawned() const {
    for (const Effect& effect : effects)
      if (const auto* spawn = std::get_if<fx::Spawn>(&effect)) return spawn->run;
    return RunId::none;
  }
  std::size_t stops() const {
    std::size_t count = 0;
    for (const Effect& effect : effects) count += std::holds_alternative<fx::Stop>(effect) ? 1 : 0;
    return count;
  }
  void up(RunId run) {
    step(ev::Launched{run, 42, now});
    step(ev::Ready{run});
  }
  void end(RunId run) {
    const ExitStatus status{ExitStatus::How::signal, 15, false};
    step(ev::Exited{run, status, 0});
    step(ev::Gone{run, status});
  }
  LiveRun live(RunId run, const std::string& memo) const {
    LiveRun live;
    live.run = run;
    live.pid = 42;
    live.started = now;
    live.memo = memo;
    return live;
  }
};

std::string memo_of(const Bench& bench) {
  for (const Effect& effect : bench.effects)
    if (const auto* spawn = std::get_if<fx::Spawn>(&effect)) return spawn->memo;
  return "";
}

}  // namespace

TEST_CASE("a start is answered when the run is up, not before") {
  Bench bench;
  const auto tag = bench.ask(Request::Verb::start, {"a"}, "id1");
  const RunId run = bench.spawned();
  CHECK_FALSE(bench.answer(tag));
  bench.step(ev::Launched{run, 42, bench.now});
  CHECK_FALSE(bench.answer(tag));
  bench.step(ev::Ready{run});
  REQUIRE(bench.answer(tag));
  CHECK(bench.answer(tag)->code == code::kDone);
  CHECK(bench.answer(tag)->outcomes.front().text == "up, pid 42");
  bench.step(ev::Ready{run});
  CHECK_FALSE(bench.answer(tag));
}

TEST_CASE("a start that fails says why") {
  Bench bench;
  bench.ask(Request::Verb::start, {"a"}, "id1");
  bench.step(ev::StartFailed{bench.spawned(), "exec", 2, ""});
  const RunId second = bench.spawned();
  bench.step(ev::StartFailed{second, "exec", 2, ""});
  REQUIRE(bench.answer(1));
  CHECK(bench.answer(1)->code == code::kFailed);
  CHECK(bench.answer(1)->outcomes.front().text.find("No such file") != std::string::npos);
}

TEST_CASE("a stop is answered when nothing is left") {
  Bench bench;
  bench.ask(Request::Verb::start, {"a"}, "id1");
  const RunId run = bench.spawned();
  bench.up(run);
  const auto tag = bench.ask(Request::Verb::stop, {"a"}, "id2");
  CHECK(bench.stops() == 1);
  bench.step(ev::Exited{run, {ExitStatus::How::code, 0, false}, 2});
  CHECK_FALSE(bench.answer(tag));
  bench.step(ev::Gone{run, {ExitStatus::How::code, 0, false}});
  REQUIRE(bench.answer(tag));
  CHECK(bench.answer(tag)->code == code::kDone);
}

TEST_CASE("the same id is carried out once, however often it is asked") {
  Bench bench;
  bench.ask(Request::Verb::start, {"a"}, "id1");
  const RunId run = bench.spawned();
  bench.up(run);
  const auto first = bench.ask(Request::Verb::restart, {"a"}, "id2");
  CHECK(bench.stops() == 1);
  const auto second = bench.ask(Request::Verb::restart, {"a"}, "id2");
  CHECK(bench.stops() == 0);
  bench.end(run);
  bench.up(bench.spawned());
  CHECK(bench.answer(first));
  CHECK(bench.answer(second));
  const auto third = bench.ask(Request::Verb::restart, {"a"}, "id2");
  CHECK(bench.stops() == 0);
  REQUIRE(bench.answer(third));
  CHECK(bench.answer(third)->code == code::kDone);
}

TEST_CASE("some of several is told apart from all and none") {
  Bench bench;
  const auto tag = bench.ask(Request::Verb::start, {"a", "b"}, "id1");
  std::vector<RunId> runs;
  for (const Effect& effect : bench.effects)
    if (const auto* spawn = std::get_if<fx::Spawn>(&effect)) runs.push_back(spawn->run);
  REQUIRE(runs.size() == 2);
  bench.up(runs[0]);
  CHECK_FALSE(bench.answer(tag));
  bench.step(ev::StartFailed{runs[1], "exec", 2, ""});
  bench.step(ev::StartFailed{bench.spawned(), "exec", 2, ""});
  REQUIRE(bench.answer(tag));
  CHECK(bench.answer(tag)->code == code::kPartial);
}

TEST_CASE("a held watch refuses, and force does not") {
  Bench bench;
  bench.ask(Request::Verb::hold, {"a"}, "id1");
  const auto refused = bench.ask(Request::Verb::start, {"a"}, "id2");
  REQUIRE(bench.answer(refused));
  CHECK(bench.answer(refused)->code == code::kRefused);
  CHECK(bench.spawned() == RunId::none);
}

TEST_CASE("no selector and no such watch have their own codes") {
  Bench bench;
  const auto usage = bench.ask(Request::Verb::stop, {}, "id1");
  REQUIRE(bench.answer(usage));
  CHECK(bench.answer(usage)->code == code::kUsage);
  const auto unknown = bench.ask(Request::Verb::stop, {"c"}, "id2");
  REQUIRE(bench.answer(unknown));
  CHECK(bench.answer(unknown)->code == code::kNoSuchWatch);
}

TEST_CASE("a stop overtakes a start that is under way, for the next brain too") {
  Bench bench;
  bench.ask(Request::Verb::start, {"a"}, "id1");
  const RunId run = bench.spawned();
  const std::string memo = memo_of(bench);
  bench.ask(Request::Verb::stop, {"a"}, "id2");
  REQUIRE(bench.answer(1));
  CHECK(bench.answer(1)->code == code::kFailed);
  Bench next(bench.memories(), {bench.live(run, memo)}, false);
  next.end(run);
  CHECK(next.spawned() == RunId::none);
  const auto again = next.ask(Request::Verb::stop, {"a"}, "id2");
  REQUIRE(next.answer(again));
  CHECK(next.answer(again)->code == code::kDone);
}

TEST_CASE("an accepted restart is carried out by the next brain, once") {
  Bench bench;
  bench.ask(Request::Verb::start, {"a"}, "id1");
  const RunId run = bench.spawned();
  const std::string memo = memo_of(bench);
  bench.up(run);
  Memo recorded = *decode_memo(memo);
  recorded.ready = true;
  bench.ask(Request::Verb::restart, {"a"}, "id2");
  // The stop never reached the keeper.
  Bench next(bench.memories(), {bench.live(run, encode(recorded))}, false);
  CHECK(next.stops() == 1);
  const auto again = next.ask(Request::Verb::restart, {"a"}, "id2");
  CHECK(next.stops() == 0);
  next.end(run);
  const RunId replacement = next.spawned();
  REQUIRE(replacement != RunId::none);
  next.up(replacement);
  REQUIRE(next.answer(again));
  CHECK(next.answer(again)->code == code::kDone);
}

TEST_CASE("what was only half done is not called done") {
  Bench bench;
  bench.ask(Request::Verb::start, {"a"}, "id1");
  bench.up(bench.spawned());
  Bench next({{"action/id7", "13 0 0 1000000000 0\na 0 0 13 0 0 \n"}}, {}, false);  // a hold
  const auto again = next.ask(Request::Verb::hold, {"a"}, "id7");
  REQUIRE(next.answer(again));
  CHECK(next.answer(again)->code == code::kFailed);
}

TEST_CASE("results are kept for ten minutes") {
  Bench bench;
  bench.ask(Request::Verb::start, {"a"}, "id1");
  bench.up(bench.spawned());
  CHECK_FALSE(bench.memory["action/id1"].empty());
  bench.now.time += minutes(9);
  bench.step(ev::Tick{});
  CHECK_FALSE(bench.memory["action/id1"].empty());
  bench.now.time += minutes(2);
  bench.step(ev::Tick{});
  CHECK(bench.memory["action/id1"].empty());
}

TEST_CASE("a terminate does not outlive its supvd") {
  Bench bench({{"action/id1", "17 0 0 1000000000 0\na 0 0 17 0 0 \n"}}, {}, true);
  CHECK_FALSE(bench.core.done());
  CHECK(bench.memory["action/id1"].empty());
}

TEST_CASE("the memory of an order may be anything") {
  Random random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string text = "6 0 0 1000000000 0\na 0 0 6 0 0 x\nb 1 2 3 4 5 6\n";
    for (int flips = 0; flips < 5; ++flips)
      text[random.next() % text.size()] = static_cast<char>(random.next());
    Bench bench({{"action/x", text}}, {}, false);
    CHECK_FALSE(bench.core.done());
  }
}
