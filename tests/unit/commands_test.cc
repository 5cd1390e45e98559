// Commands, and what conditions make of them, with the test as their keeper.
#include "brain/commands.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "brain/condition_hosts.h"
#include "conditions/catalog.h"

using namespace supv;
using namespace std::chrono_literals;

namespace {

CommandRequest request(std::string text, Duration timeout = 10s) {
  CommandRequest made;
  made.command.argv = {"/bin/sh", "-c", std::move(text)};
  made.timeout = timeout;
  return made;
}

/// The other end of the line: takes spawns apart and plays the child.
struct Bench {
  Bench() {
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    keeper = std::make_unique<Channel>(Fd(ends[0]));
    commands = std::make_unique<Commands>(*keeper, reactor, Environment{{"PATH", "/bin:/usr/bin"}});
  }
  ~Bench() { ::close(ends[1]); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  struct Spawned {
    wire::Spawn message{};
    std::vector<Fd> fds;  // The plan, then 0, 1, 2 of the child.
  };

  /// The next message; its kind must be the one that is expected.
  template <typename Message>
  Message expect(wire::Kind kind, std::vector<Fd>* fds = nullptr) {
    Message message{};
    char control[CMSG_SPACE(sizeof(int) * wire::kMaxFds)];
    iovec part{&message, sizeof message};
    msghdr head{};
    head.msg_iov = &part;
    head.msg_iovlen = 1;
    head.msg_control = control;
    head.msg_controllen = sizeof control;
    REQUIRE(::recvmsg(ends[1], &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) ==
            static_cast<ssize_t>(sizeof message));
    REQUIRE(message.kind == kind);
    const cmsghdr* passed = CMSG_FIRSTHDR(&head);
    if (passed != nullptr && fds != nullptr) {
      const std::size_t count = (passed->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      std::vector<int> numbers(count);
      std::memcpy(numbers.data(), CMSG_DATA(passed), count * sizeof(int));
      for (const int fd : numbers) fds->emplace_back(fd);
    }
    return message;
  }
  Spawned spawned() {
    Spawned spawn;
    spawn.message = expect<wire::Spawn>(wire::Kind::spawn, &spawn.fds);
    CHECK(spawn.message.child_fds == 3);
    REQUIRE(spawn.fds.size() == 4);
    return spawn;
  }
  bool silent() const {
    char byte = 0;
    return ::recv(ends[1], &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
  }
  bool hear(wire::Kind kind, wire::Run run, int how = 0, int value = 0) {
    wire::News news{};
    news.kind = kind;
    news.run = run;
    news.status = {how, value, 0, 0};
    news.step = wire::Step::exec;
    news.error = ENOENT;
    return commands->hear(news, now);
  }
  Commands::Done done() {
    return [this](CommandResult result) { results.push_back(std::move(result)); };
  }
  static void write(const Fd& fd, const std::string& text) {
    REQUIRE(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  void turn() { reactor.wait(0s); }

  int ends[2] = {-1, -1};
  Reactor reactor;
  std::unique_ptr<Channel> keeper;
  std::unique_ptr<Commands> commands;
  std::vector<CommandResult> results;
  Time now{1h};
};

}  // namespace

TEST_CASE("a command: what it reads, what it says, how it ends") {
  Bench bench;
  CommandRequest asked = request("cat");
  asked.input = "the message\n";
  bench.commands->run(bench.now, std::move(asked), bench.done());
  auto child = bench.spawned();
  CHECK(wire::slot_of(child.message.run) >= Commands::kFirstSlot);
  CHECK(wire::slot_of(child.message.run) < Commands::kSlotEnd);
  char input[64] = {};
  CHECK(::read(child.fds[1].get(), input, sizeof input) == 12);
  CHECK(std::string(input) == "the message\n");
  Bench::write(child.fds[2], "out");
  Bench::write(child.fds[3], "err");
  bench.turn();
  Bench::write(child.fds[2], " more");
  CHECK(bench.results.empty());
  CHECK(bench.hear(wire::Kind::launched, child.message.run));
  CHECK(bench.hear(wire::Kind::exited, child.message.run, 1, 3));
  REQUIRE(bench.results.size() == 1);
  CHECK(bench.results[0].error.empty());
  CHECK(bench.results[0].status == ExitStatus{ExitStatus::How::code, 3, false});
  CHECK(bench.results[0].output == "out more");
  CHECK(bench.results[0].errors == "err");
  CHECK(bench.silent());
  CHECK(bench.hear(wire::Kind::gone, child.message.run, 1, 3));
  CHECK(bench.expect<wire::Plain>(wire::Kind::forget).run == child.message.run);
  CHECK(bench.results.size() == 1);
  CHECK(bench.commands->finished());
  CHECK_FALSE(bench.commands->deadline());
}

TEST_CASE("a command that writes without end is read to the end and kept to 64 KiB") {
  Bench bench;
  bench.commands->run(bench.now, request("yes"), bench.done());
  auto child = bench.spawned();
  const std::string block(32 * 1024, 'y');
  for (int i = 0; i < 64; ++i) {
    Bench::write(child.fds[2], block);  // Would block for ever if nobody read.
    Bench::write(child.fds[3], std::string(16 * 1024, 'e'));
    bench.turn();
  }
  bench.hear(wire::Kind::gone, child.message.run, 2, 9);
  REQUIRE(bench.results.size() == 1);
  CHECK(bench.results[0].output == std::string(Commands::kMaxOutput, 'y'));
  CHECK(bench.results[0].errors == std::string(Commands::kMaxErrors, 'e'));
  CHECK(bench.results[0].status.how == ExitStatus::How::signal);
}

TEST_CASE("a command past its time is killed with its tree, and answered at once") {
  Bench bench;
  bench.commands->run(bench.now, request("sleep 100", 2s), bench.done());
  auto child = bench.spawned();
  CHECK(bench.commands->deadline() == bench.now + 2s);
  bench.commands->tick(bench.now + 1999ms);
  CHECK(bench.results.empty());
  bench.commands->tick(bench.now + 2s);
  REQUIRE(bench.results.size() == 1);
  CHECK(bench.results[0].timed_out);
  const auto stop = bench.expect<wire::Stop>(wire::Kind::stop);
  CHECK(stop.run == child.message.run);
  CHECK(stop.now == 1);
  CHECK_FALSE(bench.commands->finished());
  bench.hear(wire::Kind::exited, child.message.run, 2, 9);
  bench.hear(wire::Kind::gone, child.message.run, 2, 9);
  bench.expect<wire::Plain>(wire::Kind::forget);
  CHECK(bench.results.size() == 1);
  CHECK(bench.commands->finished());
}

TEST_CASE("one that cannot be run says why, later") {
  Bench bench;
  bench.commands->run(bench.now, request("x"), bench.done());
  auto child = bench.spawned();
  bench.hear(wire::Kind::start_failed, child.message.run);
  REQUIRE(bench.results.size() == 1);
  CHECK(bench.results[0].error == "exec: No such file or directory");
  bench.expect<wire::Plain>(wire::Kind::forget);
  CommandRequest stranger = request("x");
  auto process = std::make_shared<ProcessSpec>();
  process->uid = "nobody-of-that-name";
  stranger.process = process;
  bench.commands->run(bench.now, std::move(stranger), bench.done());
  CHECK(bench.results.size() == 1);
  CHECK(bench.commands->deadline());
  bench.commands->tick(bench.now);
  REQUIRE(bench.results.size() == 2);
  CHECK(bench.results[1].error == "no such user 'nobody-of-that-name'");
  CHECK(bench.silent());
}

TEST_CASE("56 run at once, the others wait for a slot, and their time begins then") {
  Bench bench;
  std::vector<Commands::Id> ids;
  for (int i = 0; i < 58; ++i) {
    ids.push_back(bench.commands->run(bench.now, request("x", 5s), bench.done()));
  }
  CHECK(bench.commands->under_way() == 56);
  CHECK(bench.commands->waiting() == 2);
  std::vector<Bench::Spawned> children;
  for (int i = 0; i < 56; ++i) {
    children.push_back(bench.spawned());
    for (int j = 0; j < i; ++j) {
      CHECK(children.back().message.run != children[static_cast<std::size_t>(j)].message.run);
    }
  }
  CHECK(bench.silent());
  bench.commands->cancel(ids[56]);
  CHECK(bench.commands->waiting() == 1);
  bench.now += 4s;
  bench.hear(wire::Kind::gone, children[7].message.run, 1, 0);
  bench.expect<wire::Plain>(wire::Kind::forget);
  auto last = bench.spawned();
  CHECK(wire::slot_of(last.message.run) == wire::slot_of(children[7].message.run));
  CHECK(last.message.run > children.back().message.run);
  bench.commands->tick(bench.now + 1s);
  CHECK(bench.results.size() == 56);  // The one that ended, and 55 that were out of time.
  bench.commands->tick(bench.now + 5s);
  CHECK(bench.results.size() == 57);
}

TEST_CASE("a cancelled command is killed and nobody is told") {
  Bench bench;
  const auto id = bench.commands->run(bench.now, request("sleep 9"), bench.done());
  auto child = bench.spawned();
  bench.commands->cancel(id);
  CHECK(bench.expect<wire::Stop>(wire::Kind::stop).run == child.message.run);
  bench.commands->cancel(id);
  CHECK(bench.silent());
  bench.hear(wire::Kind::gone, child.message.run, 2, 9);
  bench.expect<wire::Plain>(wire::Kind::forget);
  CHECK(bench.results.empty());
}

TEST_CASE("what an earlier brain left is killed and forgotten; runs of watches are left alone") {
  Bench bench;
  wire::Slot slot{};
  slot.kind = wire::Kind::slot;
  slot.run = std::uint64_t{9} << 16 | 8;
  slot.phase = wire::Phase::running;
  slot.memo_size = 7;
  std::memcpy(slot.memo, "command", 7);
  CHECK(bench.commands->adopt(slot));
  CHECK(bench.expect<wire::Stop>(wire::Kind::stop).run == slot.run);
  CHECK(bench.hear(wire::Kind::gone, slot.run));
  CHECK(bench.expect<wire::Plain>(wire::Kind::forget).run == slot.run);
  slot.phase = wire::Phase::gone;
  CHECK(bench.commands->adopt(slot));
  CHECK(bench.expect<wire::Plain>(wire::Kind::forget).run == slot.run);
  // Of a supvd whose runs began at 8.
  slot.phase = wire::Phase::running;
  slot.memo_size = 3;
  CHECK_FALSE(bench.commands->adopt(slot));
  CHECK_FALSE(bench.hear(wire::Kind::gone, slot.run));
  slot.run = std::uint64_t{9} << 16 | 64;
  CHECK_FALSE(bench.commands->adopt(slot));
  bench.commands->run(bench.now, request("x"), bench.done());
  CHECK(wire::slot_of(bench.spawned().message.run) == 9);
}

TEST_CASE("at supvd's end nothing is started, what runs is killed, nobody is told") {
  Bench bench;
  bench.commands->run(bench.now, request("sleep 9"), bench.done());
  auto child = bench.spawned();
  bench.commands->finish();
  bench.expect<wire::Stop>(wire::Kind::stop);
  CHECK_FALSE(bench.commands->finished());
  bench.commands->run(bench.now, request("x"), bench.done());
  bench.hear(wire::Kind::gone, child.message.run);
  bench.expect<wire::Plain>(wire::Kind::forget);
  CHECK(bench.silent());
  CHECK(bench.results.empty());
  CHECK(bench.commands->finished());
}

// --- a condition that asks ---

namespace {

struct Asking : Bench {
  Asking() {
    ConditionHosts::Surroundings made;
    made.catalog = builtin_conditions();
    made.usage = &usage;
    made.commands = commands.get();
    made.http = &http;
    made.pid_of = [](RunId run) { return static_cast<int>(run); };
    made.now = [this] { return Moment{now, 1000}; };
    made.judged = [this](ev::Judged judged) { verdicts.push_back(std::move(judged)); };
    made.slow = [](std::string_view) {};
    hosts = std::make_unique<ConditionHosts>(std::move(made));
  }
  void arm(std::vector<ConditionSpec> conditions) {
    auto watch = std::make_shared<WatchSpec>();
    watch->process.dir = "/";
    watch->conditions = std::move(conditions);
    std::vector<std::uint32_t> all;
    for (std::uint32_t i = 0; i < watch->conditions.size(); ++i) all.push_back(i);
    hosts->arm({kRun, "web", watch, all, kRun});
  }
  static ConditionSpec spec(const std::string& name,
                            std::vector<std::pair<std::string, std::string>> options) {
    ConditionSpec made;
    made.name = made.id = name;
    made.options = std::move(options);
    return made;
  }
  ev::Judged verdict() {
    REQUIRE(verdicts.size() == 1);
    ev::Judged said = verdicts.back();
    verdicts.clear();
    return said;
  }

  static constexpr RunId kRun{77};
  Usage usage{[](RunId) { return nullptr; }};
  HttpCalls http{[] { return nullptr; }};
  std::vector<ev::Judged> verdicts;
  std::unique_ptr<ConditionHosts> hosts;
};

}  // namespace

TEST_CASE("a condition that asked answers when the command has ended, once") {
  Asking asking;
  asking.arm({Asking::spec("exec", {{"command", "check"}})});
  asking.hosts->poll({Asking::kRun, 0});
  auto child = asking.spawned();
  CHECK(asking.verdicts.empty());
  asking.hosts->poll({Asking::kRun, 0});  // Still under way: it is not asked twice.
  CHECK(asking.silent());
  Bench::write(child.fds[2], "BAD | a=1");
  asking.hear(wire::Kind::exited, child.message.run, 1, 2);
  const ev::Judged said = asking.verdict();
  CHECK(said.run == Asking::kRun);
  CHECK(said.verdict == Verdict::yes);
  CHECK(said.reason == "exit 2: BAD");
  CHECK(said.metrics == "a=1");
  asking.hear(wire::Kind::gone, child.message.run, 1, 2);
  asking.expect<wire::Plain>(wire::Kind::forget);
  asking.hosts->poll({Asking::kRun, 0});
  asking.spawned();
}

TEST_CASE("an answer that does not come is unknown, and says how long was waited") {
  Asking asking;
  ConditionSpec brief = Asking::spec("exec", {{"command", "sleep 9"}});
  brief.timeout = 3s;
  asking.arm({Asking::spec("exec", {{"command", "sleep 99"}}), brief});
  asking.hosts->poll({Asking::kRun, 0});
  asking.hosts->poll({Asking::kRun, 1});
  asking.commands->tick(asking.now + 3s);
  ev::Judged said = asking.verdict();
  CHECK(said.condition == 1);
  CHECK(said.verdict == Verdict::unknown);
  CHECK(said.reason == "no answer within 3s");
  asking.commands->tick(asking.now + 10s);
  said = asking.verdict();
  CHECK(said.condition == 0);
  CHECK(said.reason == "no answer within 10s");
}

TEST_CASE("a disarmed condition's command is killed and its answer dropped") {
  Asking asking;
  asking.arm({Asking::spec("exec", {{"command", "sleep 99"}})});
  asking.hosts->poll({Asking::kRun, 0});
  auto child = asking.spawned();
  asking.hosts->disarm({Asking::kRun});
  CHECK(asking.expect<wire::Stop>(wire::Kind::stop).run == child.message.run);
  asking.hear(wire::Kind::exited, child.message.run, 1, 2);
  CHECK(asking.verdicts.empty());
  CHECK_FALSE(asking.hosts->deadline());
}

TEST_CASE("what the courier does wrong is not the server's fault") {
  Asking asking;
  asking.arm({Asking::spec("http_response_code",
                           {{"url", "http://127.0.0.1:1/"}, {"code_is_not", "200"}})});
  asking.hosts->poll({Asking::kRun, 0});
  CHECK(asking.verdicts.empty());
  CHECK(asking.hosts->deadline() == asking.now + 12s);
  asking.http.say_ready();
  const ev::Judged said = asking.verdict();
  CHECK(said.verdict == Verdict::unknown);
  CHECK(said.reason == "the courier cannot be reached");
  CHECK_FALSE(asking.hosts->deadline());
}

TEST_CASE("a certificate that cannot be read is not the server's fault") {
  Asking asking;
  asking.arm({Asking::spec(
      "http_response_code",
      {{"url", "https://127.0.0.1:1/"}, {"code_is_not", "200"}, {"ca_file", "/no/such.pem"}})});
  asking.hosts->poll({Asking::kRun, 0});
  asking.http.say_ready();
  const ev::Judged said = asking.verdict();
  CHECK(said.verdict == Verdict::unknown);
  CHECK(said.reason == "cannot read /no/such.pem");
}

TEST_CASE("conditions ask about a subject, which may change while they live") {
  Asking asking;
  asking.arm({Asking::spec("process_running", {{"running", "true"}})});
  const auto asked = [&] {
    asking.hosts->poll({Asking::kRun, 0});
    return asking.verdict().reason;
  };
  CHECK(asked() == "running, pid 77");
  asking.hosts->arm({Asking::kRun, "web", nullptr, {}, RunId{78}});
  CHECK(asked() == "running, pid 78");
  asking.hosts->arm({Asking::kRun, "web", nullptr, {}, RunId::none});
  CHECK(asked() == "not running");
}
