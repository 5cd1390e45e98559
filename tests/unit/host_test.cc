#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "../lib/child.h"
#include "base/fd.h"
#include "brain/host_line.h"
#include "host/channel.h"
#include "host/run_host.h"

// A condition that opens a FIFO at each look, which hangs until somebody writes to it. It counts
// its looks; `path` empty: it only counts.
#define SUPV_CONDITION_SYMBOL supv_condition_sleeper
#include <supv/condition.hpp>

namespace {

constexpr supv_option kOptions[] = {
    {"path", SUPV_TEXT, nullptr, "A FIFO.", 0, nullptr},
    {"timeout", SUPV_DURATION, nullptr, "Its own.", 0, nullptr},
};

class Sleeper : public supv::sdk::Condition {
 public:
  explicit Sleeper(const supv::sdk::Host& host) : path_(host.text("path")) {
    if (path_ == "bad") throw std::invalid_argument("bad path");
  }
  supv::sdk::Verdict poll(const supv_event&) override {
    ++looks_;
    if (path_ == "crash") ::abort();
    if (!path_.empty()) ::close(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    return supv::sdk::fire("look " + std::to_string(looks_));
  }

 private:
  std::string path_;
  int looks_ = 0;
};

}  // namespace

SUPV_CONDITION_THAT(Sleeper, "sleeper", "A test.", SUPV_POLL, kOptions, SUPV_WAITS | SUPV_BASELINE);

using namespace supv;
using supv::test::TempDirectory;

namespace {

#ifdef __SANITIZE_THREAD__
constexpr std::size_t kSanitizer = 1;  // A thread of its own, which never rests.
#else
constexpr std::size_t kSanitizer = 0;
#endif

const std::vector<const supv_condition_descriptor*> kCatalog = {&supv_condition_sleeper};

/// The test program started anew as a host.
const bool kNotAHost = [] {
  if (std::getenv("SUPV_TEST_HOST") != nullptr) ::_exit(run_host(3, kCatalog));
  return true;
}();

/// A real host process, and our end of a channel that it may share with others.
struct HostProcess {
  HostProcess() {
    int ends[2];
    check_sys(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
    socket.reset(ends[0]);
    const Fd theirs(ends[1]);
    pid = ::fork();
    if (pid != 0) return;
    ::setenv("SUPV_TEST_HOST", "1", 1);
    // dup2 of a number to itself would keep close-on-exec.
    const int high = ::fcntl(theirs.get(), F_DUPFD, 100);
    ::dup2(high, 3);
    ::close_range(4, ~0U, 0);
    ::execl("/proc/self/exe", "host", nullptr);
    ::_exit(127);
  }
  ~HostProcess() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  HostProcess(const HostProcess&) = delete;
  HostProcess& operator=(const HostProcess&) = delete;

  Fd end() const { return Fd(check_sys(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0), "dup")); }
  std::size_t threads() const {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& one :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
      ++count;
    }
    return count;
  }
  /// How often its threads went to sleep of themselves.
  long sleeps() const {
    long all = 0;
    for (const auto& task :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
      const std::string text = test::read_file(task.path() / "status");
      const std::string key = "\nvoluntary_ctxt_switches:";
      all += std::strtol(text.c_str() + text.find(key) + key.size(), nullptr, 10);
    }
    return all;
  }

  Fd socket;
  pid_t pid = -1;
};

std::optional<host::Said> next(HostChannel& channel, int patience_ms = 10'000) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
  for (;;) {
    if (const auto message = channel.receive()) {
      REQUIRE(std::holds_alternative<host::Said>(*message));
      return std::get<host::Said>(*message);
    }
    if (channel.closed() || std::chrono::steady_clock::now() > end) return std::nullopt;
    channel.flush();
    pollfd ready{channel.fd(), POLLIN, 0};
    ::poll(&ready, 1, 50);
  }
}

void make(HostChannel& channel, std::uint64_t id, const std::string& path) {
  host::Make message;
  message.id = id;
  message.name = "sleeper";
  message.watch = "w";
  message.options = {{"path", path}};
  CHECK(channel.send(message));
}

void ask(HostChannel& channel, std::uint64_t id, std::uint64_t serial) {
  host::Ask message;
  message.id = id;
  message.serial = serial;
  CHECK(channel.send(message));
}

struct Fifo {
  explicit Fifo(std::string at) : path(std::move(at)) {
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  }
  /// Lets one reader, or several, go on.
  void release() const {
    Fd writer(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    (void)writer;
  }
  std::string path;
};

}  // namespace

TEST_CASE("the host looks once when it makes, then answers each question") {
  const HostProcess process;
  HostChannel channel(process.end());
  make(channel, 7, "");
  ask(channel, 7, 1);
  ask(channel, 7, 2);
  for (std::uint64_t serial : {1u, 2u}) {
    const auto said = next(channel);
    REQUIRE(said);
    CHECK(said->id == 7);
    CHECK(said->serial == serial);
    CHECK(said->outcome == SUPV_FIRE);
    CHECK(said->reason == "look " + std::to_string(serial + 1));
  }
  make(channel, 8, "bad");
  ask(channel, 8, 3);
  CHECK(next(channel)->reason == "bad path");
  ask(channel, 9, 4);
  CHECK(next(channel)->reason == "there is no such instance");
}

TEST_CASE("a call that hangs costs its own instance alone") {
  const TempDirectory directory;
  const Fifo fifo(directory / "fifo");
  const HostProcess process;
  HostChannel channel(process.end());
  make(channel, 1, fifo.path);
  ask(channel, 1, 1);
  for (std::uint64_t id = 2; id < 10; ++id) {
    make(channel, id, "");
    ask(channel, id, id);
    const auto said = next(channel);
    REQUIRE(said);
    CHECK(said->id == id);
  }
  // Twice: for its first look and for the question.
  std::optional<host::Said> late;
  for (int i = 0; i < 200 && !late; ++i) {
    fifo.release();
    late = next(channel, 50);
  }
  REQUIRE(late);
  CHECK(late->id == 1);
  CHECK(late->reason == "look 2");
}

TEST_CASE("64 calls may hang; then nothing is waited for, and all comes back") {
  const TempDirectory directory;
  const Fifo fifo(directory / "fifo");
  const HostProcess process;
  HostChannel channel(process.end());
  for (std::uint64_t id = 1; id <= 64; ++id) make(channel, id, fifo.path);
  make(channel, 100, "");
  ask(channel, 100, 5);
  const auto refused = next(channel, 30'000);
  REQUIRE(refused);
  CHECK(refused->id == 100);
  CHECK(refused->outcome == SUPV_UNKNOWN);
  CHECK(refused->reason == "too many conditions hang");
  CHECK(process.threads() == 65 + kSanitizer);
  // A new brain: what hangs is nobody's, and when it comes back threads go as well.
  HostChannel second(process.end());
  make(second, 1, "");
  ask(second, 1, 1);
  std::optional<host::Said> said;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while ((!said || process.threads() > 5 + kSanitizer) && std::chrono::steady_clock::now() < end) {
    fifo.release();
    if (!said) said = next(second, 20);
  }
  REQUIRE(said);
  CHECK(said->id == 1);
  CHECK(process.threads() <= 5 + kSanitizer);
}

TEST_CASE("a new brain gets nothing of the one before") {
  const TempDirectory directory;
  const Fifo fifo(directory / "fifo");
  const HostProcess process;
  HostChannel first(process.end());
  make(first, 1, fifo.path);
  ask(first, 1, 1);
  HostChannel second(process.end());
  ask(second, 1, 2);
  const auto said = next(second);
  REQUIRE(said);
  CHECK(said->serial == 2);
  CHECK(said->reason == "there is no such instance");
  for (int i = 0; i < 20; ++i) {
    fifo.release();
    CHECK_FALSE(next(second, 10));
  }
}

TEST_CASE("an idle host sleeps, and ends with its channel") {
  HostProcess process;
  {
    HostChannel channel(process.end());
    make(channel, 1, "");
    ask(channel, 1, 1);
    REQUIRE(next(channel));
    // Its thread goes to sleep once more after the answer.
    long before = -1;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (before != process.sleeps() && std::chrono::steady_clock::now() < end) {
      before = process.sleeps();
      ::poll(nullptr, 0, 100);
    }
    ::poll(nullptr, 0, 500);
    if (kSanitizer == 0) CHECK(process.sleeps() == before);
  }
  process.socket.reset();
  int status = -1;
  CHECK(::waitpid(process.pid, &status, 0) == process.pid);
  CHECK(WIFEXITED(status));
}

// --- the brain's side --------------------------------------------------------------------------

namespace {

/// A line whose clock stands still, and a watch with one condition on it.
struct Bench {
  Bench() {
    auto watch = std::make_shared<WatchSpec>();
    watch->name = "w";
    watch->conditions.resize(2);
    for (ConditionSpec& condition : watch->conditions) condition.name = "sleeper";
    watch->conditions[1].timeout = Duration(2500);
    spec = watch;
    HostLine::Surroundings surroundings;
    surroundings.need = [this] { ++needed; };
    surroundings.now = [this] { return now; };
    surroundings.judged = [this](ev::Judged one) { judged.push_back(std::move(one)); };
    surroundings.places = [](const std::string&, const ProcessSpec&) {
      return std::vector<std::pair<std::string, std::string>>{};
    };
    line.emplace(std::move(surroundings));
  }
  void set_path(const std::string& path) {
    auto watch = std::make_shared<WatchSpec>(*spec);
    watch->conditions[0].options = {{"path", path}};
    spec = watch;
  }
  void arm(std::uint32_t index = 0) {
    line->arm(RunId{1}, index, "w", spec, supv_condition_sleeper);
  }
  void ask(std::uint32_t index = 0) {
    supv_event event{};
    event.kind = SUPV_TICK;
    CHECK(line->ask(RunId{1}, index, event));
  }
  void pass(int milliseconds) {
    now.time += std::chrono::milliseconds(milliseconds);
    now.wall_ms += milliseconds;
    line->tick(now.time);
  }
  void hear(HostChannel& channel, std::size_t count) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (judged.size() < count && std::chrono::steady_clock::now() < end) {
      pollfd ready{channel.fd(), POLLIN, 0};
      ::poll(&ready, 1, 20);
      line->hear();
    }
  }
  std::string last() const { return judged.empty() ? "" : judged.back().reason; }

  std::shared_ptr<const WatchSpec> spec;
  Moment now{Time(std::chrono::hours(1)), 1'000'000'000'000};
  std::vector<ev::Judged> judged;
  int needed = 0;
  std::optional<HostLine> line;
};

}  // namespace

TEST_CASE("the brain hears what the host says") {
  const HostProcess process;
  HostChannel channel(process.end());
  Bench bench;
  bench.line->attach(&channel);
  bench.arm();
  CHECK(bench.needed == 1);
  bench.ask();
  CHECK(bench.line->deadline() == bench.now.time + std::chrono::seconds(10));
  bench.hear(channel, 1);
  REQUIRE(bench.judged.size() == 1);
  CHECK(bench.judged[0].verdict == Verdict::yes);
  CHECK(bench.last() == "look 2");
  CHECK_FALSE(bench.line->deadline());
  bench.line->disarm(RunId{1});
  supv_event event{};
  CHECK_FALSE(bench.line->ask(RunId{1}, 0, event));
}

TEST_CASE("no answer in time is unknown, and so is every question until it comes") {
  const TempDirectory directory;
  const Fifo fifo(directory / "fifo");
  const HostProcess process;
  HostChannel channel(process.end());
  Bench bench;
  bench.set_path(fifo.path);
  bench.line->attach(&channel);
  bench.arm();
  bench.arm(1);
  bench.ask();
  bench.pass(9'999);
  CHECK(bench.judged.empty());
  bench.pass(1);
  REQUIRE(bench.judged.size() == 1);
  CHECK(bench.judged[0].verdict == Verdict::unknown);
  CHECK(bench.last() == "no answer within 10s");
  bench.ask();
  REQUIRE(bench.judged.size() == 2);
  CHECK(bench.last() == "still waiting for an answer since 2001-09-09T01:46:40Z");
  // Its neighbour of the same run is none the worse, and has a time-out of its own.
  bench.ask(1);
  CHECK(bench.line->deadline() == bench.now.time + std::chrono::milliseconds(2500));
  bench.hear(channel, 3);
  CHECK(bench.last() == "look 2");
  // The call comes back: the change that it saw is not lost.
  for (int i = 0; i < 100; ++i) {
    fifo.release();
    pollfd ready{channel.fd(), POLLIN, 0};
    ::poll(&ready, 1, 10);
    bench.line->hear();
  }
  CHECK(bench.judged.size() == 3);
  bench.ask();
  REQUIRE(bench.judged.size() == 4);
  CHECK(bench.judged[3].verdict == Verdict::yes);
  CHECK(bench.last() == "look 2");
}

TEST_CASE("conditions are unknown while a host dies, and made again in the next one") {
  Bench bench;
  {
    const HostProcess process;
    HostChannel channel(process.end());
    bench.set_path("crash");
    bench.line->attach(&channel);
    bench.arm();
    bench.ask();
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!channel.closed() && std::chrono::steady_clock::now() < end) {
      pollfd ready{channel.fd(), POLLIN, 0};
      ::poll(&ready, 1, 20);
      bench.line->hear();
    }
    CHECK(channel.closed());
    bench.line->attach(nullptr);
  }
  REQUIRE(bench.judged.size() == 1);
  CHECK(bench.last() == "the host is being started again");
  bench.ask();
  REQUIRE(bench.judged.size() == 2);
  CHECK(bench.last() == "the host is being started again");
  CHECK_FALSE(bench.line->deadline());
  bench.line->disarm(RunId{1});
  bench.set_path("");
  bench.arm();  // While there is none.
  const HostProcess process;
  HostChannel channel(process.end());
  bench.line->attach(&channel);
  bench.ask();
  bench.hear(channel, 3);
  REQUIRE(bench.judged.size() == 3);
  CHECK(bench.last() == "look 2");
}

TEST_CASE("what a plugin's process and the brain say to each other arrives as it was said") {
  const std::vector<host::Message> all = {
      host::Reply{{7, 8, SUPV_REPLY, 1, 2, 3, -1, 0, 42}, true, "no route", 0, 9, "text"},
      host::Want{7, 3, host::Want::What::usage, SUPV_SCOPE_PROCESS, true},
      host::Got{3, 2, std::string("\0\1", 2)},
      host::Fetch{7, "GET", "http://x/", "a: b", "body", "/s", "/ca", "/cert", "/key", "x", true, 2,
                  9},
      host::Run{7, "true", 1000},
      host::Trouble{7, "it left a process behind"},
      host::Said{7, 8, SUPV_FIRE, "why", "a=1"},
  };
  for (const host::Message& message : all) {
    const std::string packet = host::encode(message);
    const auto read = host::decode(packet);
    REQUIRE(read);
    CHECK(read->index() == message.index());
    CHECK(host::encode(*read) == packet);  // Nothing of it was lost.
    for (std::size_t size = 0; size < packet.size(); ++size)
      CHECK_FALSE(host::decode(std::string_view(packet).substr(0, size)));
    CHECK_FALSE(host::decode(packet + "x"));
  }
  const auto fetch = host::decode(host::encode(all[3]));
  REQUIRE(fetch);
  CHECK(std::get<host::Fetch>(*fetch).ca_file == "/ca");
  CHECK(std::get<host::Fetch>(*fetch).server_name == "x");
}

TEST_CASE("what a host said last is heard although it left something unread") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  HostChannel channel{Fd(ends[0])};
  Fd host(ends[1]);
  char hello[64];
  const ssize_t size = ::recv(host.get(), hello, sizeof hello, 0);
  REQUIRE(size > 0);
  REQUIRE(::send(host.get(), hello, static_cast<std::size_t>(size), 0) == size);
  const std::string last = host::encode(host::Trouble{7, "it left a process behind"});
  REQUIRE(::send(host.get(), last.data(), last.size(), 0) > 0);
  REQUIRE(channel.send(host::Drop{7}));
  host.reset();
  const auto message = channel.receive();
  REQUIRE(message);
  CHECK(std::get<host::Trouble>(*message).text == "it left a process behind");
  CHECK_FALSE(channel.receive());
  CHECK(channel.closed());
}

TEST_CASE("packets that are none of ours are refused") {
  host::Make whole;
  whole.id = 1;
  whole.name = "n";
  whole.options = {{"a", "b"}};
  const std::string good = host::encode(whole);
  REQUIRE(host::decode(good));
  CHECK(std::get<host::Make>(*host::decode(good)).options == whole.options);
  for (std::size_t size = 0; size < good.size(); ++size) {
    CHECK_FALSE(host::decode(std::string_view(good).substr(0, size)));
  }
  CHECK_FALSE(host::decode(good + "x"));
  host::Said said;
  said.outcome = SUPV_PENDING;
  CHECK_FALSE(host::decode(host::encode(said)));
  host::Make huge;
  huge.options = {{"a", std::string(host::kMaxPacket, 'x')}};
  HostProcess process;
  HostChannel channel(process.end());
  CHECK_FALSE(channel.send(huge));
}
