// What a load does with watches that it does not name.
#include <doctest/doctest.h>

#include <algorithm>

#include "core/memo.h"
#include "core/supervisor.h"

using namespace supv;

namespace {

using Names = std::vector<std::string>;

/// A core whose files are what the test says.
struct Desk {
  Supervisor supervisor;
  Moment now{Time(std::chrono::seconds(1000)), 1'000'000};
  std::vector<Effect> effects;
  std::uint64_t tag = 0;

  static WatchSpec watch(const std::string& name) {
    WatchSpec spec;
    spec.name = name;
    spec.file = "/etc/" + name + ".watch.yaml";
    spec.process.start.argv = {"prog"};
    spec.autostart = false;
    spec.ladder = {{15, Duration(5000)}, {9, Duration(0)}};
    return spec;
  }
  static Config config(const Names& names) {
    Config config;
    config.clusters[""];
    for (const std::string& name : names) config.watches.push_back(watch(name));
    return config;
  }
  void step(Event event) { effects = supervisor.step(now, std::move(event)); }
  void boot(const Names& names, Names retained = {}, std::vector<LiveRun> runs = {}) {
    ev::Boot boot;
    boot.config = config(names);
    boot.retained = std::move(retained);
    boot.runs = std::move(runs);
    boot.fresh = false;
    step(std::move(boot));
  }
  Request ask(Request::Verb verb) {
    Request request;
    request.client = static_cast<ClientId>(++tag);
    request.tag = tag;
    request.action_id = "a" + std::to_string(tag);
    request.verb = verb;
    return request;
  }
  /// Loads what the files say by now: watches called `names`.
  void load(const Names& names, const std::string& missing, Names files = {}) {
    Request request = ask(Request::Verb::load);
    request.missing = missing;
    request.files = std::move(files);
    step(ev::Asked{request});
    answer_load(names);
  }
  void answer_load(const Names& names) {
    const auto* load = deed<fx::Load>();
    REQUIRE(load != nullptr);
    step(ev::Loaded{load->ticket, config(names)});
  }
  template <typename Fx>
  const Fx* deed() const {
    for (const Effect& effect : effects)
      if (const auto* found = std::get_if<Fx>(&effect)) return found;
    return nullptr;
  }
  Names retained() const {
    const auto* applied = deed<fx::Applied>();
    return applied == nullptr ? Names{"nothing was applied"} : applied->retained;
  }
  /// Where `key` is written down among the effects; their number when it is not.
  std::ptrdiff_t written(const std::string& key) const {
    return std::find_if(effects.begin(), effects.end(),
                        [&](const Effect& effect) {
                          const auto* memory = std::get_if<fx::Remember>(&effect);
                          return memory != nullptr && memory->key == key;
                        }) -
           effects.begin();
  }
  Names roster() const {
    Names names;
    for (const std::uint32_t number : supervisor.roster().all())
      names.push_back(supervisor.roster().at(number)->spec().name);
    return names;
  }
};

}  // namespace

TEST_CASE("what a load leaves in force is told with it, load after load") {
  Desk desk;
  desk.boot({"a", "b", "c"});
  CHECK(desk.retained().empty());
  desk.load({"a", "b"}, "keep");
  CHECK(desk.retained() == Names{"c"});
  desk.load({"a"}, "unmonitor");
  CHECK(desk.retained() == Names{"b", "c"});
  CHECK_FALSE(desk.supervisor.roster().at(1)->monitored());
  desk.step(ev::Signalled{1});
  desk.answer_load({"a", "c"});
  CHECK(desk.retained() == Names{"b"});  // c is named again
  desk.load({"a"}, "stop");
  CHECK(desk.retained().empty());
  CHECK(desk.roster() == Names{"a"});
}

TEST_CASE("a new brain knows what was retained, and finds its run") {
  Desk desk;
  Memo memo;
  memo.watch = "b";
  memo.ready = true;
  memo.process = fingerprint(Desk::watch("b").process);
  LiveRun live;
  live.run = static_cast<RunId>((7ULL << 16) | 3);
  live.pid = 42;
  live.memo = encode(memo);
  desk.boot({"a", "b"}, {"b"}, {live});
  CHECK(desk.deed<fx::Stop>() == nullptr);
  CHECK(desk.retained() == Names{"b"});
  desk.load({"a"}, "keep");
  CHECK(desk.retained() == Names{"b"});
  desk.load({"a"}, "stop");
  REQUIRE(desk.deed<fx::Stop>() != nullptr);
  CHECK(desk.deed<fx::Stop>()->run == live.run);
  // It takes its time, and a load that comes meanwhile does not keep it any more.
  desk.load({"a"}, "keep");
  CHECK(desk.retained().empty());
  CHECK(desk.deed<fx::Stop>() == nullptr);
}

TEST_CASE("a load of some files misses only what those defined") {
  Desk desk;
  desk.boot({"a", "b", "c"}, {"b", "c"});
  desk.load({"a", "d"}, "stop", {"/etc/d.watch.yaml"});
  CHECK(desk.retained() == Names{"b", "c"});
  desk.load({"a", "d"}, "stop", {"/etc/c.watch.yaml"});
  CHECK(desk.retained() == Names{"b"});
  CHECK(desk.roster() == Names{"a", "b", "d"});
  // Not retained: it was in the set, so it is this load that lost it.
  desk.load({"d"}, "stop", {"/etc/main.yaml"});
  CHECK(desk.retained() == Names{"b"});
  CHECK(desk.roster() == Names{"b", "d"});
}

TEST_CASE("left alone is written down before the load is") {
  Desk desk;
  desk.boot({"a", "b"});
  Request monitor = desk.ask(Request::Verb::monitor);
  monitor.select = {"b"};
  desk.step(ev::Asked{monitor});
  CHECK(desk.deed<fx::Spawn>() != nullptr);  // and it is not up yet
  desk.load({"a"}, "unmonitor");
  const auto end = static_cast<std::ptrdiff_t>(desk.effects.size());
  REQUIRE(desk.written("action/a2") < end);
  CHECK(desk.written("watch/b") < desk.written("action/a2"));
  // A later brain must not go on with what was asked before.
  CHECK(desk.written("action/a1") < end);
  const auto* reply = desk.deed<fx::Reply>();
  REQUIRE(reply != nullptr);
}
