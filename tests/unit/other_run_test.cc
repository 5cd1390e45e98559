// Whom another supervisor's pid file names, and when that is believed.
#include "brain/other_run.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/fd.h"
#include "keeper/proc.h"

using namespace supv;

namespace {

struct Dir {
  Dir() {
    char path[] = "/tmp/other_run_XXXXXX";
    REQUIRE(::mkdtemp(path) != nullptr);
    name = path;
  }
  Dir(const Dir&) = delete;
  Dir& operator=(const Dir&) = delete;
  ~Dir() {
    std::error_code ignored;
    std::filesystem::remove_all(name, ignored);
  }
  std::string name;
};

/// A process that waits for its end.
struct Process {
  explicit Process(uid_t uid = 0, bool tagged = false) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    Fd ours(ends[0]);
    Fd theirs(ends[1]);
    pid = ::fork();
    if (pid == 0) {
      const rlimit limit{4711, 4711};
      bool good = !tagged || ::setrlimit(RLIMIT_LOCKS, &limit) == 0;
      good = good && (uid == 0 ||
                      (::setgroups(0, nullptr) == 0 && ::setgid(uid) == 0 && ::setuid(uid) == 0));
      if (!good || ::write(theirs.get(), "r", 1) != 1) ::_exit(1);
      while (true) ::pause();
    }
    theirs.reset();
    char ready = 0;
    REQUIRE(::read(ours.get(), &ready, 1) == 1);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    end();
    reap();
  }
  /// Leaves a zombie.
  void end() {
    if (pid == 0) return;
    ::kill(pid, SIGKILL);
    siginfo_t news{};
    ::waitid(P_PID, static_cast<id_t>(pid), &news, WEXITED | WNOWAIT);
  }
  void reap() {
    if (pid != 0) ::waitpid(pid, nullptr, 0);
    pid = 0;
  }
  pid_t pid = 0;
};

struct Bench {
  Dir dir;
  ProcessSpec process;
  std::string why;
  Bench() { process.dir = dir.name; }
  void write(const std::string& text) { std::ofstream(dir.name + "/god.pid") << text; }
  void write(pid_t pid) { write(std::to_string(pid) + "\n"); }
  /// How old the file says it is.
  void age(int seconds) {
    timespec times[2]{};
    ::clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= seconds;
    times[1] = times[0];
    REQUIRE(::utimensat(AT_FDCWD, (dir.name + "/god.pid").c_str(), times, 0) == 0);
  }
  std::optional<OtherRun> find() {
    why.clear();
    return find_other(process, "god.pid", why);
  }
  std::string refusal(pid_t pid, const std::string& reason) const {
    return "pid file god.pid names " + std::to_string(pid) + ", which " + reason + "; left alone";
  }
};

std::int64_t wall_ms() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
}

}  // namespace

TEST_CASE("the process that the file was written for is found, with its start") {
  Bench bench;
  const std::int64_t before = wall_ms();
  const Process other;
  bench.write(other.pid);
  for (const bool absolute : {false, true}) {
    CAPTURE(absolute);
    std::string why;
    const auto found =
        find_other(bench.process, absolute ? bench.dir.name + "/god.pid" : "god.pid", why);
    CAPTURE(why);
    REQUIRE(found);
    CHECK(found->pid == other.pid);
    proc::Stat stat;
    REQUIRE(proc::read_stat(other.pid, stat));
    CHECK(found->start_ticks == stat.start_time);
    CHECK(found->started.wall_ms >= before - 1000);
    CHECK(found->started.wall_ms <= wall_ms() + 1000);
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const std::int64_t age_ms =
        now.tv_sec * 1000 + now.tv_nsec / 1'000'000 -
        std::chrono::duration_cast<Duration>(found->started.time.time_since_epoch()).count();
    CHECK(age_ms >= -1000);
    CHECK(age_ms < 60'000);
  }
}

TEST_CASE("a process that began after its file was written is somebody else") {
  Bench bench;
  const Process other;
  bench.write(other.pid);
  bench.age(30);
  CHECK_FALSE(bench.find());
  CHECK(bench.why == bench.refusal(other.pid, "began after the file was written"));
  bench.age(-30);  // a file from the future says nothing against it
  CHECK(bench.find());
}

TEST_CASE("no file, and a process that has ended, are nobody, and nothing to speak of") {
  Bench bench;
  CHECK_FALSE(bench.find());
  CHECK(bench.why == "");
  Process other;
  bench.write(other.pid);
  REQUIRE(bench.find());
  other.end();
  CHECK_FALSE(bench.find());  // a zombie
  CHECK(bench.why == "");
  other.reap();
  CHECK_FALSE(bench.find());
  CHECK(bench.why == "");
}

TEST_CASE("a file that says no pid is spoken of") {
  Bench bench;
  for (const std::string text : {"", "\n", "pid", "12x", "-5", "0", "1", "99999999999",
                                 "\x01\x02\xff garbage that goes on and on and on and on"}) {
    CAPTURE(text);
    bench.write(text);
    CHECK_FALSE(bench.find());
    CHECK(bench.why == "pid file god.pid says no pid; nothing to take over");
  }
  std::filesystem::remove(bench.dir.name + "/god.pid");
  REQUIRE(::mkfifo((bench.dir.name + "/god.pid").c_str(), 0600) == 0);
  CHECK_FALSE(bench.find());  // and does not hang
  CHECK(bench.why == "pid file god.pid says no pid; nothing to take over");
}

TEST_CASE("another user's process is left alone") {
  if (::geteuid() != 0) return;
  Bench bench;
  const Process theirs(12345);
  bench.write(theirs.pid);
  CHECK_FALSE(bench.find());
  CHECK(bench.why == bench.refusal(theirs.pid, "is another user's"));
  bench.process.uid = "12345";
  bench.process.gid = "12345";
  CHECK(bench.find());
  const Process ours;
  bench.write(ours.pid);
  CHECK_FALSE(bench.find());
  CHECK(bench.why == bench.refusal(ours.pid, "is another user's"));
}

TEST_CASE("a run of a supvd is left alone") {
  Bench bench;
  const Process run(0, true);
  bench.write(run.pid);
  CHECK_FALSE(bench.find());
  CHECK(bench.why == bench.refusal(run.pid, "another supvd runs"));
}
