#include <doctest/doctest.h>
#include <signal.h>

#include <functional>
#include <memory>

#include "keeper/keeper.h"
#include "keeper_fake.h"

using namespace supv;
using wire::Kind;
using wire::Phase;

namespace {

constexpr std::int64_t kMs = 1'000'000;

/// A keeper over the fake machine, with a brain that has said hello.
struct Bench {
  Bench() : keeper(std::make_unique<Keeper>(kernel, 64)) {
    keeper->recover();
    hello();
  }

  void hello() {
    settle();
    send(wire::Plain{Kind::hello, 0, 0});
  }
  template <typename Message>
  void send(const Message& message, std::size_t fds = 0) {
    const int numbers[wire::kMaxFds] = {};
    keeper->on_message(&message, sizeof message, numbers, fds);
  }
  wire::Spawn request(std::uint32_t slot, std::uint32_t flags = 0) {
    wire::Spawn spawn{};
    spawn.kind = Kind::spawn;
    spawn.run = ++generation << 16U | slot;
    spawn.flags = flags;
    spawn.ladder_count = 2;
    spawn.ladder[0] = {SIGTSTP, 100};
    spawn.ladder[1] = {SIGTERM, 200};
    spawn.memo_size = 2;
    spawn.memo[0] = 'h';
    spawn.memo[1] = 'i';
    return spawn;
  }
  wire::Run spawn(std::uint32_t slot, std::uint32_t flags = 0) {
    const wire::Spawn message = request(slot, flags);
    send(message, 1);
    return message.run;
  }
  /// Spawned, and exec succeeded.
  wire::Run run(std::uint32_t slot, std::uint32_t flags = 0) {
    const wire::Run name = spawn(slot, flags);
    kernel.outcomes[slot].what = ExecOutcome::What::done;
    keeper->on_exec(slot);
    REQUIRE(keeper->phase(slot) == Phase::running);
    return name;
  }
  /// A process that somebody else started.
  int stranger() {
    const int number = kernel.next_pid++;
    kernel.processes[number] = {};
    return number;
  }
  wire::Take taking(std::uint32_t slot, int number) {
    wire::Take take{};
    take.kind = Kind::take;
    take.run = ++generation << 16U | slot;
    take.pid = number;
    take.start_time = 77;
    take.started_monotonic_ns = 5'000;
    take.started_wall_ms = 6'000;
    take.ladder_count = 2;
    take.ladder[0] = {SIGTSTP, 100};
    take.ladder[1] = {SIGTERM, 200};
    take.memo_size = 2;
    take.memo[0] = 'h';
    take.memo[1] = 'i';
    return take;
  }
  void stop(wire::Run name, bool now = false, std::uint32_t after = 0) {
    send(wire::Stop{Kind::stop, after, name, now ? 1U : 0U, 0});
  }
  int pid(std::uint32_t slot) const { return keeper->life(slot).pid; }
  FakeKernel::Process& main(std::uint32_t slot) { return kernel.processes.at(pid(slot)); }
  /// Tells the keeper of every end that it has not heard of.
  void settle() {
    keeper->on_exec(0);
    for (std::uint32_t slot = 0; slot < keeper->used_slots(); ++slot) keeper->on_child(slot);
    if (keeper->next_deadline() <= kernel.clock) keeper->on_deadline();
  }
  /// Lets time pass, stopping wherever the keeper wants to be woken.
  void pass(std::int64_t milliseconds) {
    const std::int64_t until = kernel.clock + milliseconds * kMs;
    while (true) {
      settle();
      if (keeper->next_deadline() > until) break;
      kernel.clock = std::max(kernel.clock, keeper->next_deadline());
      keeper->on_deadline();
    }
    kernel.clock = until;
    settle();
  }
  int child(wire::Run tree) {
    const int number = kernel.next_pid++;
    kernel.processes[number].tree = tree;
    return number;
  }
  void end_main(std::uint32_t slot, wire::Status status) {
    kernel.end(pid(slot), status);
    keeper->on_child(slot);
  }
  std::size_t count(Kind kind) const { return kernel.told<wire::News>(kind).size(); }
  wire::News last(Kind kind) const {
    const auto all = kernel.told<wire::News>(kind);
    REQUIRE(!all.empty());
    return all.back();
  }
  /// The keeper dies and another one comes; so does the brain.
  void die() {
    keeper.reset();
    for (auto& [number, process] : kernel.processes)
      if (process.tree == 0) process.ended = true;
    kernel.log.clear();
    keeper = std::make_unique<Keeper>(kernel, 64);
    keeper->recover();
    pass(1000);
    kernel.sent.clear();
    hello();
  }

  FakeKernel kernel;
  std::unique_ptr<Keeper> keeper;
  std::uint64_t generation = 0;
};

std::size_t place(const std::vector<std::string>& log, const std::string& what) {
  return static_cast<std::size_t>(std::find(log.begin(), log.end(), what) - log.begin());
}

}  // namespace

TEST_CASE("a start is recorded before it is let go") {
  Bench bench;
  bench.kernel.log.clear();
  bench.spawn(1);
  const std::vector<std::string> expected = {"tree 1", "save 1 1", "fork 1", "save 1 2", "gate 1"};
  CHECK(bench.kernel.log == expected);
  CHECK(bench.keeper->phase(1) == Phase::launching);
  CHECK(bench.count(Kind::launched) == 0);
}

TEST_CASE("a failing exec is told with step and errno once nothing is left of it") {
  Bench bench;
  const wire::Run run = bench.spawn(1);
  bench.kernel.outcomes[1] = {ExecOutcome::What::failed, wire::Step::dir, ENOENT};
  bench.keeper->on_exec(1);
  CHECK(bench.count(Kind::start_failed) == 0);
  bench.end_main(1, {1, 127, 0, 0});
  const wire::News news = bench.last(Kind::start_failed);
  CHECK(news.run == run);
  CHECK(news.step == wire::Step::dir);
  CHECK(news.error == ENOENT);
  CHECK(bench.count(Kind::exited) == 0);
  CHECK(bench.count(Kind::launched) == 0);
  CHECK(bench.kernel.trees.empty());
  CHECK(bench.keeper->phase(1) == Phase::failed);
  // The same when the death is heard of first.
  bench.spawn(2);
  bench.kernel.outcomes[2] = {ExecOutcome::What::failed, wire::Step::exec, EACCES};
  bench.end_main(2, {1, 127, 0, 0});
  CHECK(bench.last(Kind::start_failed).error == EACCES);
}

TEST_CASE("what cannot be started leaves nothing and says why") {
  Bench bench;
  bench.kernel.tree_error = EACCES;
  bench.spawn(1);
  CHECK(bench.last(Kind::start_failed).step == wire::Step::tree);
  bench.kernel.tree_error = 0;
  bench.kernel.fork_error = EAGAIN;
  bench.spawn(2);
  CHECK(bench.last(Kind::start_failed).step == wire::Step::fork);
  CHECK(bench.kernel.trees.empty());
  bench.kernel.fork_error = 0;
  bench.kernel.save_error = ENOSPC;
  bench.kernel.saves_until_error = 0;
  bench.kernel.log.clear();
  bench.spawn(3);
  CHECK(bench.last(Kind::start_failed).step == wire::Step::record);
  CHECK(!bench.kernel.did("fork 3"));
  // The second record fails: the gate must stay shut.
  bench.kernel.saves_until_error = 1;
  bench.kernel.log.clear();
  bench.spawn(4);
  CHECK(bench.kernel.did("shut 4"));
  CHECK(!bench.kernel.did("gate 4"));
  bench.kernel.saves_until_error = -1;
  bench.settle();
  CHECK(bench.last(Kind::start_failed).step == wire::Step::record);
  CHECK(bench.last(Kind::start_failed).error == ENOSPC);
  CHECK(bench.kernel.trees.empty());
}

TEST_CASE("a launch that hangs is given up after ten seconds") {
  Bench bench;
  bench.spawn(1);
  bench.pass(9'000);
  CHECK(bench.keeper->phase(1) == Phase::launching);
  bench.pass(2'000);
  CHECK(bench.last(Kind::start_failed).step == wire::Step::exec);
  CHECK(bench.last(Kind::start_failed).error == ETIMEDOUT);
}

TEST_CASE("while nothing is under way no wake is planned") {
  Bench bench;
  const wire::Run run = bench.run(1);
  bench.run(2);
  CHECK(bench.keeper->next_deadline() == Keeper::kNever);
  bench.main(1).ignores_term = true;
  bench.stop(run);
  CHECK(bench.keeper->next_deadline() != Keeper::kNever);
  bench.pass(10'000);
  CHECK(bench.last(Kind::gone).run == run);
  CHECK(bench.keeper->next_deadline() == Keeper::kNever);
}

TEST_CASE("a slot is one run's until it is forgotten") {
  Bench bench;
  const wire::Run run = bench.run(1);
  bench.spawn(1);
  CHECK(bench.last(Kind::start_failed).step == wire::Step::slot);
  CHECK(bench.last(Kind::start_failed).error == EEXIST);
  CHECK(bench.keeper->life(1).run == run);
  bench.send(wire::Plain{Kind::forget, 0, run});
  CHECK(bench.keeper->phase(1) == Phase::running);  // It lives.
  bench.end_main(1, {1, 0, 0, 0});
  CHECK(bench.keeper->phase(1) == Phase::gone);
  bench.send(wire::Plain{Kind::forget, 0, run + (1U << 16U)});
  CHECK(bench.keeper->phase(1) == Phase::gone);  // Another generation.
  bench.send(wire::Plain{Kind::forget, 0, run});
  CHECK(bench.keeper->phase(1) == Phase::empty);
  bench.spawn(64);
  CHECK(bench.last(Kind::start_failed).error == ERANGE);
  bench.spawn(0);
  CHECK(bench.last(Kind::start_failed).error == ERANGE);
}

TEST_CASE("the ladder goes up step by step, then KILL to all") {
  Bench bench;
  const wire::Run run = bench.run(1);
  bench.main(1).ignores_term = true;
  bench.kernel.log.clear();
  bench.stop(run, false, 77);
  CHECK(bench.kernel.did("signal 1 20"));
  CHECK(!bench.kernel.did("signal 1 15"));
  CHECK(!bench.kernel.did("signal 1 18"));  // TSTP is no end: no CONT after it.
  bench.pass(99);
  CHECK(!bench.kernel.did("signal 1 15"));
  bench.pass(2);
  CHECK(place(bench.kernel.log, "signal 1 15") < place(bench.kernel.log, "signal 1 18"));
  CHECK(bench.kernel.did("signal 1 18"));
  bench.pass(190);
  CHECK(!bench.kernel.did("kill_tree 1"));
  bench.pass(20);
  CHECK(bench.kernel.did("kill_tree 1"));
  CHECK(bench.last(Kind::exited).status.value == 9);
  CHECK(bench.last(Kind::gone).status.value == 9);
  CHECK(bench.kernel.saved[1].after == 77);
  bench.send(wire::Plain{Kind::forget, 0, run});
  CHECK(bench.kernel.trees.empty());
}

TEST_CASE("stop again changes only what comes after, now jumps to KILL") {
  Bench bench;
  const wire::Run run = bench.run(1);
  bench.main(1).ignores_term = true;
  bench.stop(run, false, 1);
  bench.kernel.log.clear();
  bench.stop(run, false, 2);
  CHECK(!bench.kernel.did("signal 1 20"));
  CHECK(bench.kernel.saved[1].after == 2);
  bench.stop(run, true, 3);
  CHECK(bench.kernel.did("kill_tree 1"));
  bench.settle();
  CHECK(bench.count(Kind::gone) == 1);
  CHECK(bench.kernel.saved[1].after == 3);
}

TEST_CASE("main ends early: the rest gets TERM and the rest of the time") {
  Bench bench;
  const wire::Run run = bench.run(1);
  const int child = bench.child(run);
  bench.kernel.processes[child].ignores_term = true;
  bench.stop(run);
  bench.pass(50);
  bench.kernel.log.clear();
  bench.end_main(1, {1, 0, 0, 0});
  CHECK(bench.last(Kind::exited).left == 1);
  CHECK(bench.kernel.did("signal_tree 1 15"));
  CHECK(bench.kernel.did("signal_tree 1 18"));
  bench.pass(240);
  CHECK(!bench.kernel.did("kill_tree 1"));
  CHECK(bench.count(Kind::gone) == 0);
  bench.pass(20);
  CHECK(bench.kernel.did("kill_tree 1"));
  CHECK(bench.count(Kind::gone) == 1);
}

TEST_CASE("an unexpected end kills nothing before looking") {
  Bench bench;
  bench.run(1);
  bench.kernel.log.clear();
  bench.end_main(1, {1, 3, 0, 0});
  CHECK(bench.last(Kind::exited).status.value == 3);
  CHECK(bench.count(Kind::gone) == 1);
  for (const std::string& line : bench.kernel.log) {
    CHECK(line.rfind("kill", 0) != 0);
    CHECK(line.rfind("signal", 0) != 0);
    CHECK(line.rfind("group", 0) != 0);
  }
  const wire::Run run = bench.run(2);
  const int child = bench.child(run);
  bench.kernel.processes[child].ignores_term = true;
  bench.end_main(2, {1, 3, 0, 0});
  CHECK(bench.keeper->phase(2) == Phase::stopping);
  CHECK(bench.kernel.did("signal_tree 2 15"));
  bench.pass(990);
  CHECK(!bench.kernel.did("kill_tree 2"));
  bench.pass(20);
  CHECK(bench.kernel.did("kill_tree 2"));
  CHECK(bench.keeper->phase(2) == Phase::gone);
}

TEST_CASE("the dead leader's group is killed before he is reaped, when KILL is the word") {
  Bench bench;
  const wire::Run run = bench.run(1);
  bench.main(1).unkillable = true;
  bench.stop(run, true);
  bench.kernel.log.clear();
  bench.end_main(1, {2, 9, 0, 0});
  REQUIRE(bench.kernel.did("group 1 9"));
  CHECK(place(bench.kernel.log, "group 1 9") < place(bench.kernel.log, "reap 1"));
}

TEST_CASE("what KILL cannot end is stuck after five seconds, retried, and gone when it ends") {
  Bench bench;
  const wire::Run run = bench.run(1);
  const int child = bench.child(run);
  bench.kernel.processes[child].unkillable = true;
  bench.stop(run, true);
  bench.pass(4'900);
  CHECK(bench.count(Kind::stuck) == 0);
  bench.pass(300);
  CHECK(bench.count(Kind::stuck) == 1);
  CHECK(bench.last(Kind::stuck).pid == child);
  CHECK(bench.keeper->phase(1) == Phase::stuck);
  bench.kernel.log.clear();
  bench.pass(60'000);
  const auto retries = std::count(bench.kernel.log.begin(), bench.kernel.log.end(), "kill_tree 1");
  CHECK(retries >= 4);
  CHECK(retries <= 10);
  CHECK(bench.count(Kind::stuck) == 1);
  bench.spawn(1);  // Blocks a second copy.
  CHECK(bench.last(Kind::start_failed).error == EEXIST);
  bench.kernel.processes[child].unkillable = false;
  bench.pass(31'000);
  CHECK(bench.count(Kind::gone) == 1);
}

TEST_CASE("a daemonising run lingers untouched until it is followed or stopped") {
  Bench bench;
  const wire::Run run = bench.run(1, wire::kDaemonises);
  const int daemon = bench.child(run);
  bench.kernel.log.clear();
  bench.end_main(1, {1, 0, 0, 0});
  CHECK(bench.keeper->phase(1) == Phase::lingering);
  bench.pass(60'000);
  CHECK(!bench.kernel.did("signal_tree 1 15"));
  CHECK(bench.keeper->phase(1) == Phase::lingering);
  bench.send(wire::Follow{Kind::follow, 4242, run});
  CHECK(bench.last(Kind::not_followed).error == ESRCH);
  const int stranger = bench.child(999);
  bench.send(wire::Follow{Kind::follow, stranger, run});
  CHECK(bench.last(Kind::not_followed).error == EPERM);
  bench.send(wire::Follow{Kind::follow, daemon, run});
  CHECK(bench.last(Kind::followed).pid == daemon);
  CHECK(bench.keeper->phase(1) == Phase::running);
  bench.stop(run);
  bench.pass(150);
  CHECK(bench.count(Kind::gone) == 1);
  CHECK(bench.last(Kind::gone).status.value == 15);

  const wire::Run second = bench.run(2, wire::kDaemonises);
  const int other = bench.child(second);
  bench.end_main(2, {1, 0, 0, 0});
  bench.kernel.end(other, {});
  bench.pass(200);
  CHECK(bench.keeper->phase(2) == Phase::gone);  // It emptied by itself.
  const wire::Run third = bench.run(3, wire::kDaemonises);
  bench.child(third);
  bench.end_main(3, {1, 0, 0, 0});
  bench.stop(third);
  CHECK(bench.kernel.did("signal_tree 3 15"));
  bench.pass(10);
  CHECK(bench.keeper->phase(3) == Phase::gone);
}

TEST_CASE("kill: process touches the main process alone") {
  Bench bench;
  const wire::Run run = bench.run(1, wire::kLeaveTree);
  const int child = bench.child(run);
  bench.main(1).ignores_term = true;
  bench.kernel.log.clear();
  bench.stop(run);
  bench.pass(400);
  CHECK(bench.count(Kind::gone) == 1);
  CHECK(!bench.kernel.did("kill_tree 1"));
  CHECK(!bench.kernel.did("group 1 9"));
  CHECK(!bench.kernel.processes[child].ended);
}

TEST_CASE("group signals go to the group") {
  Bench bench;
  const wire::Run run = bench.run(1, wire::kGroupSignal);
  bench.kernel.log.clear();
  bench.send(wire::Signal{Kind::signal, SIGUSR1, run});
  CHECK(bench.kernel.did("group 1 10"));
  bench.stop(run);
  CHECK(bench.kernel.did("group 1 20"));
  bench.send(wire::Signal{Kind::signal, 65, run});
  bench.send(wire::Signal{Kind::signal, 0, run});
  bench.send(wire::Signal{Kind::signal, SIGUSR2, run + (1U << 16U)});
  CHECK(!bench.kernel.did("group 1 65"));
  CHECK(!bench.kernel.did("group 1 0"));
  CHECK(!bench.kernel.did("group 1 12"));
}

TEST_CASE("guests: of the host's tree, waited for when it ends by itself") {
  Bench bench;
  const wire::Run host = bench.run(1);
  wire::Spawn message = bench.request(2, wire::kGuest);
  message.host = host;
  bench.send(message, 1);
  bench.kernel.outcomes[2].what = ExecOutcome::What::done;
  bench.keeper->on_exec(2);
  REQUIRE(bench.keeper->phase(2) == Phase::running);
  CHECK(bench.keeper->life(2).tag == bench.keeper->life(1).tag);
  bench.end_main(1, {1, 0, 0, 0});
  bench.pass(5'000);
  CHECK(!bench.kernel.did("signal_tree 1 15"));
  CHECK(bench.keeper->phase(1) == Phase::stopping);
  const int left_behind = bench.child(host);
  bench.end_main(2, {1, 0, 0, 0});
  CHECK(bench.keeper->phase(2) == Phase::gone);
  CHECK(bench.kernel.did("signal_tree 1 15"));
  bench.pass(10);
  CHECK(bench.keeper->phase(1) == Phase::gone);
  CHECK(bench.kernel.processes[left_behind].ended);
  message = bench.request(3, wire::kGuest);
  message.host = host;
  bench.send(message, 1);
  CHECK(bench.last(Kind::start_failed).error == ESRCH);
}

TEST_CASE("hello tells every slot, then dumped; a full channel loses nothing and keeps the order") {
  Bench bench;
  std::vector<wire::Run> runs;
  for (std::uint32_t slot = 1; slot <= 20; ++slot) runs.push_back(bench.run(slot));
  bench.kernel.sent.clear();
  bench.kernel.room = 5;
  bench.hello();
  CHECK(bench.keeper->wants_write());
  bench.end_main(2, {1, 2, 0, 0});    // Told of already.
  bench.end_main(19, {1, 19, 0, 0});  // Not yet.
  while (bench.keeper->wants_write()) {
    bench.kernel.room = 3;
    bench.keeper->on_writable();
  }
  const auto slots = bench.kernel.told<wire::Slot>(Kind::slot);
  CHECK(slots.size() == 20);
  CHECK(slots[0].memo_size == 2);
  CHECK(slots[0].memo[1] == 'i');
  CHECK(bench.kernel.told<wire::Plain>(Kind::dumped).size() == 1);
  CHECK(slots[18].phase == Phase::gone);
  CHECK(slots[18].status.value == 19);
  CHECK(bench.count(Kind::exited) == 1);
  CHECK(bench.count(Kind::gone) == 1);
  CHECK(bench.last(Kind::gone).run == runs[1]);
  // exited comes before gone.
  std::vector<Kind> kinds;
  for (const auto& bytes : bench.kernel.sent) {
    Kind kind;
    std::memcpy(&kind, bytes.data(), sizeof kind);
    if (kind == Kind::exited || kind == Kind::gone) kinds.push_back(kind);
  }
  CHECK(kinds == std::vector<Kind>{Kind::exited, Kind::gone});
}

TEST_CASE("amend replaces memo and ladder for the next stop") {
  Bench bench;
  const wire::Run run = bench.run(1);
  wire::Amend amend{};
  amend.kind = Kind::amend;
  amend.run = run;
  amend.memo_size = 1;
  amend.memo[0] = 'z';
  amend.ladder_count = 1;
  amend.ladder[0] = {SIGUSR1, 50};
  bench.send(amend);
  bench.kernel.sent.clear();
  bench.hello();
  CHECK(bench.kernel.told<wire::Slot>(Kind::slot).at(0).memo[0] == 'z');
  bench.stop(run);
  CHECK(bench.kernel.did("signal 1 10"));
  bench.pass(60);
  CHECK(bench.kernel.did("kill_tree 1"));
  amend.memo_size = 641;
  bench.send(amend);
  CHECK(bench.kernel.saved[1].memo_size == 1);
}

TEST_CASE("messages that are none do nothing") {
  Bench bench;
  bench.run(1);
  const std::size_t before = bench.kernel.log.size();
  std::vector<unsigned char> bytes(4096);
  std::uint32_t random = 12345;
  for (int round = 0; round < 20'000; ++round) {
    for (unsigned char& byte : bytes) {
      random = random * 1664525 + 1013904223;
      byte = static_cast<unsigned char>(random >> 24U);
    }
    const std::uint32_t kind = random % 100;
    std::memcpy(bytes.data(), &kind, sizeof kind);
    if (kind == 8 || kind == 1) continue;  // finish and hello have no field that could be wrong.
    const int fds[wire::kMaxFds] = {};
    bench.keeper->on_message(bytes.data(), random % bytes.size(), fds, random % wire::kMaxFds);
    bench.keeper->on_message(bytes.data(), sizeof(wire::Spawn), fds, random % wire::kMaxFds);
    bench.keeper->on_message(bytes.data(), sizeof(wire::Amend), fds, 0);
    bench.keeper->on_message(bytes.data(), sizeof(wire::Stop), fds, 0);
  }
  CHECK(bench.kernel.log.size() == before);
  CHECK(bench.keeper->phase(1) == Phase::running);
}

TEST_CASE("the brain is started at once, then at most every 100 ms") {
  Bench bench;
  CHECK(bench.kernel.channel);
  bench.pass(1'000);
  const auto started = [&] {
    return std::count(bench.kernel.log.begin(), bench.kernel.log.end(), "gate 0");
  };
  CHECK(started() == 1);
  bench.end_main(0, {2, 9, 0, 0});
  bench.settle();
  CHECK(started() == 2);
  bench.end_main(0, {2, 9, 0, 0});
  bench.settle();
  CHECK(started() == 2);
  bench.pass(101);
  CHECK(started() == 3);
  bench.kernel.fork_error = EAGAIN;
  bench.end_main(0, {2, 9, 0, 0});
  bench.pass(1'000);
  CHECK(started() == 3);
  CHECK(std::count(bench.kernel.log.begin(), bench.kernel.log.end(), "fork") == 1);  // Said once.
  bench.kernel.fork_error = 0;
  bench.pass(100);
  CHECK(started() == 4);
  // One that closes its channel but lives is ended.
  bench.keeper->on_channel_closed();
  bench.pass(1'200);
  CHECK(bench.kernel.did("signal 0 9"));
  CHECK(started() == 5);
}

TEST_CASE("finish waits for the brain, leaves the runs, and returns the code") {
  Bench bench;
  bench.run(1);
  bench.send(wire::Finish{Kind::finish, 42});
  CHECK(!bench.keeper->finished());
  CHECK(!bench.kernel.channel);
  bench.end_main(0, {1, 0, 0, 0});
  CHECK(bench.keeper->finished() == 42);
  CHECK(!bench.main(1).ended);
  Bench stubborn;
  stubborn.send(wire::Finish{Kind::finish, 1});
  stubborn.pass(2'100);
  CHECK(stubborn.kernel.did("signal 0 9"));
  CHECK(stubborn.keeper->finished() == 1);
}

TEST_CASE("TERM without a brain for five seconds: the keeper runs the ladders, roles last") {
  Bench bench;
  bench.run(1);
  bench.run(2, wire::kRole);
  bench.keeper->on_channel_closed();
  bench.keeper->on_signal(SIGTERM);
  bench.kernel.log.clear();
  // Brains that never say hello are no brains.
  bench.pass(4'900);
  CHECK(!bench.kernel.did("signal 1 20"));
  bench.pass(150);
  CHECK(bench.kernel.did("signal 1 20"));
  CHECK(!bench.kernel.did("signal 2 20"));
  bench.pass(110);
  CHECK(bench.keeper->phase(1) == Phase::gone);
  CHECK(bench.kernel.did("signal 2 20"));
  bench.pass(200);
  CHECK(bench.keeper->phase(2) == Phase::gone);
  CHECK(bench.keeper->finished() == 0);
}

TEST_CASE("a second TERM without a brain means KILL; with one it is only told") {
  Bench bench;
  bench.run(1);
  bench.keeper->on_signal(SIGTERM);
  bench.keeper->on_signal(SIGTERM);
  CHECK(bench.count(Kind::signalled) == 2);
  bench.hello();  // Any word of the brain shows that it is at work.
  bench.pass(20'000);
  CHECK(bench.keeper->phase(1) == Phase::running);
  bench.keeper->on_channel_closed();
  bench.keeper->on_signal(SIGINT);
  CHECK(bench.kernel.did("kill_tree 1"));
  bench.pass(100);
  CHECK(bench.keeper->finished() == 0);
}

TEST_CASE("a brain that says nothing to TERM for five seconds is as good as none") {
  Bench bench;
  bench.run(1);
  bench.keeper->on_signal(SIGTERM);
  bench.pass(4'900);
  CHECK(bench.keeper->phase(1) == Phase::running);
  bench.pass(200);
  CHECK(bench.keeper->phase(1) != Phase::running);
}

TEST_CASE("a signal to end is told to each new brain, others once") {
  Bench bench;
  bench.keeper->on_signal(SIGHUP);
  bench.keeper->on_signal(SIGTERM);
  CHECK(bench.count(Kind::signalled) == 2);
  bench.end_main(0, {2, 9, 0, 0});
  bench.pass(200);
  bench.kernel.sent.clear();
  bench.hello();
  const auto again = bench.kernel.told<wire::News>(Kind::signalled);
  REQUIRE(again.size() == 1);
  CHECK(again[0].signal == SIGTERM);
}

TEST_CASE("re-execution waits until no process is between gate and exec") {
  Bench bench;
  bench.kernel.outcomes[0].what = ExecOutcome::What::done;
  bench.keeper->on_exec(0);
  bench.spawn(1);
  bench.keeper->on_signal(SIGUSR2);
  CHECK(!bench.keeper->wants_reexec());
  bench.kernel.outcomes[1].what = ExecOutcome::What::done;
  bench.keeper->on_exec(1);
  CHECK(bench.keeper->wants_reexec());
  bench.keeper->reexec_failed();
  CHECK(!bench.keeper->wants_reexec());
}

TEST_CASE("a new keeper finds what an old one left, whatever it was doing") {
  Bench bench;
  const wire::Run running = bench.run(1);
  const wire::Run dying = bench.run(2);
  const int orphan = bench.child(dying);
  const wire::Run stopping = bench.run(3);
  bench.main(3).ignores_term = true;
  bench.stop(stopping, false, 9);
  bench.pass(101);  // In the second step.
  const wire::Run lost = bench.run(4);
  bench.run(5);
  bench.end_main(5, {1, 6, 0, 0});
  bench.spawn(6);  // Launching.
  const int running_pid = bench.pid(1);
  bench.kernel.processes.erase(bench.pid(2));
  bench.kernel.processes.erase(bench.pid(4));
  bench.die();
  CHECK(bench.keeper->phase(1) == Phase::running);
  CHECK(bench.pid(1) == running_pid);
  CHECK(bench.keeper->phase(2) == Phase::gone);
  CHECK(bench.kernel.processes[orphan].ended);
  CHECK(bench.keeper->phase(4) == Phase::gone);
  CHECK(bench.keeper->phase(6) == Phase::running);
  CHECK(bench.kernel.did("signal 3 15"));
  CHECK(!bench.kernel.did("signal 3 20"));  // Not from the start again.
  CHECK(bench.keeper->phase(3) == Phase::gone);
  const auto slots = bench.kernel.told<wire::Slot>(Kind::slot);
  REQUIRE(slots.size() == 6);
  CHECK(slots[0].run == running);
  CHECK(slots[0].adopted == 1);
  CHECK(slots[1].status.how == 3);  // Nobody could see: never 0.
  CHECK(slots[2].after == 9);
  CHECK(slots[3].run == lost);
  CHECK(slots[3].status.how == 3);
  CHECK(slots[4].status.how == 1);
  CHECK(slots[4].status.value == 6);
}

TEST_CASE("killed at any call of a start, the keeper leaves no run that is not recorded") {
  // The fake kernel throws at its k-th call; a child whose gate is shut by that ends.
  struct Killed {};
  struct Mortal : FakeKernel {
    int left = -1;
    void breathe() {
      if (left > 0 && --left == 0) throw Killed{};
    }
    int make_tree(Life& life) override {
      breathe();
      return FakeKernel::make_tree(life);
    }
    int save(std::uint32_t slot, const Record& record) override {
      breathe();
      return FakeKernel::save(slot, record);
    }
    int fork_gated(Life& life, const Launch& launch) override {
      breathe();
      const int error = FakeKernel::fork_gated(life, launch);
      gated = life.pid;
      return error;
    }
    int open_gate(const Life& life) override {
      breathe();
      gated = 0;
      return FakeKernel::open_gate(life);
    }
    int gated = 0;
  };
  for (int k = 1; k <= 6; ++k) {
    CAPTURE(k);
    Mortal kernel;
    auto keeper = std::make_unique<Keeper>(kernel, 8);
    keeper->recover();
    wire::Spawn spawn{};
    spawn.kind = Kind::spawn;
    spawn.run = 1U << 16U | 1U;
    const int fd = 0;
    kernel.left = k;
    bool killed = false;
    try {
      keeper->on_message(&spawn, sizeof spawn, &fd, 1);
    } catch (const Killed&) {
      killed = true;
    }
    kernel.left = -1;
    CHECK(killed == (k <= 5));
    if (kernel.gated != 0) kernel.end(kernel.gated, {1, 0, 0, 0});  // EOF on the gate.
    keeper = std::make_unique<Keeper>(kernel, 8);
    keeper->recover();
    for (std::uint32_t slot = 0; slot < keeper->used_slots(); ++slot) keeper->on_child(slot);
    int live = 0;
    for (const auto& [pid, process] : kernel.processes)
      if (process.tree == spawn.run && !process.ended) {
        ++live;
        CHECK(keeper->slot_of_pid(pid) == 1);
      }
    CHECK(live == (k == 6 ? 1 : 0));
    CHECK((keeper->phase(1) == Phase::running) == (k == 6));
  }
}

TEST_CASE("another supervisor's process is recorded before it is touched, and then told") {
  Bench bench;
  const int pid = bench.stranger();
  const wire::Take take = bench.taking(1, pid);
  bench.kernel.log.clear();
  bench.send(take);
  const std::string saved = "save 1 " + std::to_string(static_cast<int>(Phase::running));
  const std::vector<std::string> expected = {"tree 1", saved, "take 1 " + std::to_string(pid),
                                             saved};
  CHECK(bench.kernel.log == expected);
  CHECK(bench.keeper->phase(1) == Phase::running);
  CHECK(bench.pid(1) == pid);
  CHECK(bench.kernel.processes[pid].tree == take.run);
  const wire::News news = bench.last(Kind::launched);
  CHECK(news.run == take.run);
  CHECK(news.pid == pid);
  CHECK(news.started_wall_ms == 6'000);
  CHECK(bench.keeper->life(1).start_time == 77);
  bench.send(take);  // A brain that lost the answer asks again.
  CHECK(bench.count(Kind::launched) == 1);
  CHECK(bench.count(Kind::start_failed) == 0);
}

TEST_CASE("a takeover that cannot be meant is refused and changes nothing") {
  Bench bench;
  const int pid = bench.stranger();
  const auto refused = [&](const wire::Take& take) {
    bench.kernel.sent.clear();
    bench.kernel.log.clear();
    bench.send(take);
    CHECK(bench.kernel.log.empty());
    CHECK(bench.kernel.processes[pid].tree == 0);
    const wire::News news = bench.last(Kind::start_failed);
    CHECK(news.run == take.run);
    return std::pair(news.step, news.error);
  };
  using Refusal = std::pair<wire::Step, std::int32_t>;
  const auto with = [&](const std::function<void(wire::Take&)>& change) {
    wire::Take take = bench.taking(1, pid);
    change(take);
    return refused(take);
  };
  const Refusal malformed(wire::Step::plan, EINVAL);
  CHECK(with([](wire::Take& take) { take.ladder_count = wire::kMaxLadder + 1; }) == malformed);
  CHECK(with([](wire::Take& take) { take.memo_size = wire::kMaxMemo + 1; }) == malformed);
  CHECK(with([](wire::Take& take) { take.pid = 1; }) == malformed);
  CHECK(with([](wire::Take& take) { take.pid = -5; }) == malformed);
  CHECK(with([](wire::Take& take) { take.flags = wire::kGuest; }) == malformed);
  const Refusal nowhere(wire::Step::slot, ERANGE);
  CHECK(refused(bench.taking(0, pid)) == nowhere);
  CHECK(refused(bench.taking(64, pid)) == nowhere);
  CHECK(with([](wire::Take& take) { take.run &= 0xffffU; }) == nowhere);
  CHECK(bench.keeper->phase(1) == Phase::empty);
  bench.run(1);
  CHECK(refused(bench.taking(1, pid)) == Refusal(wire::Step::slot, EEXIST));
  CHECK(refused(bench.taking(2, bench.pid(1))) == Refusal(wire::Step::take, EBUSY));
  CHECK(bench.keeper->phase(1) == Phase::running);
  // A shorter message is none.
  const wire::Take take = bench.taking(2, pid);
  bench.kernel.sent.clear();
  bench.keeper->on_message(&take, sizeof take - 8, nullptr, 0);
  CHECK(bench.keeper->phase(2) == Phase::empty);
  CHECK(bench.kernel.processes[pid].tree == 0);
  bench.keeper->on_signal(SIGTERM);
  bench.pass(60'000);
  CHECK(bench.kernel.processes[pid].ended == false);
}

TEST_CASE("a takeover that fails waits to be forgotten, and leaves no tree") {
  Bench bench;
  const wire::Take missing = bench.taking(1, 4711);
  bench.send(missing);
  const wire::News news = bench.last(Kind::start_failed);
  CHECK(news.run == missing.run);
  CHECK(news.step == wire::Step::take);
  CHECK(news.error == ESRCH);
  CHECK(bench.count(Kind::launched) == 0);
  CHECK(bench.keeper->phase(1) == Phase::failed);
  CHECK(bench.kernel.trees.count(missing.run) == 0);
  const int pid = bench.stranger();
  bench.send(bench.taking(1, pid));
  CHECK(bench.last(Kind::start_failed).error == EEXIST);
  bench.die();
  const auto slots = bench.kernel.told<wire::Slot>(Kind::slot);
  REQUIRE(slots.size() == 1);
  CHECK(slots[0].phase == Phase::failed);
  CHECK(slots[0].step == wire::Step::take);
  bench.send(wire::Plain{Kind::forget, 0, missing.run});
  CHECK(bench.keeper->phase(1) == Phase::empty);
  const int other = bench.stranger();
  bench.send(bench.taking(1, other));
  CHECK(bench.keeper->phase(1) == Phase::running);
  // What cannot be recorded is not touched.
  const int third = bench.stranger();
  bench.kernel.saves_until_error = 0;
  bench.kernel.save_error = ENOSPC;
  const wire::Take unsaved = bench.taking(2, third);
  bench.send(unsaved);
  CHECK(bench.last(Kind::start_failed).error == ENOSPC);
  CHECK(bench.kernel.processes[third].tree == 0);
}

TEST_CASE("what was taken over is a run like any other, for the next keeper too") {
  for (const bool died : {false, true}) {
    CAPTURE(died);
    Bench bench;
    const int pid = bench.stranger();
    const wire::Take take = bench.taking(1, pid);
    bench.send(take);
    const int child = bench.child(take.run);
    bench.kernel.processes[child].ignores_term = true;
    bench.kernel.processes[pid].ignores_term = true;
    if (died) {
      bench.die();
      const auto slots = bench.kernel.told<wire::Slot>(Kind::slot);
      REQUIRE(slots.size() == 1);
      CHECK(slots[0].run == take.run);
      CHECK(slots[0].phase == Phase::running);
      CHECK(slots[0].pid == pid);
      CHECK(slots[0].adopted == 1);
      CHECK(slots[0].started_wall_ms == 6'000);
      CHECK(slots[0].memo_size == 2);
      CHECK(slots[0].memo[1] == 'i');
    }
    bench.kernel.log.clear();
    bench.stop(take.run, false, 3);
    bench.pass(5'000);
    CHECK(place(bench.kernel.log, "signal 1 20") < place(bench.kernel.log, "signal 1 15"));
    CHECK(bench.kernel.did("signal 1 15"));
    CHECK(bench.keeper->phase(1) == Phase::gone);
    CHECK(bench.kernel.processes[child].ended);
    CHECK(bench.last(Kind::gone).run == take.run);
    bench.send(wire::Plain{Kind::forget, 0, take.run});
    CHECK(bench.keeper->phase(1) == Phase::empty);
  }
}
