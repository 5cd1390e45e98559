#include <doctest/doctest.h>
#include <sys/mman.h>

#include "keeper/exec_child.h"
#include "keeper/proc.h"
#include "keeper/record.h"
#include "keeper_toy.h"

using namespace supv;
using namespace toy;

namespace {

/// Every way the keeper can be made to work; each must keep the same promises.
const std::vector<std::string> kWays = {
    "",      "cgroup",      "cgroup.kill", "clone3",
    "pidfs", "close_range", "pidfd_open",  "cgroup,pidfs,clone3,pidfd_open,close_range",
};

/// Live processes (zombies are not) of the pids in a file.
int living(const std::string& file) {
  std::ifstream pids(file);
  int count = 0;
  for (int pid; pids >> pid;) count += alive(pid) ? 1 : 0;
  return count;
}

std::vector<int> pids_in(const std::string& file) {
  std::ifstream in(file);
  std::vector<int> pids;
  for (int pid; in >> pid;) pids.push_back(pid);
  return pids;
}

}  // namespace

TEST_CASE("a program runs, ends, and its status comes back") {
  for (const std::string& way : kWays) {
    CAPTURE(way);
    Supvd supvd(way);
    REQUIRE(supvd.greet());
    const wire::Run run = supvd.spawn(1, shell("exit 7"));
    const auto launched = supvd.expect(wire::Kind::launched, run);
    REQUIRE(launched);
    CHECK(launched->pid > 1);
    CHECK(launched->started_wall_ms > 1'600'000'000'000);
    const auto exited = supvd.expect(wire::Kind::exited, run);
    REQUIRE(exited);
    CHECK(exited->status.how == 1);
    CHECK(exited->status.value == 7);
    CHECK(exited->left == 0);
    REQUIRE(supvd.expect(wire::Kind::gone, run));
    const wire::Run second = supvd.spawn(2, shell("kill -SEGV $$"));
    const auto killed = supvd.expect(wire::Kind::exited, second);
    REQUIRE(killed);
    CHECK(killed->status.how == 2);
    CHECK(killed->status.value == SIGSEGV);
  }
}

TEST_CASE("what fails between fork and exec comes back as step and errno") {
  Supvd supvd;
  REQUIRE(supvd.greet());
  const std::string text = supvd.dir / "text";
  std::ofstream(text) << "neither script nor program\n";
  ::chmod(text.c_str(), 0755);
  const std::string secret = supvd.dir / "secret";
  std::ofstream(secret) << "#!/bin/sh\n";
  ::chmod(secret.c_str(), 0644);
  const auto fails = [&supvd](const Request& request) {
    CAPTURE(request.argv[0]);
    const wire::Run run = supvd.spawn(1, request);
    const auto failed = supvd.expect(wire::Kind::start_failed, run);
    REQUIRE(failed);
    CHECK(supvd.news.empty());  // Neither launched nor exited nor gone.
    supvd.forget(run);
    return std::pair(failed->step, failed->error);
  };
  using Failure = std::pair<wire::Step, std::int32_t>;
  Request request;
  request.argv = {supvd.dir / "nothing"};
  CHECK(fails(request) == Failure(wire::Step::exec, ENOENT));
  request.argv = {secret};
  CHECK(fails(request) == Failure(wire::Step::exec, EACCES));
  request.argv = {text};
  CHECK(fails(request) == Failure(wire::Step::exec, ENOEXEC));
  request.argv = {"/bin/true", std::string(200'000, 'x')};
  CHECK(fails(request) == Failure(wire::Step::exec, E2BIG));
  request.argv = {"/bin/true"};
  request.adjust = [](PlanBuilder& plan) { plan.dir = "/no/such/dir"; };
  CHECK(fails(request) == Failure(wire::Step::dir, ENOENT));
  request.adjust = [](PlanBuilder& plan) { plan.out = "/no/such/fifo"; };
  CHECK(fails(request) == Failure(wire::Step::out, ENOENT));
  request.adjust = [](PlanBuilder& plan) { plan.err = "/no/such/fifo"; };
  CHECK(fails(request) == Failure(wire::Step::err, ENOENT));
  request.adjust = [](PlanBuilder& plan) { plan.chroot = "/no/such/root"; };
  CHECK(fails(request) == Failure(wire::Step::chroot, ENOENT));
  request.adjust = [&](PlanBuilder& plan) {
    plan.paths = {supvd.dir / "nothing", secret, supvd.dir / "nothing"};
  };
  CHECK(fails(request) == Failure(wire::Step::exec, EACCES));  // As execvp remembers it.
}

TEST_CASE("an ordinary user's supvd works, and cannot make anybody else of its workers") {
  if (::geteuid() != 0) return;
  Supvd supvd("", 12345);
  REQUIRE(supvd.greet());
  Request request = role("sleep");
  request.adjust = [](PlanBuilder& plan) { plan.uid = 23456, plan.gid = 23456; };
  const wire::Run other = supvd.spawn(1, request);
  const auto failed = supvd.expect(wire::Kind::start_failed, other);
  REQUIRE(failed);
  CHECK(failed->step == wire::Step::group_list);
  CHECK(failed->error == EPERM);
  request.adjust = [](PlanBuilder& plan) { plan.uid = 12345, plan.gid = 12345; };
  const wire::Run same = supvd.spawn(2, request);
  const auto launched = supvd.expect(wire::Kind::launched, same);
  REQUIRE(launched);
  supvd.kill_keeper();
  supvd.launch();
  REQUIRE(supvd.greet());
  REQUIRE(supvd.slots.size() == 2);
  CHECK(supvd.slots[1].pid == launched->pid);
  supvd.stop(same);
  REQUIRE(supvd.expect(wire::Kind::gone, same));
}

TEST_CASE("a gate that is never opened lets nothing through") {
  const TempDir dir;
  const std::string file = dir / "ran";
  PlanBuilder plan;
  plan.paths = {"/bin/sh"};
  plan.argv = {"sh", "-c", "echo ran >" + file + "; exit 5"};
  const Fd memfd = plan.build();
  for (const bool opened : {false, true}) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    Fd ours(ends[0]);
    Fd theirs(ends[1]);
    ChildSetup setup;
    setup.line = theirs.get();
    setup.parent_line = ours.get();
    setup.plan = memfd.get();
    ::getrlimit(RLIMIT_NOFILE, &setup.files);
    const pid_t child = ::fork();
    if (child == 0) exec_child(setup);
    theirs.reset();
    if (opened) REQUIRE(::send(ours.get(), "G", 1, 0) == 1);
    if (!opened) ours.reset();  // As the death of the keeper does.
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == (opened ? 5 : 0));
    CHECK((read_file(file) == "ran\n") == opened);
  }
}

TEST_CASE("a malformed plan is refused, and nothing is started") {
  Supvd supvd;
  REQUIRE(supvd.greet());
  const Fd memfd(::memfd_create("junk", MFD_CLOEXEC));
  const std::string junk(4096, '\x5a');
  REQUIRE(::write(memfd.get(), junk.data(), junk.size()) == 4096);
  wire::Spawn spawn{};
  spawn.kind = wire::Kind::spawn;
  spawn.run = 9U << 16U | 3U;
  supvd.tell(spawn, {memfd.get()});
  const auto failed = supvd.expect(wire::Kind::start_failed, spawn.run);
  REQUIRE(failed);
  CHECK(failed->step == wire::Step::plan);
  CHECK(failed->error == EINVAL);
  // The message promises another descriptor than it brings.
  spawn.run = 10U << 16U | 3U;
  spawn.child_fds = 3;
  supvd.tell(spawn, {memfd.get()});
  REQUIRE(supvd.expect(wire::Kind::start_failed, spawn.run));
}

TEST_CASE("a worker starts with the surroundings of its plan and nothing of ours") {
  for (const std::string& way : {std::string(), std::string("close_range,clone3")}) {
    CAPTURE(way);
    Supvd supvd(way);
    REQUIRE(supvd.greet());
    const std::string out = supvd.dir / "out";
    const auto output_of = [&](Request request) {
      std::ofstream(out, std::ios::trunc).flush();
      ::chmod(out.c_str(), 0666);
      request.out = out;
      const wire::Run run = supvd.spawn(1, request);
      REQUIRE(supvd.expect(wire::Kind::gone, run));
      supvd.forget(run);
      return read_file(out);
    };
    // ls itself opens the directory as 3.
    CHECK(output_of(shell("exec ls /proc/self/fd")) == "0\n1\n2\n3\n");
    Request with_fd = shell("cat <&3; exec ls /proc/self/fd");
    const Fd gift(::memfd_create("gift", 0));
    REQUIRE(::write(gift.get(), "gift\n", 5) == 5);
    ::lseek(gift.get(), 0, SEEK_SET);
    with_fd.child_fds = {gift.get()};
    CHECK(output_of(with_fd) == "gift\n0\n1\n2\n3\n4\n");
    CHECK(output_of(shell("echo $PATH; env | grep -c .; readlink /proc/self/fd/0; umask")) ==
          "/usr/bin:/bin\n2\n/dev/null\n0022\n");
    CHECK(output_of(shell("grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '\\t'")) ==
          "SigBlk:0000000000000000\nSigIgn:0000000000000000\n");
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    CHECK(output_of(shell("ulimit -n; ulimit -Hn")) ==
          std::to_string(files.rlim_cur) + "\n" + std::to_string(files.rlim_max) + "\n");
    // Its own session and group; no terminal.
    CHECK(output_of(shell("read -r p c s pp pg se tty x </proc/self/stat; "
                          "[ $pg = $$ ] && [ $se = $$ ] && echo own $tty")) == "own 0\n");
    if (::geteuid() == 0) {
      Request other = shell("id -u; id -g; id -G; cat /proc/self/oom_score_adj");
      other.adjust = [](PlanBuilder& plan) { plan.uid = 12345, plan.gid = 23456; };
      CHECK(output_of(other) == "12345\n23456\n23456\n0\n");
      other.adjust = [](PlanBuilder& plan) {
        plan.uid = 12345, plan.gid = 23456, plan.groups = {1, 2};
      };
      CHECK(output_of(other) == "12345\n23456\n23456 1 2\n0\n");
    }
  }
}

TEST_CASE("stop leaves nothing, whatever the children did to get away") {
  for (const std::string& way : kWays) {
    CAPTURE(way);
    Supvd supvd(way);
    REQUIRE(supvd.greet());
    const std::string escapees = supvd.dir / "escapees";
    const wire::Run run = supvd.spawn(1, role("escape", escapees));
    REQUIRE(supvd.expect(wire::Kind::launched, run));
    REQUIRE(wait_until([&] { return living(escapees) == 3; }));
    const wire::Run bystander = supvd.spawn(2, role("sleep"));
    const auto other = supvd.expect(wire::Kind::launched, bystander);
    REQUIRE(other);
    supvd.stop(run);
    const auto exited = supvd.expect(wire::Kind::exited, run);
    REQUIRE(exited);
    CHECK(exited->left == 3);
    CHECK(exited->status.how == 2);
    CHECK(exited->status.value == SIGTERM);
    REQUIRE(supvd.expect(wire::Kind::gone, run));
    CHECK(living(escapees) == 0);
    CHECK(alive(other->pid));
    supvd.stop(bystander);
    REQUIRE(supvd.expect(wire::Kind::gone, bystander));
  }
}

TEST_CASE("a shell that is the main process takes its children along") {
  for (const std::string& way : {std::string(), std::string("cgroup")}) {
    CAPTURE(way);
    Supvd supvd(way);
    REQUIRE(supvd.greet());
    const std::string pids = supvd.dir / "pids";
    Request request = shell("cd / && /bin/sh -c 'echo $$ >" + pids + "; exec sleep 1000'; true");
    const wire::Run run = supvd.spawn(1, request);
    REQUIRE(wait_until([&] { return living(pids) == 1; }));
    supvd.stop(run);
    REQUIRE(supvd.expect(wire::Kind::gone, run));
    CHECK(living(pids) == 0);
    // With the group flag the child gets the signal at once, not as a leftover.
    request.flags = wire::kGroupSignal;
    request.ladder = {{SIGTERM, 60'000}};
    std::filesystem::remove(pids);
    const wire::Run second = supvd.spawn(2, request);
    REQUIRE(wait_until([&] { return living(pids) == 1; }));
    supvd.stop(second);
    REQUIRE(supvd.expect(wire::Kind::gone, second));
    CHECK(living(pids) == 0);
  }
}

TEST_CASE("leftovers of an unexpected death are ended before gone") {
  for (const std::string& way : {std::string(), std::string("cgroup")}) {
    CAPTURE(way);
    Supvd supvd(way);
    REQUIRE(supvd.greet());
    const std::string escapee = supvd.dir / "escapee";
    const wire::Run run = supvd.spawn(1, role("escape_and_exit", escapee));
    const auto exited = supvd.expect(wire::Kind::exited, run);
    REQUIRE(exited);
    REQUIRE(exited->status.value != kNoPid);
    CHECK(exited->left == 1);
    CHECK(exited->status.value == 7);
    REQUIRE(supvd.expect(wire::Kind::gone, run));
    CHECK(living(escapee) == 0);
  }
}

TEST_CASE(
    "a worker that ignores TERM is killed when its time is up, a stopped one wakes for TERM") {
  Supvd supvd;
  REQUIRE(supvd.greet());
  const std::string file = supvd.dir / "pid";
  Request request = role("stubborn", file);
  request.ladder = {{SIGTERM, 300}};
  const wire::Run run = supvd.spawn(1, request);
  REQUIRE(wait_until([&] { return living(file) == 1; }));
  const auto before = Clock::now();
  supvd.stop(run);
  const auto exited = supvd.expect(wire::Kind::exited, run);
  REQUIRE(exited);
  CHECK(exited->status.how == 2);
  CHECK(exited->status.value == SIGKILL);
  CHECK(Clock::now() - before >= std::chrono::milliseconds(300));
  REQUIRE(supvd.expect(wire::Kind::gone, run));

  request = role("sleep", file);
  request.ladder = {{SIGTERM, 60'000}};
  const wire::Run stopped = supvd.spawn(2, request);
  const auto launched = supvd.expect(wire::Kind::launched, stopped);
  REQUIRE(launched);
  supvd.tell(wire::Signal{wire::Kind::signal, SIGSTOP, stopped});
  REQUIRE(wait_until([&] {
    proc::Stat stat;
    return proc::read_stat(launched->pid, stat) && stat.state == 'T';
  }));
  supvd.stop(stopped);
  const auto ended = supvd.expect(wire::Kind::exited, stopped);
  REQUIRE(ended);
  CHECK(ended->status.value == SIGTERM);
}

TEST_CASE("kill: process leaves alone what was left on purpose") {
  for (const std::string& way : {std::string(), std::string("cgroup")}) {
    CAPTURE(way);
    Supvd supvd(way);
    REQUIRE(supvd.greet());
    const std::string file = supvd.dir / "pid";
    Request request = role("daemon", file);
    request.flags = wire::kLeaveTree;
    const wire::Run run = supvd.spawn(1, request);
    const auto gone = supvd.expect(wire::Kind::gone, run);
    REQUIRE(gone);
    REQUIRE(gone->status.value != kNoPid);
    CHECK(living(file) == 1);
    supvd.forget(run);
    REQUIRE(supvd.ask_again());
    CHECK(supvd.slots.empty());
    supvd.kill_keeper();
    supvd.launch();
    REQUIRE(supvd.greet());
    CHECK(supvd.slots.empty());
    CHECK(living(file) == 1);
    for (const int pid : pids_in(file)) ::kill(pid, SIGKILL);
  }
}

TEST_CASE("a daemon is followed, a stranger is not") {
  for (const std::string& way : {std::string(), std::string("cgroup"), std::string("pidfd_open")}) {
    CAPTURE(way);
    Supvd supvd(way);
    REQUIRE(supvd.greet());
    const std::string file = supvd.dir / "pid";
    Request request = role("daemon", file);
    request.flags = wire::kDaemonises;
    const wire::Run run = supvd.spawn(1, request);
    const auto exited = supvd.expect(wire::Kind::exited, run);
    REQUIRE(exited);
    REQUIRE(exited->status.value != kNoPid);
    CHECK(exited->left == 1);
    const int daemon = pids_in(file).at(0);
    CHECK(alive(daemon));
    supvd.tell(wire::Follow{wire::Kind::follow, ::getpid(), run});
    const auto refused = supvd.expect(wire::Kind::not_followed, run);
    REQUIRE(refused);
    CHECK(refused->error == EPERM);
    supvd.tell(wire::Follow{wire::Kind::follow, supvd.keeper, run});
    REQUIRE(supvd.expect(wire::Kind::not_followed, run));
    supvd.tell(wire::Follow{wire::Kind::follow, 1, run});
    REQUIRE(supvd.expect(wire::Kind::not_followed, run));
    supvd.tell(wire::Follow{wire::Kind::follow, daemon, run});
    const auto followed = supvd.expect(wire::Kind::followed, run);
    REQUIRE(followed);
    CHECK(followed->pid == daemon);
    // Its end is noticed, with its status: the keeper became its parent.
    ::kill(daemon, SIGUSR1);
    const auto died = supvd.expect(wire::Kind::exited, run);
    REQUIRE(died);
    CHECK(died->status.how == 2);
    CHECK(died->status.value == SIGUSR1);
    REQUIRE(supvd.expect(wire::Kind::gone, run));
  }
}

TEST_CASE("a guest joins its host's tree and goes with it") {
  for (const std::string& way : {std::string(), std::string("cgroup")}) {
    CAPTURE(way);
    Supvd supvd(way);
    REQUIRE(supvd.greet());
    const wire::Run host = supvd.spawn(1, role("sleep"));
    REQUIRE(supvd.expect(wire::Kind::launched, host));
    const std::string file = supvd.dir / "pid";
    Request request = role("stubborn", file);
    request.flags = wire::kGuest;
    request.host = host;
    const wire::Run guest = supvd.spawn(2, request);
    REQUIRE(supvd.expect(wire::Kind::launched, guest));
    REQUIRE(wait_until([&] { return living(file) == 1; }));
    // A command in the tree is waited for when the main process ends by itself.
    supvd.tell(wire::Signal{wire::Kind::signal, SIGKILL, host});
    const auto exited = supvd.expect(wire::Kind::exited, host);
    REQUIRE(exited);
    CHECK(exited->left == 1);
    CHECK(!supvd.expect(wire::Kind::gone, host, 300));
    CHECK(living(file) == 1);
    supvd.stop(host, true);
    REQUIRE(supvd.expect(wire::Kind::gone, host));
    REQUIRE(supvd.expect(wire::Kind::gone, guest));
    CHECK(living(file) == 0);
    request.host = host;
    const wire::Run late = supvd.spawn(3, request);
    const auto failed = supvd.expect(wire::Kind::start_failed, late);
    REQUIRE(failed);
    CHECK(failed->step == wire::Step::slot);
  }
}

TEST_CASE("a killed brain loses nothing") {
  Supvd supvd;
  REQUIRE(supvd.greet());
  Request request = shell("read x; exit 5");
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  Fd out(ends[0]), in(ends[1]);
  request = shell("read x <&3; exit 5");
  request.child_fds = {out.get()};
  request.stored_fds = {out.get()};
  request.memo = "remember me";
  const wire::Run run = supvd.spawn(1, request);
  const auto launched = supvd.expect(wire::Kind::launched, run);
  REQUIRE(launched);
  const int first_brain = supvd.brain;
  ::kill(first_brain, SIGKILL);
  // It ends while there is no brain to be told.
  REQUIRE(::write(in.get(), "\n", 1) == 1);
  REQUIRE(supvd.greet());
  CHECK(supvd.brain != first_brain);
  REQUIRE(wait_until([&] { return !alive(launched->pid); }));
  REQUIRE(supvd.slots.size() == 1);
  const wire::Slot& slot = supvd.slots[0];
  CHECK(slot.run == run);
  CHECK(slot.pid == launched->pid);
  CHECK(std::string(reinterpret_cast<const char*>(slot.memo), slot.memo_size) == "remember me");
  CHECK(supvd.slot_fds.back().size() == 1);
  CHECK(slot.adopted == 0);
  wire::Status status = slot.status;
  if (slot.phase != wire::Phase::gone) {
    const auto exited = supvd.expect(wire::Kind::exited, run);
    REQUIRE(exited);
    status = exited->status;
  }
  CHECK(status.how == 1);
  CHECK(status.value == 5);
  // Told again to the next one, until it is forgotten.
  ::kill(supvd.brain, SIGKILL);
  REQUIRE(supvd.greet());
  REQUIRE(supvd.slots.size() == 1);
  CHECK(supvd.slots[0].phase == wire::Phase::gone);
  CHECK(supvd.slots[0].status.value == 5);
  supvd.forget(run);
  REQUIRE(supvd.ask_again());
  ::kill(supvd.brain, SIGKILL);
  REQUIRE(supvd.greet());
  CHECK(supvd.slots.empty());
}

TEST_CASE("a killed keeper's successor adopts what runs") {
  for (const std::string& way : kWays) {
    CAPTURE(way);
    Supvd supvd(way);
    REQUIRE(supvd.greet());
    Request request = role("sleep");
    request.memo = "mine";
    const wire::Run run = supvd.spawn(1, request);
    const auto launched = supvd.expect(wire::Kind::launched, run);
    REQUIRE(launched);
    const std::string escapees = supvd.dir / "escapees";
    const wire::Run doomed = supvd.spawn(2, role("escape", escapees));
    const auto second = supvd.expect(wire::Kind::launched, doomed);
    REQUIRE(second);
    REQUIRE(wait_until([&] { return living(escapees) == 3; }));
    supvd.kill_keeper();
    ::kill(second->pid, SIGKILL);
    supvd.launch();
    REQUIRE(supvd.greet());
    REQUIRE(supvd.slots.size() == 2);
    CHECK(supvd.slots[0].run == run);
    CHECK(supvd.slots[0].pid == launched->pid);
    CHECK(supvd.slots[0].phase == wire::Phase::running);
    CHECK(supvd.slots[0].adopted == 1);
    CHECK(supvd.slots[0].memo_size == 4);
    CHECK(alive(launched->pid));
    // The rest of the other one's tree was not adopted but ended.
    if (supvd.slots[1].phase != wire::Phase::gone) REQUIRE(supvd.expect(wire::Kind::gone, doomed));
    CHECK(living(escapees) == 0);
    // The adopted one is watched and stopped like any other, its status seen or said to be unseen.
    supvd.stop(run);
    const auto exited = supvd.expect(wire::Kind::exited, run);
    REQUIRE(exited);
    CHECK((exited->status.how == 2 || exited->status.how == 3));
    if (exited->status.how == 2) CHECK(exited->status.value == SIGTERM);
    REQUIRE(supvd.expect(wire::Kind::gone, run));
  }
}

TEST_CASE("records of another boot, or whose pid is a stranger's, touch nobody") {
  Supvd supvd;
  REQUIRE(supvd.greet());
  const wire::Run run = supvd.spawn(1, role("sleep"));
  const auto launched = supvd.expect(wire::Kind::launched, run);
  REQUIRE(launched);
  supvd.kill_keeper();
  const std::string path = supvd.dir / "run/records";
  const auto change = [&](const std::function<void(Record&)>& edit) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    Record record;
    file.seekg(sizeof record);
    file.read(reinterpret_cast<char*>(&record), sizeof record);
    REQUIRE(record.life.run == run);
    edit(record);
    seal(record);
    file.seekp(sizeof record);
    file.write(reinterpret_cast<const char*>(&record), sizeof record);
  };
  // The witness is a process of ours that is no run at all.
  const pid_t witness = ::fork();
  if (witness == 0)
    while (true) ::pause();
  const int worker = launched->pid;
  change([&](Record& record) { record.life.pid = witness; });
  supvd.launch();
  REQUIRE(supvd.greet());
  REQUIRE(supvd.slots.size() == 1);
  CHECK(supvd.slots[0].status.how == 3);
  // The true one is of the tree, and therefore a leftover.
  REQUIRE(wait_until([&] { return !alive(worker); }));
  CHECK(alive(witness));
  supvd.kill_keeper();
  change([&](Record& record) {
    record.machine.boot_low ^= 1;
    record.phase = wire::Phase::running;
    record.status = {};
  });
  supvd.launch();
  REQUIRE(supvd.greet());
  CHECK(supvd.slots.empty());
  CHECK(alive(witness));
  ::kill(witness, SIGKILL);
  ::waitpid(witness, nullptr, 0);
}

TEST_CASE("one supvd to a runtime directory") {
  Supvd supvd;
  REQUIRE(supvd.greet());
  int pid = 0;
  std::string text;
  try {
    take_lock(supvd.dir / "run");
  } catch (const KeeperError& error) {
    pid = error.running_pid;
    text = error.what();
  }
  CHECK(pid == supvd.keeper);
  CHECK(text == "already running with pid " + std::to_string(supvd.keeper));
  supvd.kill_keeper();
  CHECK_NOTHROW(take_lock(supvd.dir / "run"));
}

TEST_CASE("finish leaves what runs, TERM without a brain ends it") {
  Supvd supvd;
  REQUIRE(supvd.greet());
  const wire::Run run = supvd.spawn(1, role("sleep"));
  const auto launched = supvd.expect(wire::Kind::launched, run);
  REQUIRE(launched);
  supvd.tell(wire::Finish{wire::Kind::finish, 23});
  REQUIRE(wait_until([&] { return supvd.ended(); }));
  CHECK(WEXITSTATUS(supvd.exit_status) == 23);
  CHECK(!alive(supvd.brain));
  CHECK(alive(launched->pid));
  supvd.brain = 0;
  supvd.launch();  // Never greeted: for the keeper that is no brain.
  REQUIRE(supvd.pump_until([&] { return supvd.brain != 0; }, 20000));
  const auto before = Clock::now();
  ::kill(supvd.keeper, SIGTERM);
  REQUIRE(wait_until([&] { return supvd.ended(); }));
  CHECK(Clock::now() - before >= std::chrono::milliseconds(4500));
  CHECK(WIFEXITED(supvd.exit_status));
  CHECK(WEXITSTATUS(supvd.exit_status) == 0);
  CHECK(!alive(launched->pid));
}

TEST_CASE("signals to supvd are told to the brain") {
  Supvd supvd;
  REQUIRE(supvd.greet());
  for (const int signal : {SIGHUP, SIGUSR1, SIGTERM}) {
    ::kill(supvd.keeper, signal);
    const auto told = supvd.expect(wire::Kind::signalled, 0);
    REQUIRE(told);
    CHECK(told->signal == signal);
  }
  // TERM is not lost with the brain that heard of it.
  ::kill(supvd.brain, SIGKILL);
  REQUIRE(supvd.greet());
  const auto again = supvd.expect(wire::Kind::signalled, 0);
  REQUIRE(again);
  CHECK(again->signal == SIGTERM);
}

TEST_CASE("a burst of deaths loses no status and leaves no zombie") {
  Supvd supvd;
  REQUIRE(supvd.greet());
  constexpr std::uint32_t kMany = 200;
  std::vector<wire::Run> runs;
  for (std::uint32_t i = 1; i <= kMany; ++i)
    runs.push_back(supvd.spawn(i, shell("(sleep 0.01 &) ; exit " + std::to_string(i))));
  for (std::uint32_t i = 1; i <= kMany; ++i) {
    CAPTURE(i);
    const auto exited = supvd.expect(wire::Kind::exited, runs[i - 1]);
    REQUIRE(exited);
    CHECK(exited->status.how == 1);
    CHECK(exited->status.value == static_cast<std::int32_t>(i));
    REQUIRE(supvd.expect(wire::Kind::gone, runs[i - 1]));
  }
  CHECK(wait_until([&] {
    const std::string children = read_file("/proc/" + std::to_string(supvd.keeper) + "/task/" +
                                           std::to_string(supvd.keeper) + "/children");
    return children == std::to_string(supvd.brain) + " ";
  }));
}

namespace {

/// What another supervisor started: a shell in a session of its own with two children, one of them
/// in yet another session. Their pids are in `file`, the shell's first.
struct Foreign {
  explicit Foreign(const std::string& file) {
    pid = ::fork();
    if (pid == 0) {
      ::setsid();
      const std::string script =
          "trap '' HUP; sleep 1000 & a=$!; setsid sleep 1000 & b=$!; "
          "echo $$ $a $b >" +
          file + ".new; mv " + file + ".new " + file + "; wait";
      ::execl("/bin/sh", "sh", "-c", script.c_str(), nullptr);
      ::_exit(127);
    }
    REQUIRE(wait_until([&] { return pids_in(file).size() == 3; }));
    pids = pids_in(file);
    // The second one has its own session when it has become `sleep`.
    REQUIRE(wait_until([&] { return ::getsid(pids[2]) == pids[2]; }));
    proc::Stat stat;
    REQUIRE(proc::read_stat(pid, stat));
    start_time = stat.start_time;
  }
  Foreign(const Foreign&) = delete;
  Foreign& operator=(const Foreign&) = delete;
  ~Foreign() {
    for (const int one : pids)
      if (alive(one)) ::kill(one, SIGKILL);
    int status = 0;
    ::waitpid(pid, &status, 0);
  }
  wire::Take taking(wire::Run run) const {
    wire::Take take{};
    take.kind = wire::Kind::take;
    take.run = run;
    take.pid = pid;
    take.start_time = start_time;
    take.started_wall_ms = 1;
    take.ladder_count = 2;
    take.ladder[0] = {SIGTERM, 200};
    take.ladder[1] = {SIGKILL, 0};
    return take;
  }
  int count() const {
    int living = 0;
    for (const int one : pids) living += alive(one) ? 1 : 0;
    return living;
  }

  pid_t pid = 0;
  std::vector<int> pids;
  std::uint64_t start_time = 0;
};

}  // namespace

TEST_CASE("another supervisor's process is taken over with its children, and ends with them") {
  for (const std::string& way : kWays) {
    for (const bool reborn : {false, true}) {
      CAPTURE(way);
      CAPTURE(reborn);
      Supvd supvd(way);
      REQUIRE(supvd.greet());
      const Foreign foreign(supvd.dir / "pids");
      const wire::Run run = 5U << 16U | 3U;
      supvd.tell(foreign.taking(run));
      const auto launched = supvd.expect(wire::Kind::launched, run);
      REQUIRE(launched);
      CHECK(launched->pid == foreign.pid);
      CHECK(foreign.count() == 3);
      if (reborn) {
        supvd.kill_keeper();
        supvd.launch();
        REQUIRE(supvd.greet());
        REQUIRE(supvd.slots.size() == 1);
        CHECK(supvd.slots[0].run == run);
        CHECK(supvd.slots[0].pid == foreign.pid);
        CHECK(supvd.slots[0].phase == wire::Phase::running);
        CHECK(foreign.count() == 3);
      }
      supvd.stop(run);
      REQUIRE(supvd.expect(wire::Kind::gone, run));
      CHECK(foreign.count() == 0);
    }
  }
}

TEST_CASE("a process that took the pid of the one that is meant is not touched") {
  Supvd supvd;
  REQUIRE(supvd.greet());
  const Foreign foreign(supvd.dir / "pids");
  const wire::Run run = 5U << 16U | 3U;
  wire::Take take = foreign.taking(run);
  ++take.start_time;
  supvd.tell(take);
  const auto failed = supvd.expect(wire::Kind::start_failed, run);
  REQUIRE(failed);
  CHECK(failed->step == wire::Step::take);
  CHECK(failed->error == ESRCH);
  supvd.forget(run);
  // The same slot, and the right one.
  take.start_time = foreign.start_time;
  take.run = 6U << 16U | 3U;
  supvd.tell(take);
  REQUIRE(supvd.expect(wire::Kind::launched, take.run));
  CHECK(foreign.count() == 3);
}
