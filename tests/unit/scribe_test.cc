#include "scribe/scribe.h"

#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "scribe/scribe_channel.h"

using namespace supv;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds patience = 10s) {
  const auto end = Clock::now() + patience;
  while (!condition()) {
    if (Clock::now() > end) return false;
    poll(nullptr, 0, 2);
  }
  return true;
}

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Folder {
  Folder() {
    char name[] = "/tmp/supv-scribe-XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
  std::string path;
};

/// A FIFO held open read-write, as a worker holds it.
struct Pipe {
  explicit Pipe(std::string at) : path(std::move(at)) {
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    fd.reset(open(path.c_str(), O_RDWR | O_CLOEXEC));
    REQUIRE(fd);
  }
  void say(const std::string& text) const {
    REQUIRE(write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  std::string path;
  Fd fd;
};

constexpr const char* kFreshScribe = "SUPV_TEST_FRESH_SCRIBE";

/// A scribe in a process of its own, and our end of its channel. A `fresh` one shares no memory
/// with this process, so that its own can be measured.
class Role {
 public:
  explicit Role(scribe::Paces paces = {}, const std::function<void()>& before = {},
                bool fresh = false) {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    pid = fork();
    if (pid == 0) {
      close(ends[0]);
      umask(0);
      if (before) before();
      if (fresh) {
        dup2(ends[1], 3);
        setenv(kFreshScribe, "1", 1);
        execl("/proc/self/exe", "scribe", "-tc=the scribe in a fresh process", nullptr);
        _exit(127);
      }
      scribe::Scribe(Fd(ends[1]), paces).run();
      _exit(0);
    }
    close(ends[1]);
    channel.emplace(Fd(ends[0]));
  }
  ~Role() {
    if (pid > 0) kill(pid, SIGKILL);
    wait_end();
  }
  int wait_end() {
    int status = -1;
    if (pid > 0) waitpid(pid, &status, 0);
    pid = -1;
    return status;
  }
  bool ended() {
    int status = 0;
    if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid) pid = -1;
    return pid < 0;
  }
  pid_t pid = -1;
  std::optional<ScribeChannel> channel;
};

const std::uint32_t kMe = geteuid();

}  // namespace

TEST_CASE("bytes reach the log, whose folders are made, with the promised modes") {
  Folder folder;
  Pipe pipe(folder / "a.out");
  const std::string log = folder / "deep/er/a.log";
  Role role;
  REQUIRE(role.channel->follow(1, pipe.path, log, kMe, getegid()));
  pipe.say("one\n");
  REQUIRE(eventually([&] { return content(log) == "one\n"; }));
  pipe.say("two\n");
  REQUIRE(eventually([&] { return content(log) == "one\ntwo\n"; }));
  struct stat status {};
  REQUIRE(stat(log.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0640);
  REQUIRE(stat((folder / "deep").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0750);
}

TEST_CASE("what is refused is not sent") {
  Folder folder;
  Role role;
  CHECK_FALSE(role.channel->follow(1, folder / "x", "relative.log", 0, 0));
  CHECK_FALSE(role.channel->follow(1, std::string(2000, 'x'), "/tmp/x.log", 0, 0));
  CHECK_FALSE(role.channel->follow(scribe::kLastId + 1, folder / "x", "/tmp/x.log", 0, 0));
  // A FIFO that does not exist is reported, and the scribe lives on.
  CHECK(role.channel->follow(7, folder / "none", folder / "x.log", 0, 0));
  std::vector<scribe::Lost> news;
  REQUIRE(eventually([&] {
    for (const auto& lost : role.channel->receive()) news.push_back(lost);
    return !news.empty();
  }));
  CHECK(news[0].id == 7);
  CHECK(news[0].error == ENOENT);
  CHECK(role.channel->alive());
}

TEST_CASE("malformed messages do no harm") {
  Folder folder;
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  const pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    scribe::Scribe(Fd(ends[1]), {}).run();
    _exit(0);
  }
  close(ends[1]);
  Pipe pipe(folder / "f");
  std::string junk(sizeof(scribe::Follow), '\xff');
  for (std::size_t size = 1; size <= junk.size(); size += 97) {
    REQUIRE(send(ends[0], junk.data(), size, 0) > 0);
  }
  scribe::Follow unterminated{};
  std::memset(&unterminated, 'x', sizeof unterminated);
  unterminated.kind = scribe::Kind::follow;
  REQUIRE(send(ends[0], &unterminated, sizeof unterminated, 0) > 0);
  std::optional<ScribeChannel> channel;
  channel.emplace(Fd(ends[0]));
  REQUIRE(channel->follow(1, pipe.path, folder / "log", kMe, 0));
  pipe.say("fine\n");
  CHECK(eventually([&] { return content(folder / "log") == "fine\n"; }));
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

TEST_CASE("two FIFOs may share a log, and each keeps its order") {
  Folder folder;
  Pipe out(folder / "a");
  Pipe err(folder / "b");
  Role role;
  role.channel->follow(1, out.path, folder / "log", kMe, 0);
  role.channel->follow(2, err.path, folder / "log", kMe, 0);
  for (int i = 0; i < 500; ++i) {
    out.say("o" + std::to_string(i) + "\n");
    err.say("e" + std::to_string(i) + "\n");
  }
  REQUIRE(eventually([&] {
    const std::string text = content(folder / "log");
    return std::count(text.begin(), text.end(), '\n') == 1000;
  }));
  std::istringstream lines(content(folder / "log"));
  int next[2] = {0, 0};
  for (std::string line; std::getline(lines, line);) {
    int& expected = next[line[0] == 'e' ? 1 : 0];
    CHECK(line.substr(1) == std::to_string(expected));
    ++expected;
  }
}

TEST_CASE("killed 1500 times in full flow it loses and doubles nothing") {
  Folder folder;
  const std::string log = folder / "log";
  Pipe pipe(folder / "f");
  constexpr int kKills = 1500;
  int stop[2];
  REQUIRE(pipe2(stop, O_CLOEXEC) == 0);
  int total[2];
  REQUIRE(pipe2(total, O_CLOEXEC) == 0);
  const pid_t writer = fork();
  if (writer == 0) {
    close(stop[1]);
    pollfd end{stop[0], POLLIN, 0};
    long count = 0;
    const timespec pause{0, 20000};  // Keeps the log at some megabytes.
    while (poll(&end, 1, 0) == 0) {
      const std::string line = "line " + std::to_string(count++) + " of the worker\n";
      if (count % 20 == 0) nanosleep(&pause, nullptr);
      if (write(pipe.fd.get(), line.data(), line.size()) < 0) _exit(1);
    }
    _exit(write(total[1], &count, sizeof count) == sizeof count ? 0 : 1);
  }
  unsigned random = 7;
  for (int i = 0; i < kKills; ++i) {
    Role role;
    role.channel->follow(1, pipe.path, log, kMe, 0);
    random = random * 1103515245 + 12345;
    // Not a wait for anything: the kill is to come at any moment of its work.
    timespec moment{0, static_cast<long>(random % 2000) * 1000};
    nanosleep(&moment, nullptr);
  }
  close(stop[1]);
  Role last;
  last.channel->follow(1, pipe.path, log, kMe, 0);
  long count = 0;
  REQUIRE(read(total[0], &count, sizeof count) == sizeof count);
  waitpid(writer, nullptr, 0);
  const std::string tail = "line " + std::to_string(count - 1) + " of the worker\n";
  REQUIRE(eventually(
      [&] {
        const std::string text = content(log);
        return text.size() >= tail.size() &&
               text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
      },
      30s));
  std::ifstream lines(log);
  long expected = 0;
  long wrong = 0;
  for (std::string line; std::getline(lines, line); ++expected) {
    if (line != "line " + std::to_string(expected) + " of the worker") ++wrong;
  }
  CHECK(expected == count);
  CHECK(wrong == 0);
  CHECK(count > kKills);
  MESSAGE(count << " lines over " << kKills << " kills");
  close(stop[0]);
  close(total[0]);
  close(total[1]);
}

TEST_CASE("goes on in a new file after a rename, at once after reopen") {
  Folder folder;
  const std::string log = folder / "log";
  Pipe pipe(folder / "f");
  Role role;
  role.channel->follow(1, pipe.path, log, kMe, 0);
  pipe.say("old\n");
  REQUIRE(eventually([&] { return content(log) == "old\n"; }));
  std::filesystem::rename(log, log + ".1");
  // The scribe may still be in the burst that wrote "old": then the first lines go with it.
  std::string said = "old\n";
  REQUIRE(eventually([&] {
    pipe.say("new\n");
    said += "new\n";
    return std::filesystem::exists(log);
  }));
  REQUIRE(eventually([&] { return content(log + ".1") + content(log) == said; }));
  CHECK(content(log).size() >= 4);

  std::filesystem::rename(log, log + ".2");
  role.channel->reopen();
  REQUIRE(eventually([&] { return std::filesystem::exists(log); }));
  std::filesystem::remove(log);
  REQUIRE(eventually([&] {
    pipe.say("after removal\n");
    return std::filesystem::exists(log);
  }));
  REQUIRE(eventually([&] { return !content(log).empty(); }));
}

TEST_CASE("a log that was emptied goes on at its start") {
  Folder folder;
  const std::string log = folder / "log";
  Pipe pipe(folder / "f");
  Role role;
  role.channel->follow(1, pipe.path, log, kMe, 0);
  pipe.say("a long line that will be cut off by copytruncate\n");
  REQUIRE(eventually([&] { return !content(log).empty(); }));
  REQUIRE(truncate(log.c_str(), 0) == 0);
  // Here too: the burst under way keeps its place, the next one finds the end anew.
  CHECK(eventually([&] {
    pipe.say("short\n");
    const std::string text = content(log);
    REQUIRE(truncate(log.c_str(), 0) == 0);
    return text.rfind("short\n", 0) == 0;
  }));
}

TEST_CASE("a full disk drops counted bytes only, never blocks the worker, and is survived") {
  Folder folder;
  const std::string disk = folder / "disk";
  REQUIRE(mkdir(disk.c_str(), 0755) == 0);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64k") != 0) {
    MESSAGE("needs the right to mount a tmpfs");
    return;
  }
  {
    Pipe pipe(folder / "f");
    Role role({50ms, 100ms, 50ms});
    role.channel->follow(9, pipe.path, disk + "/log", kMe, 0);
    const std::string block(4000, 'x');
    auto longest = Clock::duration::zero();
    for (int i = 0; i < 500; ++i) {  // 2 MB to a disk of 64 KB
      const auto before = Clock::now();
      pipe.say(block);
      longest = std::max(longest, Clock::now() - before);
    }
    CHECK(longest < 2s);
    std::uint64_t lost = 0;
    int error = 0;
    const auto listen = [&] {
      for (const auto& news : role.channel->receive()) {
        CHECK(news.id == 9);
        lost += news.bytes;
        if (news.error != 0) error = news.error;
      }
    };
    REQUIRE(eventually([&] {
      listen();
      return lost > 1000000;
    }));
    CHECK(error == ENOSPC);
  }
  umount2(disk.c_str(), MNT_DETACH);
}

TEST_CASE("after a full disk every byte is either in the log or counted") {
  Folder folder;
  const std::string disk = folder / "disk";
  REQUIRE(mkdir(disk.c_str(), 0755) == 0);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64k") != 0) {
    MESSAGE("needs the right to mount a tmpfs");
    return;
  }
  {
    std::ofstream ballast(disk + "/ballast");
    ballast << std::string(60000, 'b');
    ballast.close();
    Pipe pipe(folder / "f");
    Role role({20ms, 20ms, 50ms});
    role.channel->follow(9, pipe.path, disk + "/log", kMe, 0);
    std::uint64_t written = 0;
    std::uint64_t lost = 0;
    const auto listen = [&] {
      for (const auto& news : role.channel->receive()) lost += news.bytes;
      return lost;
    };
    for (int i = 0; i < 400; ++i) {
      const std::string line = std::string(1000, 'x') + "\n";
      pipe.say(line);
      written += line.size();
      listen();
    }
    REQUIRE(eventually([&] { return listen() > 0; }));
    REQUIRE(mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=4m") == 0);
    pipe.say("the end\n");
    written += 8;
    CHECK(eventually([&] {
      const std::string text = content(disk + "/log");
      return text.size() > 8 && text.compare(text.size() - 8, 8, "the end\n") == 0;
    }));
    CHECK(eventually([&] { return listen() + content(disk + "/log").size() == written; }));
    CHECK(lost > 0);
    MESSAGE(written << " bytes written, " << lost << " dropped and counted");
  }
  umount2(disk.c_str(), MNT_DETACH);
}

TEST_CASE("a target that is no regular file gets everything too") {
  Folder folder;
  Pipe pipe(folder / "f");
  int out[2];
  REQUIRE(pipe2(out, O_CLOEXEC) == 0);
  Role role({50ms, 100ms, 50ms}, [&] { dup2(out[1], STDOUT_FILENO); });
  role.channel->follow(1, pipe.path, "/dev/stdout", kMe, 0);
  pipe.say("to our own output\n");
  char text[64] = {};
  CHECK(read(out[0], text, sizeof text) == 18);
  CHECK(std::string(text) == "to our own output\n");
  Pipe nothing(folder / "g");
  role.channel->follow(2, nothing.path, "/dev/null", kMe, 0);
  for (int i = 0; i < 1000; ++i) nothing.say(std::string(1000, 'x'));  // Blocks if nobody reads.
  close(out[0]);
  close(out[1]);
}

TEST_CASE("an append-only standard output keeps the bytes") {
  Folder folder;
  Pipe pipe(folder / "f");
  const std::string log = folder / "appended";
  Role role({},
            [&] { dup2(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), STDOUT_FILENO); });
  role.channel->follow(1, pipe.path, "/dev/stdout", kMe, 0);
  for (int i = 0; i < 100; ++i) pipe.say(std::to_string(i) + "\n");
  CHECK(eventually([&] { return content(log).find("\n99\n") != std::string::npos; }));
}

TEST_CASE("stays after its supvd until the writers have ended, then ends") {
  Folder folder;
  Role role({50ms, 100ms, 20ms});
  std::optional<Pipe> pipe;
  pipe.emplace(folder / "f");
  role.channel->follow(1, pipe->path, folder / "log", kMe, 0);
  pipe->say("before\n");
  REQUIRE(eventually([&] { return content(folder / "log") == "before\n"; }));
  role.channel.reset();
  CHECK_FALSE(eventually([&] { return role.ended(); }, 200ms));
  pipe->say("after\n");
  CHECK(eventually([&] { return content(folder / "log") == "before\nafter\n"; }));
  pipe.reset();
  CHECK(eventually([&] { return role.ended(); }));
}

TEST_CASE("ends although a log can never be written, once nobody writes") {
  Folder folder;
  Role role({20ms, 20ms, 20ms});
  REQUIRE(mkfifo((folder / "f").c_str(), 0600) == 0);
  role.channel->follow(1, folder / "f", "/proc/no/such.log", kMe, 0);
  role.channel.reset();
  CHECK(eventually([&] { return role.ended(); }));
}

TEST_CASE("a successor replaces a scribe that stayed") {
  Folder folder;
  Pipe pipe(folder / "f");
  Role old({50ms, 100ms, 20ms});
  old.channel->follow(1, pipe.path, folder / "log", kMe, 0);
  pipe.say("1\n");
  REQUIRE(eventually([&] { return content(folder / "log") == "1\n"; }));
  old.channel.reset();
  Role next;
  next.channel->follow(1, pipe.path, folder / "log", kMe, 0);
  CHECK(eventually([&] { return old.ended(); }));
  pipe.say("2\n");
  CHECK(eventually([&] { return content(folder / "log") == "1\n2\n"; }));
}

TEST_CASE("forget ends with the last writer, TERM writes what is there") {
  Folder folder;
  Role role;  // First: its process must not inherit our end of the FIFO.
  std::optional<Pipe> pipe;
  pipe.emplace(folder / "f");
  role.channel->follow(1, pipe->path, folder / "log", kMe, 0);
  role.channel->forget(1);
  pipe->say("a grandchild still speaks\n");
  CHECK(eventually([&] { return content(folder / "log") == "a grandchild still speaks\n"; }));
  const auto open_files = [&] {
    const std::filesystem::directory_iterator all("/proc/" + std::to_string(role.pid) + "/fd");
    return std::distance(begin(all), end(all));
  };
  const auto before = open_files();
  pipe.reset();
  CHECK(eventually([&] { return open_files() == before - 2; }));  // FIFO and log.

  Pipe other(folder / "g");
  role.channel->follow(2, other.path, folder / "other", kMe, 0);
  REQUIRE(eventually([&] { return std::filesystem::exists(folder / "other"); }));
  other.say("last words\n");
  kill(role.pid, SIGTERM);
  CHECK(role.wait_end() == 0);
  CHECK(content(folder / "other") == "last words\n");
}

TEST_CASE("a worker cannot make root write where he could not") {
  if (geteuid() != 0) return;
  Folder folder;
  REQUIRE(chmod(folder.path.c_str(), 0755) == 0);
  const std::string home = folder / "home";
  const std::string etc = folder / "etc";
  REQUIRE(mkdir(home.c_str(), 0755) == 0);
  REQUIRE(mkdir(etc.c_str(), 0755) == 0);
  constexpr std::uint32_t kUser = 12345;
  REQUIRE(chown(home.c_str(), kUser, kUser) == 0);
  std::ofstream(etc + "/passwd") << "root\n";
  Role role;
  Pipe pipe(folder / "f");

  SUBCASE("by a symlink in place of the file") {
    REQUIRE(symlink((etc + "/passwd").c_str(), (home + "/app.log").c_str()) == 0);
    role.channel->follow(1, pipe.path, home + "/app.log", kUser, kUser);
  }
  SUBCASE("by a symlink in place of the folder") {
    REQUIRE(symlink(etc.c_str(), (home + "/log").c_str()) == 0);
    REQUIRE(lchown((home + "/log").c_str(), kUser, kUser) == 0);
    role.channel->follow(1, pipe.path, home + "/log/passwd", kUser, kUser);
  }
  SUBCASE("by a hard link") {
    REQUIRE(link((etc + "/passwd").c_str(), (home + "/app.log").c_str()) == 0);
    role.channel->follow(1, pipe.path, home + "/app.log", kUser, kUser);
  }
  pipe.say("evil\n");
  std::vector<scribe::Lost> news;
  CHECK(eventually([&] {
    for (const auto& lost : role.channel->receive()) news.push_back(lost);
    return !news.empty();
  }));
  CHECK(content(etc + "/passwd") == "root\n");

  role.channel->follow(2, pipe.path, home + "/own/app.log", kUser, kUser);
  CHECK(eventually([&] { return std::filesystem::exists(home + "/own/app.log"); }));
  struct stat status {};
  REQUIRE(stat((home + "/own/app.log").c_str(), &status) == 0);
  CHECK(status.st_uid == kUser);
  CHECK(status.st_gid == kUser);
}

TEST_CASE("the scribe in a fresh process") {
  if (getenv(kFreshScribe) != nullptr) scribe::Scribe(Fd(3), {}).run();
}

TEST_CASE("a followed FIFO costs at most 200 bytes, and a scribe with nothing to carry sleeps") {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 4096) return;  // Three descriptors for each FIFO.
  Folder folder;
  Role role({}, {}, true);
  const auto field = [&](const std::string& file, const std::string& name) {
    std::istringstream lines(content("/proc/" + std::to_string(role.pid) + "/" + file));
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind(name, 0) == 0) return std::stol(line.substr(name.size() + 1));
    }
    return -1L;
  };
  std::vector<Pipe> pipes;
  const int many = 1300;
  const auto follow_until = [&](int count) {
    for (int i = static_cast<int>(pipes.size()); i < count; ++i) {
      pipes.emplace_back(folder / ("f" + std::to_string(i)));
      role.channel->follow(static_cast<std::uint64_t>(i), pipes.back().path,
                           folder / ("some-worker-" + std::to_string(i) + ".log"), kMe, 0);
    }
    REQUIRE(eventually([&] {
      role.channel->flush();
      return !role.channel->pending();
    }));
    pipes.back().say("x\n");
    const std::string last = folder / ("some-worker-" + std::to_string(count - 1) + ".log");
    REQUIRE(eventually([&] { return content(last) == "x\n"; }));
    return field("smaps_rollup", "Private_Dirty:");
  };
  // The first few hundred fill what start-up left free in the heap.
  follow_until(200);
  const long before = follow_until(300);
  const long after = follow_until(many);
  const long each = (after - before) * 1024 / (many - 300);
  MESSAGE(each << " bytes for each FIFO");
#ifndef __SANITIZE_ADDRESS__  // It keeps what is freed.
  CHECK(each <= 200);
#endif
  long switches = 0;
  REQUIRE(eventually([&] {  // It may still be on its way to sleep.
    const long earlier = std::exchange(switches, field("status", "voluntary_ctxt_switches:"));
    poll(nullptr, 0, 20);
    return switches == earlier && switches == field("status", "voluntary_ctxt_switches:");
  }));
  // Runs that end and begin are no news while they say nothing.
  for (int i = 0; i < 20; ++i) {
    pipes.back().fd.reset();
    pipes.back().fd.reset(open(pipes.back().path.c_str(), O_RDWR | O_CLOEXEC));
  }
  // Half a second in which nothing may happen; there is no event to wait for.
  poll(nullptr, 0, 500);
  CHECK(field("status", "voluntary_ctxt_switches:") == switches);
}
