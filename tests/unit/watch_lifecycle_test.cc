// What a watch makes of the conditions of its phases, of its task and of another supervisor's
// process, and whom it tells.
#include <doctest/doctest.h>

#include <cerrno>

#include "watch_bench.h"

using namespace supv;
using std::chrono::seconds;

namespace {

constexpr RunId operator""_run(unsigned long long number) { return static_cast<RunId>(number); }

struct Bench : WatchBench {
  RareSpec rare;

  ConditionSpec& add(const std::string& name, Action action, std::uint8_t phases,
                     ConditionList list = ConditionList::transitions) {
    ConditionSpec one;
    one.name = name;
    one.id = name + "#1";
    one.action = action;
    one.phases = phases;
    one.list = list;
    one.interval = seconds(10);
    spec->conditions.push_back(one);
    return spec->conditions.back();
  }
  void make() {
    if (!(rare == RareSpec())) spec->rare = std::make_shared<const RareSpec>(rare);
    WatchBench::make();
  }
  const std::string state() const { return watch->shown_state(); }
  const fx::Arm* armed() const { return find<fx::Arm>(); }
  void judge(RunId number, std::uint32_t condition, bool yes, const std::string& reason = "so") {
    turn([&](Step& step) {
      watch->on_judged(step, {number, condition, yes ? Verdict::yes : Verdict::no, reason});
    });
  }
  void boot(bool fresh) {
    turn([&](Step& step) { watch->boot(step, fresh); });
  }
  void redefine() {
    auto next = std::make_shared<WatchSpec>(*spec);
    spec = next;
    turn([&](Step& step) { watch->redefine(step, next, true); });
  }
  void killed(RunId run, int signal) {
    turn([&](Step& step) {
      watch->on_exited(step, {run, {ExitStatus::How::signal, signal, false}, 0});
    });
    turn([&](Step& step) {
      watch->on_gone(step, {run, {ExitStatus::How::signal, signal, false}});
    });
  }
  /// Lets time pass up to the next deadline.
  void wait() {
    REQUIRE(watch->deadline());
    const auto time = std::max(*watch->deadline() - now.time, MonotonicClock::duration(0));
    pass(std::chrono::duration_cast<Duration>(time));
  }
  bool disarmed(RunId number) const {
    for (const Effect& effect : effects)
      if (const auto* deed = std::get_if<fx::Disarm>(&effect))
        if (deed->run == number) return true;
    return false;
  }
  std::string reason_of_note() const {
    const auto* note = find<fx::Note>();
    return note == nullptr ? "" : note->reason;
  }
};

/// A watch that waits until its init transition lets it start; condition 0 says so.
struct Gated : Bench {
  RunId gate = RunId::none;
  Gated() {
    add("disk", Action::start, phase::kInit);
    make();
    start();
    REQUIRE(armed() != nullptr);
    gate = armed()->run;
  }
};

}  // namespace

// --- init
// ------------------------------------------------------------------------------------------

TEST_CASE("a start waits for its init transition, without a process and without a limit") {
  Gated bench;
  CHECK(bench.state() == "starting");
  CHECK(bench.count<fx::Spawn>() == 0);
  CHECK(bench.watch->run() == RunId::none);
  CHECK(bench.armed()->subject == RunId::none);
  CHECK(bench.watch->launched_once());  // nobody waits for it
  bench.pass(Duration(0));
  CHECK(bench.count<fx::Poll>() == 1);  // at once
  bench.judge(bench.gate, 0, false);
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.pass(seconds(3600));
  CHECK(bench.state() == "starting");
  CHECK(bench.count<fx::Poll>() == 1);
  bench.judge(99_run, 0, true);  // of somebody else
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.judge(bench.gate, 0, true);
  CHECK(bench.count<fx::Spawn>() == 1);
  CHECK(bench.disarmed(bench.gate));
  CHECK(bench.watch->restarts() == 0);
  REQUIRE(bench.watch->deadline());
  CHECK(*bench.watch->deadline() - bench.now.time == bench.spec->start_timeout);
}

TEST_CASE("`from: init, to: {true: up, false: start}` starts when it is false") {
  Bench bench;
  bench.add("running", Action::up, phase::kInit).otherwise = Action::start;
  bench.make();
  bench.start();
  const RunId gate = bench.armed()->run;
  bench.judge(gate, 0, true);
  CHECK(bench.state() == "starting");
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.judge(gate, 0, false);
  CHECK(bench.count<fx::Spawn>() == 1);
}

TEST_CASE("what is asked for while a start waits at its gate") {
  {
    Gated bench;
    bench.stop();
    CHECK(bench.state() == "stopped");
    CHECK(bench.disarmed(bench.gate));
    CHECK(bench.count<fx::Stop>() == 0);
    bench.judge(bench.gate, 0, true);
    CHECK(bench.count<fx::Spawn>() == 0);
  }
  {
    Gated bench;
    bench.start();  // is waiting already
    CHECK(bench.count<fx::Spawn>() == 0);
    bench.judge(bench.gate, 0, true);
    CHECK(bench.count<fx::Spawn>() == 1);
  }
  {
    Gated bench;
    bench.restart();  // an operator's word goes past the gate
    CHECK(bench.count<fx::Spawn>() == 1);
    CHECK(bench.count<fx::Stop>() == 0);
    CHECK(bench.disarmed(bench.gate));
  }
  {
    Gated bench;
    bench.unmonitor();
    CHECK(bench.state() == "unmonitored");
    CHECK(bench.disarmed(bench.gate));
    bench.judge(bench.gate, 0, true);
    CHECK(bench.count<fx::Spawn>() == 0);
    CHECK_FALSE(bench.watch->deadline());
    bench.monitor();
    CHECK(bench.state() == "starting");
    CHECK(bench.count<fx::Spawn>() == 0);  // it waits again
    REQUIRE(bench.armed() != nullptr);
    bench.judge(bench.armed()->run, 0, true);
    CHECK(bench.count<fx::Spawn>() == 1);
  }
  for (const bool now : {false, true}) {
    Gated bench;
    bench.turn([&](Step& step) { bench.watch->shut_down(step, now); });
    CHECK(bench.state() == "stopped");
    CHECK(bench.count<fx::Stop>() == 0);
    CHECK(bench.disarmed(bench.gate));
    CHECK(bench.watch->at_rest());
    bench.judge(bench.gate, 0, true);
    CHECK(bench.count<fx::Spawn>() == 0);
  }
  {
    Gated bench;
    bench.turn([&](Step& step) { bench.watch->remove(step, bench.by("remove")); });
    CHECK(bench.watch->removed());
    CHECK(bench.disarmed(bench.gate));
  }
  {
    Gated bench;
    // It was asked for before: a hold does not take that back.
    bench.turn([&](Step& step) { bench.watch->hold(step, {std::nullopt, "", "test"}); });
    bench.judge(bench.gate, 0, false);
    CHECK(bench.count<fx::Spawn>() == 0);
    bench.judge(bench.gate, 0, true);
    CHECK(bench.count<fx::Spawn>() == 1);
  }
}

TEST_CASE("a new definition at the gate counts from then on") {
  Gated kept;
  kept.spec->start_timeout = seconds(7);
  kept.redefine();
  CHECK(kept.disarmed(kept.gate));
  REQUIRE(kept.armed() != nullptr);
  CHECK(kept.count<fx::Spawn>() == 0);
  kept.judge(kept.armed()->run, 0, true);
  CHECK(kept.count<fx::Spawn>() == 1);
  // One without a gate has nothing to wait for.
  Gated opened;
  opened.spec = std::make_shared<WatchSpec>(*opened.spec);
  opened.spec->conditions.clear();
  opened.redefine();
  CHECK(opened.count<fx::Spawn>() == 1);
}

TEST_CASE("a new brain waits at the gate where the old one did, and so does a new supvd") {
  for (const bool fresh : {false, true}) {
    CAPTURE(fresh);
    Gated bench;
    const std::string remembered = bench.watch->remember();
    Bench next;
    next.spec = bench.spec;
    next.make();
    next.watch->restore(remembered, next.now);
    if (fresh) next.watch->begin_anew();
    next.boot(fresh);
    CHECK(next.state() == "starting");
    CHECK(next.count<fx::Spawn>() == 0);
    REQUIRE(next.armed() != nullptr);
    next.judge(next.armed()->run, 0, true);
    CHECK(next.count<fx::Spawn>() == 1);
  }
}

TEST_CASE("the first start of a new supvd asks init again, whatever was before") {
  Gated bench;
  bench.judge(bench.gate, 0, true);
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  REQUIRE(bench.state() == "up");
  Bench next;
  next.spec = bench.spec;
  next.make();
  next.watch->restore(bench.watch->remember(), next.now);
  next.watch->begin_anew();
  next.boot(true);  // after a reboot
  CHECK(next.state() == "starting");
  CHECK(next.count<fx::Spawn>() == 0);
}

TEST_CASE("init is asked once: what died is started again without it") {
  Gated bench;
  bench.judge(bench.gate, 0, true);
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  bench.end();
  CHECK(bench.count<fx::Spawn>() == 1);
  bench.launched(bench.watch->run());
  bench.restart();
  bench.end();
  CHECK(bench.count<fx::Spawn>() == 1);
}

// --- ready by condition
// ---------------------------------------------------------------------------

TEST_CASE("a transition to `up` says when a start has succeeded, even while it is held") {
  for (const bool held : {false, true}) {
    CAPTURE(held);
    Bench bench;
    bench.spec->ready.kind = ReadySpec::Kind::condition;
    bench.add("answers", Action::up, phase::kStarting | phase::kRestarting);
    bench.make();
    bench.start();
    bench.launched(bench.watch->run());
    const RunId run = bench.watch->run();
    REQUIRE(bench.armed() != nullptr);
    CHECK(bench.armed()->run == run);
    bench.pass(seconds(10));
    CHECK(bench.state() == "starting");  // alive is not enough
    if (held) bench.turn([&](Step& step) { bench.watch->hold(step, {std::nullopt, "", "t"}); });
    bench.judge(run, 0, false);
    CHECK(bench.state() == "starting");
    bench.judge(run, 0, true);
    CHECK(bench.state() == "up");
    CHECK(bench.disarmed(run));
  }
}

TEST_CASE("tries that lead from `start` to `restart` give up the start, with back-off") {
  Bench bench;
  bench.spec->ready.kind = ReadySpec::Kind::condition;
  bench.add("tries", Action::restart, phase::kStarting | phase::kRestarting);
  bench.make();
  bench.start();
  for (const int ms : {0, 500, 1000}) {
    CAPTURE(ms);
    if (ms > 0) {
      REQUIRE(bench.state() == "backoff");
      CHECK(*bench.watch->deadline() - bench.now.time == Duration(ms));
      bench.wait();
    }
    REQUIRE(bench.state() == "starting");
    bench.launched(bench.watch->run());
    bench.judge(bench.watch->run(), 0, true, "5 of 5");
    CHECK(bench.state() == "restarting");
    REQUIRE(bench.count<fx::Stop>() == 1);
    CHECK(bench.find<fx::Stop>()->after == static_cast<std::uint32_t>(After::fail));
    bench.end(143);
    if (ms == 0) {
      // The first failure is tried again at once.
      REQUIRE(bench.state() == "starting");
      bench.launched(bench.watch->run());
      bench.judge(bench.watch->run(), 0, true, "5 of 5");
      bench.end(143);
    }
    CHECK(bench.watch->failure() == "tries: 5 of 5");
  }
}

// --- lifecycle
// ------------------------------------------------------------------------------------

TEST_CASE("lifecycle conditions are made once and pointed at each new run") {
  Bench bench;
  bench.add("disk", Action::notify, phase::kAlways, ConditionList::lifecycle);
  bench.add("end", Action::none, phase::kAlways, ConditionList::lifecycle).kind =
      ConditionKind::exit;
  bench.make();
  bench.start();
  REQUIRE(bench.armed() != nullptr);
  const RunId steady = bench.armed()->run;
  CHECK(bench.armed()->conditions == std::vector<std::uint32_t>{0});
  CHECK(steady != bench.watch->run());
  for (int life = 0; life < 3; ++life) {
    CAPTURE(life);
    const RunId run = bench.watch->run();
    bool pointed = false;
    for (const Effect& effect : bench.effects)
      if (const auto* arm = std::get_if<fx::Arm>(&effect); arm != nullptr && arm->subject == run) {
        CHECK(arm->run == steady);
        CHECK(arm->conditions.empty() == (life > 0 || arm != bench.armed()));
        pointed = true;
      }
    CHECK(pointed);
    bench.launched(run);
    bench.ready(run);
    bench.judge(steady, 0, true);
    bench.exited(run);
    CHECK_FALSE(bench.disarmed(steady));
    bench.gone(run);
    CHECK_FALSE(bench.disarmed(steady));
    if (bench.state() == "backoff") {
      CHECK(bench.armed()->subject == RunId::none);
      bench.wait();
    }
  }
}

TEST_CASE("lifecycle conditions live as long as the watch is monitored and wanted") {
  const auto up = [](Bench& bench) {
    bench.add("disk", Action::stop, phase::kAlways, ConditionList::lifecycle);
    bench.make();
    bench.start();
    const RunId steady = bench.armed()->run;
    bench.launched(bench.watch->run());
    bench.ready(bench.watch->run());
    return steady;
  };
  {
    Bench bench;
    const RunId steady = up(bench);
    bench.unmonitor();
    CHECK(bench.disarmed(steady));
    bench.judge(steady, 0, true);
    CHECK(bench.count<fx::Stop>() == 0);
    bench.monitor();
    REQUIRE(bench.armed() != nullptr);
    CHECK(bench.armed()->run != steady);
    CHECK(bench.armed()->subject == bench.watch->run());
    bench.judge(bench.armed()->run, 0, true);
    CHECK(bench.count<fx::Stop>() == 1);
  }
  {
    Bench bench;
    const RunId steady = up(bench);
    bench.stop();
    CHECK(bench.disarmed(steady));
  }
  {
    Bench bench;
    const RunId steady = up(bench);
    bench.turn([&](Step& step) { bench.watch->shut_down(step, false); });
    CHECK(bench.disarmed(steady));
  }
  {
    Bench bench;
    bench.spec->keepalive = false;
    const RunId steady = up(bench);
    bench.end();
    CHECK(bench.state() == "exited");
    CHECK_FALSE(bench.disarmed(steady));  // judged in every state
    bench.pass(seconds(10));
    CHECK(bench.count<fx::Poll>() == 1);
  }
}

TEST_CASE("unmonitor_if leaves the process alone from then on") {
  Bench bench;
  bench.add("odd", Action::unmonitor, phase::kUp, ConditionList::unmonitor_if);
  bench.make();
  bench.start();
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  const RunId run = bench.watch->run();
  bench.judge(run, 0, true);
  CHECK(bench.state() == "unmonitored");
  CHECK(bench.count<fx::Stop>() == 0);
  CHECK(bench.disarmed(run));
  bench.end();
  CHECK(bench.count<fx::Spawn>() == 0);
}

// --- tasks
// ----------------------------------------------------------------------------------------

namespace {

struct Task : Bench {
  RunId rest = RunId::none;
  explicit Task(std::uint32_t retry = 0, Duration timeout = Duration(0)) {
    spec->ready.kind = ReadySpec::Kind::alive;
    spec->autostart = spec->keepalive = false;
    rare.task = TaskSpec{timeout, retry};
    add("go", Action::start, phase::kRest, ConditionList::start_if);
    make();
    boot(true);
    REQUIRE(armed() != nullptr);
    rest = armed()->run;
  }
  void go() { judge(rest, 0, true, "it is time"); }
  bool judged() const { return armed() != nullptr && armed()->subject == RunId::none; }
};

}  // namespace

TEST_CASE("a task waits for its condition, runs, and waits again") {
  Task bench;
  CHECK(bench.state() == "stopped");
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.go();
  REQUIRE(bench.count<fx::Spawn>() == 1);
  CHECK(bench.disarmed(bench.rest));
  using Variables = std::vector<std::pair<std::string, std::string>>;
  CHECK(bench.find<fx::Spawn>()->env == Variables{{"SUPV_REASON", "go: it is time"}});
  bench.launched(bench.watch->run());
  bench.end(0);
  CHECK(bench.state() == "exited");
  CHECK(bench.watch->failure() == "");
  CHECK(bench.count<fx::Spawn>() == 0);
  REQUIRE(bench.judged());
  bench.rest = bench.armed()->run;
  bench.go();
  CHECK(bench.count<fx::Spawn>() == 1);
  CHECK(bench.watch->restarts() == 0);
}

TEST_CASE("a task that fails is repeated so often, each time with its reason, and no more") {
  Task bench(2);
  bench.go();
  for (int i = 0; i < 2; ++i) {
    CAPTURE(i);
    bench.launched(bench.watch->run());
    bench.end(3);
    REQUIRE(bench.state() == "backoff");
    bench.wait();
    REQUIRE(bench.count<fx::Spawn>() == 1);
    REQUIRE(bench.find<fx::Spawn>()->env.size() == 1);
    CHECK(bench.find<fx::Spawn>()->env[0].second == "go: it is time");
  }
  bench.launched(bench.watch->run());
  bench.pass(seconds(5));
  CHECK(bench.state() == "up");
  bench.end(3);
  CHECK(bench.state() == "failed");
  CHECK(bench.watch->failure() == "exit 3");
  REQUIRE(bench.judged());
  // The next time counts anew.
  bench.rest = bench.armed()->run;
  bench.go();
  bench.launched(bench.watch->run());
  bench.end(3);
  CHECK(bench.state() == "backoff");
  bench.wait();
  bench.launched(bench.watch->run());
  bench.end(0);
  CHECK(bench.state() == "exited");
}

TEST_CASE("what ends a task but exit 0 is a failure") {
  Task signal;
  signal.go();
  signal.launched(signal.watch->run());
  signal.pass(seconds(2));
  signal.killed(signal.watch->run(), SIGTERM);
  CHECK(signal.state() == "failed");
  CHECK(signal.watch->failure() == "killed by TERM");
  CHECK(signal.judged());
  Task missing;
  missing.go();
  missing.start_failed(missing.watch->run());
  CHECK(missing.state() == "failed");
  CHECK(missing.judged());
  // A command that ends at once was never to come up.
  Task quick;
  quick.go();
  quick.launched(quick.watch->run());
  quick.end(4);
  CHECK(quick.watch->failure() == "exit 4");
}

TEST_CASE("a task that takes too long is ended, and that is a failure whatever it says") {
  Task bench(1, seconds(20));
  bench.go();
  bench.launched(bench.watch->run());
  bench.pass(seconds(19));
  CHECK(bench.state() == "up");
  CHECK(bench.count<fx::Stop>() == 0);
  bench.pass(seconds(1));
  REQUIRE(bench.count<fx::Stop>() == 1);
  bench.end(0);
  CHECK(bench.state() == "backoff");
  CHECK(bench.watch->failure() == "not done within 20s");
  bench.wait();
  bench.launched(bench.watch->run());
  bench.pass(seconds(1));
  bench.end(0);
  CHECK(bench.state() == "exited");
}

TEST_CASE("a task that an operator stopped is not judged until he starts it") {
  Task bench;
  bench.stop();
  CHECK(bench.disarmed(bench.rest));
  bench.go();
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.start();
  CHECK(bench.count<fx::Spawn>() == 1);
  CHECK(bench.find<fx::Spawn>()->env.empty());
  bench.launched(bench.watch->run());
  bench.pass(seconds(2));
  bench.end(0);
  CHECK(bench.state() == "exited");
  CHECK(bench.judged());
  // The same while it runs.
  bench.rest = bench.armed()->run;
  bench.go();
  bench.launched(bench.watch->run());
  bench.stop();
  bench.end(143);
  CHECK(bench.state() == "stopped");
  CHECK(bench.armed() == nullptr);
  CHECK_FALSE(bench.watch->deadline());
}

TEST_CASE("a new brain finds a task waiting, stopped, or ended as it was") {
  struct Row {
    const char* state;
    bool judged;
  };
  for (const Row& row :
       {Row{"waiting", true}, Row{"exited", true}, Row{"failed", true}, Row{"stopped", false}}) {
    CAPTURE(row.state);
    Task bench;
    const std::string state = row.state;
    if (state == "stopped") bench.stop();
    if (state == "exited" || state == "failed") {
      bench.go();
      bench.launched(bench.watch->run());
      bench.end(state == "exited" ? 0 : 1);
      REQUIRE(bench.state() == state);
    }
    Bench next;
    next.spec = bench.spec;
    next.make();
    next.watch->restore(bench.watch->remember(), next.now);
    next.boot(false);
    CHECK(next.state() == bench.state());
    CHECK((next.armed() != nullptr) == row.judged);
    CHECK(next.count<fx::Spawn>() == 0);
    CHECK(next.watch->kept_down() == (state == "stopped"));
  }
}

TEST_CASE("a new brain goes on with a task that runs, and with its time") {
  Task bench(0, seconds(20));
  bench.go();
  bench.launched(bench.watch->run());
  bench.pass(seconds(5));
  REQUIRE(bench.state() == "up");
  Bench next;
  next.spec = bench.spec;
  next.now = bench.now;
  next.make();
  LiveRun live;
  live.run = bench.watch->run();
  live.pid = 42;
  live.started = {bench.now.time - seconds(5), bench.now.wall_ms - 5000};
  Memo memo;
  memo.watch = "w";
  memo.ready = true;
  memo.process = fingerprint(next.spec->process);
  next.turn([&](Step& step) {
    next.watch->restore(bench.watch->remember(), next.now);
    next.watch->adopt(step, live, memo);
    next.watch->boot(step, false);
  });
  CHECK(next.state() == "up");
  next.pass(Duration(14'999));
  CHECK(next.count<fx::Stop>() == 0);
  next.pass(Duration(1));
  CHECK(next.count<fx::Stop>() == 1);
  next.end(143);
  CHECK(next.state() == "failed");
}

// --- another supervisor's process
// ---------------------------------------------------------------

namespace {

struct Adopting : Bench {
  Adopting() {
    rare.adopt = "/run/god.pid";
    make();
    start();
    REQUIRE(count<fx::Adopt>() == 1);
  }
};

}  // namespace

TEST_CASE("another supervisor's process is taken over without a start") {
  Adopting bench;
  const fx::Adopt deed = *bench.find<fx::Adopt>();
  CHECK(deed.run == bench.watch->run());
  CHECK(deed.pid_file == "/run/god.pid");
  CHECK(deed.process.get() == &bench.spec->process);
  CHECK(deed.ladder == bench.spec->ladder);
  REQUIRE(decode_memo(deed.memo));
  CHECK(decode_memo(deed.memo)->watch == "w");
  CHECK(bench.count<fx::Spawn>() == 0);
  CHECK(bench.state() == "starting");
  bench.launched(deed.run);
  CHECK(bench.state() == "up");  // it knows nothing of a notify socket
  CHECK(bench.watch->pid() == 42);
  CHECK(bench.count<fx::Spawn>() == 0);
  CHECK(bench.reason_of_note() ==
        "process 42, which /run/god.pid names, was taken over; nothing was started");
  CHECK(bench.watch->restarts() == 0);
  // From then on it is a run like any other: its end is followed by a start.
  bench.end();
  CHECK(bench.count<fx::Adopt>() == 0);
  CHECK(bench.count<fx::Spawn>() == 1);
}

TEST_CASE("when there is nobody to take over, the watch is started") {
  for (const std::string why : {"", "pid file /run/god.pid names 7, which is another user's"}) {
    CAPTURE(why);
    Adopting bench;
    const RunId run = bench.watch->run();
    bench.turn([&](Step& step) { bench.watch->on_start_failed(step, {run, "adopt", ESRCH, why}); });
    CHECK(bench.state() == "starting");
    REQUIRE(bench.count<fx::Spawn>() == 1);
    CHECK(bench.watch->run() != run);
    REQUIRE(bench.count<fx::Forget>() == 1);
    CHECK(bench.find<fx::Forget>()->run == run);
    CHECK(bench.watch->failure() == "");
    CHECK(bench.watch->restarts() == 0);
    CHECK(bench.reason_of_note() == why);  // silent, when there is no such file
    bench.launched(bench.watch->run());
    bench.ready(bench.watch->run());
    CHECK(bench.state() == "up");
  }
}

TEST_CASE("a hook before the start belongs to a start, not to a takeover") {
  Bench bench;
  bench.rare.adopt = "/run/god.pid";
  bench.rare.hooks.before_start = Command{{"hook"}, false};
  bench.make();
  bench.start();
  REQUIRE(bench.count<fx::Adopt>() == 1);
  CHECK(bench.count<fx::Spawn>() == 0);
  bench.turn([&](Step& step) {
    bench.watch->on_start_failed(step, {bench.watch->run(), "adopt", ESRCH, ""});
  });
  REQUIRE(bench.count<fx::Spawn>() == 1);
  CHECK(bench.find<fx::Spawn>()->command.argv.front() == "hook");
}

TEST_CASE("a stop that comes while a process is being taken over ends what was taken over") {
  for (const bool again : {false, true}) {
    CAPTURE(again);
    Adopting bench;
    const RunId run = bench.watch->run();
    if (again)
      bench.restart();
    else
      bench.stop();
    REQUIRE(bench.count<fx::Stop>() == 1);
    CHECK(bench.find<fx::Stop>()->run == run);
    bench.launched(run);
    CHECK(bench.state() == (again ? "restarting" : "stopping"));
    bench.end(143);
    CHECK(bench.state() == (again ? "starting" : "stopped"));
    CHECK(bench.count<fx::Spawn>() == (again ? 1 : 0));
    CHECK(bench.count<fx::Adopt>() == 0);
  }
  Adopting nobody;
  nobody.stop();
  nobody.turn([&](Step& step) {
    nobody.watch->on_start_failed(step, {nobody.watch->run(), "adopt", ESRCH, ""});
  });
  CHECK(nobody.state() == "stopped");
  CHECK(nobody.count<fx::Spawn>() == 0);
  CHECK(nobody.watch->at_rest());
}

TEST_CASE("the first start of a new supvd looks for another supervisor's process again") {
  Adopting bench;
  bench.launched(bench.watch->run());
  REQUIRE(bench.state() == "up");
  Bench next;
  next.spec = bench.spec;
  next.make();
  next.watch->restore(bench.watch->remember(), next.now);
  next.watch->begin_anew();
  next.boot(true);
  CHECK(next.count<fx::Adopt>() == 1);
  CHECK(next.count<fx::Spawn>() == 0);
}

// --- notices
// --------------------------------------------------------------------------------------

namespace {

NotifySpec to(const std::string& contact) {
  NotifySpec notify;
  notify.contacts = {contact};
  return notify;
}

void come_up(Bench& bench) {
  bench.start();
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  REQUIRE(bench.state() == "up");
}

}  // namespace

TEST_CASE("a condition that was told of is told once, and that it is over once") {
  Bench bench;
  bench.add("disk", Action::notify, phase::kUp, ConditionList::notify_if).notify = to("ops");
  bench.make();
  come_up(bench);
  CHECK(bench.notices.empty());  // the watch itself names nobody
  const RunId run = bench.watch->run();
  bench.judge(run, 0, true, "91%");
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].kind == Notice::Kind::fired);
  CHECK(bench.notices[0].source == "disk#1");
  CHECK(bench.notices[0].text == "disk: 91%");
  CHECK(bench.notices[0].to.contacts == std::vector<std::string>{"ops"});
  CHECK(bench.notices[0].lasts);
  bench.judge(run, 0, true, "92%");
  CHECK(bench.notices.empty());
  CHECK(bench.count<fx::Note>() == 0);
  bench.judge(run, 0, false, "50%");
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].kind == Notice::Kind::recovered);
  CHECK(bench.notices[0].text == "disk no longer: 50%");
  bench.judge(run, 0, false, "50%");
  CHECK(bench.notices.empty());
}

TEST_CASE("the next run of the watch may be the one that has recovered") {
  Bench bench;
  bench.add("memory", Action::restart, phase::kUp, ConditionList::restart_if).notify = to("ops");
  bench.make();
  come_up(bench);
  bench.judge(bench.watch->run(), 0, true, "900 MB");
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].action == "restart");
  bench.end(143);
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  bench.judge(bench.watch->run(), 0, false, "9 MB");
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].kind == Notice::Kind::recovered);
}

TEST_CASE("nobody is told of what nobody is named for") {
  Bench bench;
  bench.add("disk", Action::notify, phase::kUp, ConditionList::notify_if);
  bench.make();
  come_up(bench);
  bench.judge(bench.watch->run(), 0, true);
  CHECK(bench.notices.empty());
  CHECK(bench.count<fx::Note>() == 1);  // but it is in the history
  bench.end();
  bench.launched(bench.watch->run());
  bench.end();
  CHECK(bench.state() == "backoff");
  CHECK(bench.notices.empty());
}

TEST_CASE("a watch's own contacts are told of its states that last, and of restarts") {
  Bench bench;
  bench.rare.notify = to("ops");
  bench.make();
  bench.start();
  CHECK(bench.notices.empty());  // a step on the way
  bench.launched(bench.watch->run());
  bench.ready(bench.watch->run());
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].kind == Notice::Kind::state);
  CHECK(bench.notices[0].text == "w is up");
  CHECK(bench.notices[0].state == "up");
  bench.end(3);
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].text == "w is restarted: exit 3");
  bench.launched(bench.watch->run());
  bench.stop();
  CHECK(bench.notices.empty());
  bench.end(143);
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].text == "w is stopped: test");
}

TEST_CASE("a condition's own contacts come before those of the watch") {
  Bench bench;
  bench.rare.notify = to("ops");
  bench.add("disk", Action::notify, phase::kUp, ConditionList::notify_if).notify = to("night");
  bench.add("load", Action::notify, phase::kUp, ConditionList::notify_if);
  bench.make();
  come_up(bench);
  bench.judge(bench.watch->run(), 0, true);
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].to.contacts == std::vector<std::string>{"night"});
  bench.judge(bench.watch->run(), 1, true);
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].to.contacts == std::vector<std::string>{"ops"});
}

TEST_CASE("notify_when_flapping tells when so many starts fall into its time") {
  Bench bench;
  bench.rare.flapping_notice = FlappingNoticeSpec{3, seconds(60), {}};
  bench.rare.flapping_notice->notify = to("ops");
  bench.spec->backoff = {Duration(0), Duration(0), 1, 0, seconds(3600)};
  bench.make();
  bench.start();
  const auto die_after = [&](Duration time) {
    bench.launched(bench.watch->run());
    bench.pass(time);
    bench.end();
    REQUIRE(bench.count<fx::Spawn>() == 1);
    return bench.notices.size();
  };
  CHECK(bench.notices.empty());
  CHECK(die_after(seconds(20)) == 0);
  CHECK(die_after(seconds(20)) == 1);
  CHECK(bench.notices[0].kind == Notice::Kind::flapping);
  CHECK(bench.notices[0].source == "notify_when_flapping");
  CHECK(bench.notices[0].text == "w was started 3 times within 1m");
  CHECK(bench.notices[0].to.contacts == std::vector<std::string>{"ops"});
  CHECK(die_after(seconds(20)) == 1);  // the last three, again
  CHECK(die_after(seconds(29)) == 1);
  CHECK(die_after(seconds(29)) == 1);
  CHECK(die_after(seconds(31)) == 0);  // just not
  CHECK(bench.state() == "starting");  // it only tells
}

TEST_CASE("flapping tells its own contacts") {
  Bench bench;
  bench.rare.flapping.emplace();
  bench.rare.flapping->times = 2;
  bench.rare.flapping->notify = to("ops");
  bench.make();
  bench.start();
  bench.start_failed(bench.watch->run());
  CHECK(bench.notices.empty());
  bench.start_failed(bench.watch->run());
  CHECK(bench.state() == "failed");
  REQUIRE(bench.notices.size() == 1);
  CHECK(bench.notices[0].kind == Notice::Kind::flapping);
  CHECK(bench.notices[0].action == "stop");
}

// --- flapping -------------------------------------------------------------------------------

namespace {

/// A watch that flaps, with a start_if (0) and a lifecycle condition (1) that both say: start.
struct Flapping : Bench {
  explicit Flapping(bool keepalive) {
    spec->keepalive = keepalive;
    rare.flapping.emplace();
    rare.flapping->times = 2;
    rare.flapping->retry_in = seconds(60);
    add("down", Action::start, phase::kRest, ConditionList::start_if);
    add("gone", Action::start, phase::kAlways, ConditionList::lifecycle);
    make();
  }
  void flap() {
    start();
    die();
    if (watch->run() == RunId::none) judge_all();
    REQUIRE(state() == "starting");
    die();
    REQUIRE(state() == "failed");
    REQUIRE(reason_of_note().starts_with("flapping"));
  }
  void die() {
    launched(watch->run());
    ready(watch->run());
    end();
  }
  /// Every condition says yes under every number that conditions of an idle watch may have, until
  /// one starts the watch.
  void judge_all() {
    for (std::uint64_t generation = 1; generation < 32; ++generation)
      for (const std::uint32_t condition : {0U, 1U}) {
        judge(static_cast<RunId>(generation << 16), condition, true);
        if (count<fx::Spawn>() > 0) return;
      }
  }
};

}  // namespace

TEST_CASE("no condition starts what flapped, an operator does") {
  for (const bool keepalive : {true, false}) {
    CAPTURE(keepalive);
    Flapping bench(keepalive);
    bench.flap();
    bench.judge_all();
    CHECK(bench.state() == "failed");
    CHECK(bench.watch->run() == RunId::none);
    bench.start();
    CHECK(bench.count<fx::Spawn>() == 1);
  }
}

TEST_CASE("what flapped stays so in the next brain, until its retry") {
  Flapping bench(false);
  bench.flap();
  Flapping next(false);
  next.watch->restore(bench.watch->remember(), next.now);
  next.boot(false);
  next.judge_all();
  CHECK(next.state() == "failed");
  CHECK(next.watch->run() == RunId::none);
  next.pass(seconds(59));
  next.judge_all();
  CHECK(next.count<fx::Spawn>() == 0);
  next.pass(seconds(1));
  CHECK(next.count<fx::Spawn>() == 1);
}
