// The order of a turn, and what a brain finds that begins in the middle of one.
#include <doctest/doctest.h>

#include <map>

#include "core/memo.h"
#include "core/supervisor.h"

using namespace supv;

namespace {

/// A core, and what a world would have kept of what it did.
struct Life {
  std::map<std::string, std::string> memory;
  std::vector<LiveRun> runs;
  Moment now{Time(std::chrono::seconds(1000)), 1'000'000};

  static Config config() {
    WatchSpec spec;
    spec.name = "w";
    spec.process.start.argv = {"prog"};
    spec.ladder = {{15, Duration(5000)}, {9, Duration(0)}};
    spec.backoff.reset_after = Duration(60'000);
    Config config;
    config.clusters[""];
    config.watches.push_back(spec);
    return config;
  }
  std::vector<Effect> boot(Supervisor& brain, bool fresh) {
    ev::Boot boot;
    boot.config = config();
    boot.fresh = fresh;
    boot.runs = runs;
    for (const auto& [key, text] : memory) boot.memory.push_back({key, text});
    return brain.step(now, std::move(boot));
  }
  /// Does the first `count` effects; the brain dies before the next one.
  void perform(const std::vector<Effect>& effects, std::size_t count = ~std::size_t{0}) {
    for (std::size_t i = 0; i < std::min(count, effects.size()); ++i) {
      if (const auto* kept = std::get_if<fx::Remember>(&effects[i])) memory[kept->key] = kept->text;
      if (const auto* spawn = std::get_if<fx::Spawn>(&effects[i])) {
        LiveRun run;
        run.run = spawn->run;
        run.phase = LiveRun::Phase::running;
        run.pid = 100;
        run.started = now;
        run.memo = spawn->memo;
        runs.push_back(run);
      }
      if (const auto* forget = std::get_if<fx::Forget>(&effects[i]))
        std::erase_if(runs, [&](const LiveRun& run) { return run.run == forget->run; });
    }
  }
  /// The newest run ends; what the core makes of it.
  std::vector<Effect> end_run(Supervisor& brain, int code) {
    LiveRun& run = runs.back();
    run.phase = LiveRun::Phase::gone;
    run.status = ExitStatus{ExitStatus::How::code, code, false};
    return brain.step(now, ev::Gone{run.run, *run.status});
  }
};

std::size_t place(const std::vector<Effect>& effects, std::size_t kind) {
  for (std::size_t i = 0; i < effects.size(); ++i)
    if (effects[i].index() == kind) return i;
  return effects.size();
}

const std::size_t kSpawn = Effect(fx::Spawn{}).index();
const std::size_t kNote = Effect(fx::Note{}).index();
const std::size_t kRemember = Effect(fx::Remember{}).index();
const std::size_t kForget = Effect(fx::Forget{}).index();

WatchReport report(const Supervisor& brain, Moment now) {
  return brain.roster().at(brain.roster().all().front())->report(now);
}

}  // namespace

TEST_CASE("deeds, then words, then burials") {
  Life life;
  Supervisor brain;
  life.perform(life.boot(brain, true));
  life.perform(brain.step(life.now, ev::Launched{life.runs.back().run, 100, life.now}));
  const std::vector<Effect> effects = life.end_run(brain, 1);
  const std::size_t all = effects.size();
  REQUIRE(place(effects, kSpawn) < all);
  REQUIRE(place(effects, kForget) < all);
  CHECK(place(effects, kSpawn) < place(effects, kNote));
  CHECK(place(effects, kSpawn) < place(effects, kRemember));
  CHECK(place(effects, kNote) < place(effects, kForget));
  CHECK(place(effects, kRemember) < place(effects, kForget));
}

TEST_CASE("wherever a brain dies in a turn, an end counts once and nothing is started twice") {
  for (std::size_t done = 0; done < 6; ++done) {
    CAPTURE(done);
    Life life;
    {
      Supervisor brain;
      life.perform(life.boot(brain, true));
      life.perform(brain.step(life.now, ev::Launched{life.runs.back().run, 100, life.now}));
      // The first death is answered at once, the second waits: the one whose turn is cut short.
      life.perform(life.end_run(brain, 1));
      life.perform(brain.step(life.now, ev::Launched{life.runs.back().run, 100, life.now}));
      life.perform(life.end_run(brain, 3), done);
    }
    for (int deaths = 0; deaths < 3; ++deaths) {
      Supervisor brain;
      life.perform(life.boot(brain, false), deaths < 2 ? done : ~std::size_t{0});
      if (deaths < 2) continue;
      const WatchReport seen = report(brain, life.now);
      CHECK(seen.state == "backoff");
      CHECK(seen.restarts == 1);
      REQUIRE(seen.last_exit);
      CHECK(seen.last_exit->code == 3);
      CHECK(life.runs.empty());
      // One failure waits the initial time, two would wait twice that.
      REQUIRE(seen.pending);
      REQUIRE(seen.pending->until_wall_ms);
      CHECK(*seen.pending->until_wall_ms - life.now.wall_ms <= 600);
    }
  }
}
