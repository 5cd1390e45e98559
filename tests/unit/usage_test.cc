#include "brain/usage.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "brain/condition_hosts.h"
#include "brain/proc_file.h"

using namespace supv;
using namespace std::chrono_literals;

namespace {

constexpr RunId kRun{1};

/// A /proc of our own making.
struct FakeProc {
  FakeProc() {
    std::string name = "/tmp/supv-proc-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    directory = name;
  }
  ~FakeProc() { std::filesystem::remove_all(directory); }
  FakeProc(const FakeProc&) = delete;
  FakeProc& operator=(const FakeProc&) = delete;

  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories(
        (directory + "/" + path).substr(0, (directory + "/" + path).rfind('/')));
    std::ofstream(directory + "/" + path, std::ios::trunc) << text;
  }
  /// Ticks are hundredths of a second.
  void process(int pid, std::uint64_t own, std::uint64_t children = 0, std::uint64_t tag = 0,
               std::uint64_t started = 5000, char state = 'S') const {
    const std::string at = std::to_string(pid);
    // Its name was chosen to confuse parsers.
    write(at + "/stat", at + " (a) R 1 (b) " + state + " 1 1 1 0 -1 4194560 0 0 0 0 " +
                            std::to_string(own - own / 3) + " " + std::to_string(own / 3) + " " +
                            std::to_string(children) + " 0 20 0 3 0 " + std::to_string(started) +
                            " 1000 25 0 0\n");
    write(at + "/smaps_rollup",
          "00-ff ---p 00 00:00 0 [rollup]\nRss: 100 kB\nPss:   60 kB\n"
          "Pss_Anon: 1 kB\n");
    write(at + "/limits",
          "Limit                     Soft Limit           Hard Limit           Units     \n"
          "Max file size             unlimited            unlimited            bytes     \n"
          "Max file locks            unlimited            " +
              (tag == 0 ? std::string("unlimited") : std::to_string(tag)) +
              "             locks     \nMax pending signals       7807   7807   signals   \n");
  }
  void end(int pid) const { std::filesystem::remove_all(directory + "/" + std::to_string(pid)); }
  std::string directory;
};

struct Measured {
  FakeProc proc;
  RunTree tree;
  bool known = true;
  Usage usage{[this](RunId) { return known ? &tree : nullptr; }, proc.directory};
  Time now{1h};

  /// Seconds of CPU used by the tree, read a second after the last time.
  double cpu(supv_scope scope = SUPV_SCOPE_TREE) {
    now += 1s;
    const auto read = usage.read(now, kRun, scope, false);
    REQUIRE(read);
    return static_cast<double>(read->cpu_ns) / 1e9;
  }
};

}  // namespace

TEST_CASE("the files of /proc, also damaged ones") {
  const auto stat =
      procfs::parse_stat("7 (x) Z 1) R 1 1 1 0 -1 0 0 0 0 0 11 22 33 44 20 0 4 0 55 1 6");
  REQUIRE(stat);
  CHECK(stat->state == 'R');
  CHECK(stat->own_ticks == 33);
  CHECK(stat->children_ticks == 77);
  CHECK(stat->started == 55);
  CHECK(stat->threads == 4);
  CHECK(stat->rss_pages == 6);
  CHECK_FALSE(procfs::parse_stat(""));
  CHECK_FALSE(procfs::parse_stat("7 (x) R 1 2"));
  CHECK_FALSE(procfs::parse_stat("7 (x"));
  CHECK(procfs::parse_pss("Rss: 1 kB\nPss:\t 60 kB\n") == 60 * 1024);
  CHECK_FALSE(procfs::parse_pss("XPss: 60 kB\n"));
  CHECK_FALSE(procfs::parse_lock_limit("Max file locks   unlimited   unlimited  locks\n"));
  CHECK(procfs::parse_lock_limit("Max file locks   5   67108863  locks\n") == 67108863);
  CHECK(procfs::parse_lock_limit("Max file locks   unlimited   9223372036854775806  locks\n") ==
        9223372036854775806ULL);
  std::uint32_t state = 99;
  for (int i = 0; i < 20000; ++i) {
    std::string text = "7 (x) R 1 1 1 0 -1 0 0 0 0 0 11 22 33 44 20 0 1 0 55 1 1";
    for (int n = 0; n < 4; ++n) {
      state = state * 1664525 + 1013904223;
      text[(state >> 16) % text.size()] = static_cast<char>(state >> 8);
    }
    procfs::parse_stat(text.substr(0, (state >> 4) % text.size()));
    procfs::parse_pss(text);
    procfs::parse_lock_limit(text);
  }
}

TEST_CASE("a tree is found by its tag, and only that") {
  Measured m;
  m.tree = {10, "", 100, 110};
  m.proc.process(10, 0, 0, 110);
  m.proc.process(11, 0, 0, 100);
  m.proc.process(12, 0, 0, 111);
  m.proc.process(13, 0, 0, 99);
  m.proc.process(14, 0, 0, 0);
  m.proc.process(15, 0, 0, 105, 1, 'Z');  // Uses no memory any more.
  const auto read = m.usage.read(m.now, kRun, SUPV_SCOPE_TREE, true);
  REQUIRE(read);
  CHECK(read->processes == 2);
  CHECK(read->rss_bytes == 2 * 25 * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
  CHECK(read->pss_bytes == 2 * 60 * 1024);
  const auto one = m.usage.read(m.now, kRun, SUPV_SCOPE_PROCESS, false);
  REQUIRE(one);
  CHECK(one->processes == 1);
  CHECK(one->pss_bytes == 0);
  // At the same instant nothing is read again.
  m.proc.end(11);
  CHECK(m.usage.read(m.now, kRun, SUPV_SCOPE_TREE, false)->processes == 2);
  CHECK(m.usage.read(m.now + 1s, kRun, SUPV_SCOPE_TREE, false)->processes == 1);
}

TEST_CASE("a tree is found by its cgroup, and by those below") {
  Measured m;
  m.proc.write("cgroup/cgroup.procs", "20\n21\n");
  m.proc.write("cgroup/inner/cgroup.procs", "22\n");
  m.tree = {20, m.proc.directory + "/cgroup", 0, 0};
  for (int pid = 20; pid < 24; ++pid) m.proc.process(pid, 0);
  CHECK(m.usage.read(m.now, kRun, SUPV_SCOPE_TREE, false)->processes == 3);
}

TEST_CASE("each process is read once per instant, whatever asks") {
  Measured m;
  m.proc.write("cgroup/cgroup.procs", "20\n21\n22\n");
  m.tree = {20, m.proc.directory + "/cgroup", 0, 0};
  for (int pid = 20; pid < 23; ++pid) m.proc.process(pid, 0);
  for (int instant = 1; instant <= 3; ++instant) {
    m.now += 1s;
    for (int conditions = 0; conditions < 10; ++conditions) {
      CHECK(m.usage.read(m.now, kRun, SUPV_SCOPE_TREE, false)->threads == 9);
      CHECK(m.usage.read(m.now, kRun, SUPV_SCOPE_PROCESS, false)->threads == 3);
      CHECK(m.usage.pids(m.now, kRun, SUPV_SCOPE_TREE) == std::vector<int>{20, 21, 22});
      CHECK(m.usage.used(m.now, kRun).rss_bytes);
    }
    CHECK(m.usage.reads() == 3 * static_cast<std::uint64_t>(instant));
  }
}

TEST_CASE("a tag once seen twice is not read again, unless the pid is another process") {
  Measured m;
  m.tree = {10, "", 100, 110};
  for (int pid = 10; pid < 14; ++pid) m.proc.process(pid, 0, 0, 105);
  const auto count = [&] {
    m.now += 1s;
    const std::uint64_t before = m.usage.reads();
    const auto read = m.usage.read(m.now, kRun, SUPV_SCOPE_TREE, false);
    REQUIRE(read);
    return std::pair(read->processes, m.usage.reads() - before);
  };
  CHECK(count() == std::pair(4U, std::uint64_t{8}));
  CHECK(count() == std::pair(4U, std::uint64_t{8}));
  CHECK(count() == std::pair(4U, std::uint64_t{4}));
  m.proc.process(13, 0, 0, 500, 9000);
  CHECK(count() == std::pair(3U, std::uint64_t{5}));
}

TEST_CASE("no process, no answer") {
  Measured m;
  m.tree = {30, "", 0, 0};
  CHECK_FALSE(m.usage.read(m.now, kRun, SUPV_SCOPE_TREE, false));
  m.known = false;
  CHECK_FALSE(m.usage.read(m.now + 1s, kRun, SUPV_SCOPE_PROCESS, false));
  CHECK_FALSE(m.usage.used(m.now + 2s, kRun).rss_bytes);
}

TEST_CASE("the CPU of a tree never goes back and counts nothing twice") {
  Measured m;
  m.tree = {40, "", 7, 7};
  m.proc.process(40, 1000, 0, 7);
  CHECK(m.cpu() == doctest::Approx(10));
  // A child appears, works, ends and is waited for.
  m.proc.process(41, 200, 0, 7);
  CHECK(m.cpu() == doctest::Approx(12));
  m.proc.process(41, 250, 0, 7);
  CHECK(m.cpu() == doctest::Approx(12.5));
  m.proc.end(41);
  m.proc.process(40, 1000, 300, 7);
  CHECK(m.cpu() == doctest::Approx(13));
  // One that lived between two readings shows in its parent only.
  m.proc.process(40, 1000, 700, 7);
  CHECK(m.cpu() == doctest::Approx(17));
  // One that somebody outside waits for takes nothing away.
  m.proc.process(42, 500, 0, 7);
  CHECK(m.cpu() == doctest::Approx(22));
  m.proc.end(42);
  CHECK(m.cpu() == doctest::Approx(22));
  // The same pid, another process.
  m.proc.process(43, 900, 0, 7, 6000);
  CHECK(m.cpu() == doctest::Approx(31));
  m.proc.process(43, 10, 0, 7, 7000);
  CHECK(m.cpu() == doctest::Approx(31.1));
  // The main process itself is replaced by one of the tree that had long been there.
  m.proc.end(40);
  m.tree.pid = 43;
  CHECK(m.cpu() == doctest::Approx(31.1));
}

TEST_CASE("the CPU of the tracked process starts anew when tracking moves") {
  Measured m;
  m.tree = {50, "", 0, 0};
  m.proc.process(50, 100, 9999);
  CHECK(m.cpu(SUPV_SCOPE_PROCESS) == doctest::Approx(1));
  m.proc.process(50, 150, 9999);
  CHECK(m.cpu(SUPV_SCOPE_PROCESS) == doctest::Approx(1.5));
  m.proc.process(51, 100000);
  m.tree.pid = 51;
  CHECK(m.cpu(SUPV_SCOPE_PROCESS) == doctest::Approx(1.5));
  m.proc.process(51, 100100);
  CHECK(m.cpu(SUPV_SCOPE_PROCESS) == doctest::Approx(2.5));
}

TEST_CASE("status shows the CPU since the sample before") {
  Measured m;
  m.tree = {60, "", 0, 0};
  m.proc.process(60, 100000);
  CHECK_FALSE(m.usage.used(m.now, kRun).cpu_percent);
  CHECK(m.usage.used(m.now, kRun).rss_bytes);
  m.proc.process(60, 100010);
  CHECK_FALSE(m.usage.used(m.now + 100ms, kRun).cpu_percent);  // Too soon to say.
  m.proc.process(60, 100100);
  CHECK(m.usage.used(m.now + 2s, kRun).cpu_percent == doctest::Approx(50));
  CHECK(m.usage.used(m.now + 2100ms, kRun).cpu_percent == doctest::Approx(50));
  CHECK(m.usage.used(m.now + 4s, kRun).cpu_percent == doctest::Approx(0));
  m.usage.forget(kRun);
  CHECK_FALSE(m.usage.used(m.now + 6s, kRun).cpu_percent);
}

namespace {

/// Forks at each byte of `orders`, says so; its children only wait.
[[noreturn]] void fork_at(int orders, int answers) {
  char byte = 0;
  while (::read(orders, &byte, 1) == 1) {
    if (::fork() == 0)
      for (;;) ::pause();
    if (::write(answers, &byte, 1) != 1) break;
  }
  ::_exit(0);
}

/// A fresh cgroup below our own; empty where none can be made.
std::string fresh_cgroup() {
  std::ifstream mounts("/proc/self/mountinfo");
  std::ifstream groups("/proc/self/cgroup");
  std::string own;
  for (std::string line; std::getline(groups, line);)
    if (line.starts_with("0::")) own = line.substr(3);
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    std::istringstream words(line);
    std::string place;
    for (int i = 0; i < 5; ++i) words >> place;
    place += own + "/supv-usage-" + std::to_string(::getpid());
    if (::mkdir(place.c_str(), 0755) == 0) return place;
  }
  return {};
}

void join(const std::string& cgroup, int pid) {
  std::ofstream(cgroup + "/cgroup.procs") << pid << std::flush;
}

}  // namespace

TEST_CASE("a cgroup whose processes rest is not listed again, and whoever joins is seen at once") {
  const std::string cgroup = fresh_cgroup();
  if (cgroup.empty()) {
    MESSAGE("no cgroup can be made here");
    return;
  }
  std::array<int, 2> orders{};
  std::array<int, 2> answers{};
  REQUIRE(::pipe(orders.data()) == 0);
  REQUIRE(::pipe(answers.data()) == 0);
  const pid_t worker = ::fork();
  if (worker == 0) fork_at(orders[0], answers[1]);
  const pid_t guest = ::fork();
  if (guest == 0)
    for (;;) ::pause();
  join(cgroup, worker);
  const RunTree place{worker, cgroup, 0, 0};
  Usage usage([&place](RunId) { return &place; });
  Time now{1h};
  const auto processes = [&] {
    const auto read = usage.read(now += 1s, kRun, SUPV_SCOPE_TREE, false);
    return read ? read->processes : 0;
  };
  for (int i = 0; i < 5; ++i) CHECK(processes() == 1);
  char byte = 'x';
  REQUIRE(::write(orders[1], &byte, 1) == 1);
  REQUIRE(::read(answers[0], &byte, 1) == 1);
  CHECK(processes() == 2);
  for (int i = 0; i < 20; ++i) CHECK(processes() == 2);
  // Nobody in the cgroup runs when somebody is put into it.
  constexpr RunId kGuest{2};
  usage.expect(kGuest, kRun);
  CHECK(processes() == 2);
  join(cgroup, guest);
  CHECK(processes() == 3);
  usage.forget(kGuest);
  ::kill(guest, SIGKILL);
  ::waitpid(guest, nullptr, 0);
  CHECK(processes() == 2);
  std::ifstream list(cgroup + "/cgroup.procs");
  for (int pid = 0; list >> pid;) ::kill(pid, SIGKILL);
  ::waitpid(worker, nullptr, 0);
  const auto limit = std::chrono::steady_clock::now() + 10s;
  while (::rmdir(cgroup.c_str()) != 0 && std::chrono::steady_clock::now() < limit) ::usleep(1000);
  for (const int fd : {orders[0], orders[1], answers[0], answers[1]}) ::close(fd);
}

TEST_CASE("a real process: memory it touches, CPU it burns, children it has") {
  int ready[2];
  REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
  constexpr std::size_t kTouched = 40 << 20;
  const pid_t child = ::fork();
  if (child == 0) {
    // The hard limit marks it and what it forks, as the keeper does.
    const rlimit mark{4242, 4242};
    if (::setrlimit(RLIMIT_LOCKS, &mark) < 0) ::_exit(1);
    void* memory =
        ::mmap(nullptr, kTouched, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::memset(memory, 1, kTouched);
    const pid_t grandchild = ::fork();
    if (grandchild == 0) {
      ::setsid();
      if (::write(ready[1], "x", 1) != 1) ::_exit(1);
      for (volatile int spin = 1; spin != 0;) {
      }
    }
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  const RunTree place{child, "", 4242, 4242};
  Usage usage([&place](RunId) { return &place; });
  std::optional<supv_usage> tree;
  Time now{};
  do {
    now += 1ns;
    tree = usage.read(now, kRun, SUPV_SCOPE_TREE, true);
    REQUIRE(tree);
  } while (tree->cpu_ns < 200'000'000 && std::chrono::steady_clock::now() < deadline);
  CHECK(tree->processes == 2);
  CHECK(tree->cpu_ns >= 200'000'000);
  CHECK(tree->rss_bytes > 2 * kTouched);  // Shared, so counted twice,
  CHECK(tree->pss_bytes > kTouched);      // and here once.
  CHECK(tree->pss_bytes < kTouched + kTouched / 2);
  const auto main = usage.read(now, kRun, SUPV_SCOPE_PROCESS, false);
  REQUIRE(main);
  CHECK(main->processes == 1);
  CHECK(main->cpu_ns < 150'000'000);
  // The whole tree goes: both carry the mark.
  procfs::each_pid("/proc", [](int pid) {
    const auto limits = procfs::read_file("/proc/" + std::to_string(pid) + "/limits");
    if (limits && procfs::parse_lock_limit(*limits) == 4242) ::kill(pid, SIGKILL);
  });
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
}

namespace {

// --- conditions in the brain ---

struct Told {
  std::vector<ev::Judged> judged;
  std::vector<std::string> slow;
};

void* make_echo(const supv_host* host, char* error, std::size_t room) {
  const char* text = host->option(host->context, "text");
  if (text == nullptr || std::strcmp(text, "bad") == 0) {
    std::strncpy(error, "text: is bad", room);
    return nullptr;
  }
  return const_cast<supv_host*>(host);
}
void echo(void* self, const supv_event* event, supv_verdict* verdict) {
  const auto* host = static_cast<const supv_host*>(self);
  verdict->outcome = event->kind == SUPV_ENDED ? SUPV_FIRE : SUPV_OK;
  verdict->reason = host->option(host->context, "text");
  if (std::strcmp(verdict->reason, "slow") == 0) ::usleep(60'000);
  if (std::strcmp(verdict->reason, "later") == 0) {
    const supv_verdict said{sizeof said, SUPV_FIRE, "now", nullptr};
    host->conclude(host->context, &said);
    verdict->outcome = SUPV_PENDING;
  }
}
void forget_echo(void*) {}

constexpr supv_option kEchoOptions[] = {
    {"text", SUPV_TEXT, nullptr, "What to say.", 1, nullptr},
    {"size", SUPV_SIZE, "2KB", "A size.", 0, nullptr},
};
const supv_condition_descriptor kEcho{SUPV_CONDITION_ABI,
                                      sizeof(supv_condition_descriptor),
                                      "echo",
                                      "Says what it is told.",
                                      SUPV_POLL,
                                      kEchoOptions,
                                      2,
                                      make_echo,
                                      echo,
                                      forget_echo,
                                      0,
                                      sizeof(supv_option)};

ConditionSpec echo_spec(const std::string& text, ConditionKind kind = ConditionKind::poll) {
  ConditionSpec spec;
  spec.name = "echo";
  spec.id = "echo#1";
  spec.kind = kind;
  spec.options = {{"text", text}};
  return spec;
}

ConditionHosts::Surroundings surroundings(Told& told, Usage& usage) {
  ConditionHosts::Surroundings made;
  made.catalog = {&kEcho};
  made.usage = &usage;
  made.pid_of = [](RunId) { return 80; };
  made.now = [] { return Moment{Time(5s), 1000}; };
  made.judged = [&told](ev::Judged judged) { told.judged.push_back(std::move(judged)); };
  made.slow = [&told](std::string_view text) { told.slow.emplace_back(text); };
  return made;
}

}  // namespace

TEST_CASE("options reach a condition in base units") {
  CHECK(base_units(SUPV_SIZE, "300MB") == "314572800");
  CHECK(base_units(SUPV_DURATION, "1h30m") == "5400000");
  CHECK(base_units(SUPV_PERCENT, "50%") == "50");
  CHECK(base_units(SUPV_PERCENT, "12.5%") == "12.5");
  CHECK(base_units(SUPV_TEXT, "300MB") == "300MB");
  CHECK(base_units(SUPV_SIZE, "many") == "many");
}

TEST_CASE("each question gets exactly one verdict, whatever the condition does") {
  Told told;
  Usage usage([](RunId) { return nullptr; });
  ConditionHosts hosts(surroundings(told, usage));
  auto watch = std::make_shared<WatchSpec>();
  watch->name = "web";
  ConditionSpec missing = echo_spec("x");
  missing.name = "no_such_condition";
  ConditionSpec kv = echo_spec("x", ConditionKind::change);
  watch->conditions = {
      echo_spec("hello\n"), echo_spec("bad"),  echo_spec("end", ConditionKind::exit), missing, kv,
      echo_spec("slow"),    echo_spec("later")};
  hosts.arm({kRun, "web", watch, {0, 1, 2, 3, 4, 5, 6}, kRun});
  CHECK(hosts.armed() == 1);
  const auto asked = [&](std::uint32_t index) {
    told.judged.clear();
    hosts.poll({kRun, index});
    REQUIRE(told.judged.size() == 1);
    CHECK(told.judged[0].run == kRun);
    CHECK(told.judged[0].condition == index);
    return told.judged[0];
  };
  CHECK(asked(0).verdict == Verdict::no);
  CHECK(asked(0).reason == "hello\\n");
  CHECK(asked(1).verdict == Verdict::unknown);
  CHECK(asked(1).reason == "text: is bad");
  CHECK(asked(3).verdict == Verdict::unknown);
  CHECK(asked(3).reason == "there is no condition no_such_condition");
  CHECK(told.slow.empty());
  CHECK(asked(5).verdict == Verdict::no);
  REQUIRE(told.slow.size() == 1);
  CHECK(told.slow[0].rfind("condition web: echo#1 took ", 0) == 0);
  CHECK(asked(6).verdict == Verdict::yes);
  told.judged.clear();
  hosts.tell_end({kRun, 2, {ExitStatus::How::signal, 9, false}});
  REQUIRE(told.judged.size() == 1);
  CHECK(told.judged[0].verdict == Verdict::yes);
  // A timeline's condition, one that is not there, and a run that is over say nothing.
  told.judged.clear();
  hosts.poll({kRun, 4});
  hosts.poll({kRun, 99});
  hosts.poll({RunId{2}, 0});
  hosts.disarm({kRun});
  hosts.poll({kRun, 0});
  CHECK(told.judged.empty());
  CHECK(hosts.armed() == 0);
}
