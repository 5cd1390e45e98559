#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <thread>

#include "base/fd.h"
#include "core/protocol.h"

using namespace supv;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

struct Folder {
  Folder() {
    char name[] = "/tmp/supv-cli-XXXXXX";
    path = mkdtemp(name);
    std::filesystem::permissions(path, std::filesystem::perms(0755));
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
  std::string path;
};

/// One run of supvctl.
struct Ran {
  int code = -1;
  std::string out;
  std::string err;
  std::chrono::milliseconds took{0};
};

/// supvctl while it runs.
class Running {
 public:
  explicit Running(std::vector<std::string> arguments, uid_t uid = geteuid()) {
    int out[2];
    int err[2];
    REQUIRE(pipe2(out, O_CLOEXEC) == 0);
    REQUIRE(pipe2(err, O_CLOEXEC) == 0);
    arguments.insert(arguments.begin(), "supvctl");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(out[1], 1);
      dup2(err[1], 2);
      if (uid != geteuid() && setuid(uid) != 0) _exit(126);
      execv(SUPV_SUPVCTL, argv.data());
      _exit(127);
    }
    close(out[1]);
    close(err[1]);
    out_.reset(out[0]);
    err_.reset(err[0]);
  }
  ~Running() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  pid_t pid() const { return pid_; }
  /// Reads output until `text` is in it.
  bool says(const std::string& text, std::chrono::milliseconds patience = 10s) {
    const auto end = Clock::now() + patience;
    while (seen_.find(text) == std::string::npos && Clock::now() < end) {
      pollfd ready{out_.get(), POLLIN, 0};
      char bytes[4096];
      if (poll(&ready, 1, 50) != 1) continue;
      const ssize_t size = read(out_.get(), bytes, sizeof bytes);
      if (size <= 0) break;
      seen_.append(bytes, static_cast<std::size_t>(size));
    }
    return seen_.find(text) != std::string::npos;
  }
  Ran finish() {
    Ran ran;
    ran.out = seen_ + rest(out_);
    ran.err = rest(err_);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    ran.took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun_);
    return ran;
  }

 private:
  static std::string rest(const Fd& fd) {
    std::string text;
    char bytes[4096];
    for (ssize_t size; (size = read(fd.get(), bytes, sizeof bytes)) > 0;) {
      text.append(bytes, static_cast<std::size_t>(size));
    }
    return text;
  }
  Clock::time_point begun_ = Clock::now();
  pid_t pid_ = -1;
  Fd out_;
  Fd err_;
  std::string seen_;
};

Ran run(std::vector<std::string> arguments, uid_t uid = geteuid()) {
  return Running(std::move(arguments), uid).finish();
}

/// Says what a scripted supvd does with one call: lines to send, or nothing to close the
/// connection without a word; "silence" keeps it open.
using Script = std::function<std::vector<std::string>(const protocol::Call& call, int connection)>;
const std::string kSilence = "silence";

/// A supvd made of a script, on a socket of its own.
class FakeSupvd {
 public:
  FakeSupvd(std::string path, Script script) : path_(std::move(path)), script_(std::move(script)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listener_.get(), 16) == 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeSupvd() {
    stop_ = true;
    thread_.join();
  }
  std::vector<protocol::Call> calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  const std::string& path() const { return path_; }

 private:
  void serve() {
    std::vector<Fd> open;
    for (int connection = 0; !stop_;) {
      pollfd ready{listener_.get(), POLLIN, 0};
      if (poll(&ready, 1, 10) != 1) continue;
      Fd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (converse(client, connection++)) open.push_back(std::move(client));
    }
  }
  /// True when the connection is to stay open in silence.
  bool converse(const Fd& client, int connection) {
    std::string input;
    while (!stop_) {
      pollfd ready{client.get(), POLLIN, 0};
      if (poll(&ready, 1, 10) != 1) continue;
      char bytes[65536];
      const ssize_t size = read(client.get(), bytes, sizeof bytes);
      if (size <= 0) return false;
      input.append(bytes, static_cast<std::size_t>(size));
      for (std::size_t end; (end = input.find('\n')) != std::string::npos;) {
        const auto parsed = protocol::parse_call(input.substr(0, end));
        input.erase(0, end + 1);
        if (!std::holds_alternative<protocol::Call>(parsed)) return false;
        const auto& call = std::get<protocol::Call>(parsed);
        {
          const std::lock_guard lock(mutex_);
          calls_.push_back(call);
        }
        const std::vector<std::string> lines = script_(call, connection);
        if (lines.empty()) return false;
        for (const std::string& line : lines) {
          if (line == kSilence) return true;
          if (send(client.get(), line.data(), line.size(), MSG_NOSIGNAL) < 0) return false;
        }
      }
    }
    return false;
  }

  std::string path_;
  Script script_;
  Fd listener_;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  std::vector<protocol::Call> calls_;
  std::thread thread_;
};

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

WatchReport watch(const std::string& name, const std::string& state) {
  WatchReport report;
  report.name = name;
  report.state = state;
  report.desired = "up";
  report.health = "unknown";
  return report;
}

Report with_watches(std::vector<WatchReport> watches) {
  Report report;
  report.watches = std::move(watches);
  report.consul = "unused";
  return report;
}

Report outcome(int code, std::vector<Outcome> outcomes, std::string text = {}) {
  Report report;
  report.code = code;
  report.outcomes = std::move(outcomes);
  report.text = std::move(text);
  return report;
}

std::string reply(const protocol::Call& call, const Report& report) {
  return protocol::reply_line(call, report, {1, "0.1.0", 5, "unused", ""}, {});
}

Script always(const Report& report) {
  return [report](const protocol::Call& call, int) {
    return std::vector<std::string>{reply(call, report)};
  };
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a command line that cannot be meant is refused with 2 and a suggestion") {
  const Ran nothing = run({"stop"});
  CHECK(nothing.code == 2);
  CHECK(contains(nothing.err, "--all"));
  const Ran slip = run({"--json", "statsu"});
  CHECK(slip.code == 2);
  CHECK(contains(slip.err, "did you mean status?"));
  CHECK(run({"restart", "--timeout", "5", "x"}).code == 2);
  CHECK(run({"restart", "--all", "x"}).code == 2);
  CHECK(run({"signal", "NOSUCH", "x"}).code == 2);
  CHECK(run({"load", "--missing", "explode"}).code == 2);
  CHECK(run({"kv", "get"}).code == 2);
  CHECK(run({}).code == 2);
  CHECK(run({"--help"}).code == 0);
  CHECK(run({"--version"}).out == "supvctl 0.1.0\n");
}

TEST_CASE("exit 7 says whether supvd is down, elsewhere or forbids") {
  Folder folder;
  const Ran down = run({"--socket", folder / "none.sock", "status"});
  CHECK(down.code == 7);
  CHECK(contains(down.err, "not running"));
  CHECK(contains(down.err, folder / "none.sock"));

  std::filesystem::create_directory(folder / "supv");
  FakeSupvd supvd(folder / "supv/supvd.sock", always(with_watches({})));
  setenv("XDG_RUNTIME_DIR", folder.path.c_str(), 1);
  const Ran elsewhere = run({"--socket", folder / "none.sock", "status"});
  unsetenv("XDG_RUNTIME_DIR");
  CHECK(contains(elsewhere.err, "--socket " + folder.path + "/supv/supvd.sock"));

  if (geteuid() == 0) {
    REQUIRE(chmod(supvd.path().c_str(), 0600) == 0);
    const Ran forbidden = run({"--socket", supvd.path(), "status"}, 65534);
    CHECK(forbidden.code == 7);
    CHECK(contains(forbidden.err, "not permitted"));
    CHECK(contains(forbidden.err, "daemon.operators"));
  }
  const Ran long_path = run({"--socket", "/tmp/" + std::string(200, 'x'), "status"});
  CHECK(long_path.code == 7);
  CHECK(contains(long_path.err, "107 bytes"));
}

TEST_CASE("a supvd that says nothing is given up after five seconds") {
  Folder folder;
  FakeSupvd supvd(folder / "s",
                  [](const protocol::Call&, int) { return std::vector<std::string>{kSilence}; });
  const Ran ran = run({"--socket", supvd.path(), "status"});
  CHECK(ran.code == 7);
  CHECK(ran.took >= 4900ms);
  CHECK(ran.took < 7000ms);
  CHECK(contains(ran.err, "does not answer"));
}

TEST_CASE("the codes of actions are supvd's, and outcomes are listed") {
  Folder folder;
  for (const int code : {0, 1, 4, 6, 153, 154}) {
    FakeSupvd supvd(folder / ("s" + std::to_string(code)),
                    always(outcome(code, {{"web", code == 0, "news of it"}}, "in short")));
    const Ran ran = run({"--socket", supvd.path(), "restart", "web"});
    CHECK(ran.code == code);
    CHECK(contains(ran.out, "web: news of it\n"));
    REQUIRE(supvd.calls().size() == 1);
    const Request asked = supvd.calls()[0].request;
    CHECK(asked.verb == Request::Verb::restart);
    CHECK(asked.select == std::vector<std::string>{"web"});
    CHECK(asked.action_id.size() == 36);
    CHECK(asked.action_id[14] == '4');
  }
}

TEST_CASE("what is asked arrives whole") {
  Folder folder;
  FakeSupvd supvd(folder / "s", always(outcome(0, {})));
  const auto ask = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--socket", supvd.path()});
    CHECK(run(arguments).code == 0);
    return supvd.calls().back().request;
  };
  CHECK(ask({"signal", "USR1", "web"}).signal == SIGUSR1);
  const Request hold = ask({"hold", "web", "--for", "30m", "--reason", "deploy"});
  CHECK(hold.hold_for == 30min);
  CHECK(hold.reason == "deploy");
  CHECK(ask({"wait", "web", "--for", "stopped"}).until == "stopped");
  CHECK(ask({"stop", "--all", "--force"}).all);
  const Request load = ask({"load", "some.watch.yaml", "--missing", "keep", "--no-restart"});
  REQUIRE(load.files.size() == 1);
  CHECK(load.files[0] == std::filesystem::current_path().string() + "/some.watch.yaml");
  CHECK(load.missing == "keep");
  CHECK(load.no_restart);
  CHECK(ask({"stop", "-f", "/x.watch.yaml"}).files == std::vector<std::string>{"/x.watch.yaml"});
}

TEST_CASE("--no-wait returns as soon as supvd has heard") {
  Folder folder;
  FakeSupvd supvd(folder / "s", [](const protocol::Call& call, int) {
    Report progress;
    progress.expect_ms = 20000;
    return std::vector<std::string>{protocol::progress_line(call, progress), kSilence};
  });
  const Ran ran = run({"--socket", supvd.path(), "restart", "web", "--no-wait"});
  CHECK(ran.code == 0);
  CHECK(ran.out == "asked\n");
}

TEST_CASE("a broken connection is renewed, and the same action id asked again") {
  Folder folder;
  FakeSupvd supvd(folder / "s", [](const protocol::Call& call, int connection) {
    if (connection < 2) return std::vector<std::string>{};
    return std::vector<std::string>{reply(call, outcome(0, {{"web", true, "up, pid 7"}}))};
  });
  const Ran ran = run({"--socket", supvd.path(), "restart", "web"});
  CHECK(ran.code == 0);
  CHECK(ran.out == "web: up, pid 7\n");
  REQUIRE(supvd.calls().size() == 3);
  CHECK(supvd.calls()[0].request.action_id == supvd.calls()[1].request.action_id);
  CHECK(supvd.calls()[0].request.action_id == supvd.calls()[2].request.action_id);
}

TEST_CASE("152 when --timeout has passed") {
  Folder folder;
  FakeSupvd supvd(folder / "s", [](const protocol::Call& call, int) {
    Report progress;
    progress.expect_ms = 60000;
    progress.text = "stopping";
    return std::vector<std::string>{protocol::progress_line(call, progress), kSilence};
  });
  const Ran ran = run({"--socket", supvd.path(), "--timeout", "300ms", "restart", "web"});
  CHECK(ran.code == 152);
  CHECK(ran.took >= 300ms);
  CHECK(ran.took < 3s);
  CHECK(contains(ran.err, "supvd goes on"));
}

TEST_CASE("without --timeout it waits as long as supvd expects, and five seconds") {
  Folder folder;
  FakeSupvd supvd(folder / "s", [](const protocol::Call& call, int) {
    Report progress;
    progress.expect_ms = 200;
    return std::vector<std::string>{protocol::progress_line(call, progress), kSilence};
  });
  const Ran ran = run({"--socket", supvd.path(), "stop", "web"});
  CHECK(ran.code == 152);
  CHECK(ran.took >= 5200ms);
  CHECK(ran.took < 7500ms);
}

TEST_CASE("status exits with the most severe code") {
  Folder folder;
  const auto code_of = [&](std::vector<WatchReport> watches, std::vector<std::string> select = {}) {
    FakeSupvd supvd(folder / "s", always(with_watches(std::move(watches))));
    std::vector<std::string> arguments = {"--socket", supvd.path(), "status"};
    arguments.insert(arguments.end(), select.begin(), select.end());
    const Ran ran = run(arguments);
    std::filesystem::remove(supvd.path());
    return ran.code;
  };
  WatchReport stopped = watch("off", "stopped");
  stopped.desired = "stopped";
  WatchReport ill = watch("ill", "up");
  ill.health = "failing";
  WatchReport done = watch("done", "exited");
  done.last_exit = LastExit{0, "", 1};
  WatchReport broken = watch("broken", "exited");
  broken.last_exit = LastExit{3, "", 1};
  CHECK(code_of({watch("a", "up")}) == 0);
  CHECK(code_of({}) == 0);
  CHECK(code_of({watch("a", "up"), stopped}) == 0);
  CHECK(code_of({stopped}, {"off"}) == 3);
  CHECK(code_of({stopped}, {"of*"}) == 0);
  CHECK(code_of({done}) == 0);
  CHECK(code_of({done}, {"done"}) == 3);
  CHECK(code_of({broken}) == 1);
  CHECK(code_of({ill, watch("b", "starting")}) == 150);
  CHECK(code_of({watch("b", "starting"), watch("a", "up")}) == 151);
  CHECK(code_of({watch("b", "restarting")}) == 151);
  for (const char* state : {"failed", "stuck", "backoff"})
    CHECK(code_of({ill, watch("c", state)}) == 1);
  CHECK(code_of({watch("c", "never heard of"), ill, stopped}, {"off"}) == 4);
  CHECK(code_of({watch("c", "failed"), watch("d", "never heard of")}) == 1);
}

TEST_CASE("the table is aligned, whole and without escapes in a pipe") {
  Folder folder;
  WatchReport up = watch("sidekiq", "up");
  up.health = "ok";
  up.pid = 4711;
  up.uptime_s = 11520;
  up.restarts = 2;
  up.last_change = LastChange{now_ms() - 7230000, "restart", "condition",
                              "consul_kv devops/x changed: index 12 → 15 (/redis/host)"};
  WatchReport back = watch("naïve-日本", "backoff");
  back.last_exit = LastExit{1, "", now_ms()};
  back.pending = PendingReport{"restart", std::string(300, 'r'), "backoff", now_ms() + 7230000};
  WatchReport held = watch("web", "up");
  held.pid = 5;
  held.uptime_s = 3;
  held.hold = HoldReport{{}, "evil \033[2J text", "alice"};
  Report report = with_watches({up, back, held});
  report.consul = "ok";
  FakeSupvd supvd(folder / "s", [&](const protocol::Call& call, int) {
    return std::vector<std::string>{protocol::reply_line(call, report, {1, "0.1.0", 5, "ok", ""},
                                                         {{1536 * 1024, 12.34}, {}, {}})};
  });
  const Ran ran = run({"--socket", supvd.path(), "status"});
  CHECK(ran.code == 1);
  CHECK(ran.out ==
        "NAME        STATE      HEALTH   PID     UP    CPU     MEM  RST  LAST\n"
        "sidekiq     up         ok      4711  3h12m  12.3%  1.5MiB    2  restart 2h ago by "
        "condition: consul_kv devops/x changed: index 12 → 15 (/redis/host)\n"
        "naïve-日本  backoff    -          -      -      -       -    0  exit 1; restart in 2h "
        "(waits for backoff): " +
            std::string(300, 'r') +
            "\n"
            "web         up (held)  -          5     3s      -       -    0  held by alice: evil "
            "\\x1B[2J text\n"
            "3 watches: 2 up, 1 in back-off; consul ok\n"
            "! supvctl why naïve-日本\n");
  CHECK(run({"--socket", supvd.path(), "-o", "name", "status"}).out ==
        "sidekiq\nnaïve-日本\nweb\n");
  const Ran json = run({"--socket", supvd.path(), "status", "--json"});
  CHECK(contains(json.out, "\"rss_bytes\""));
  CHECK(json.out.front() == '{');
  CHECK(json.code == 1);
  CHECK(run({"--socket", supvd.path(), "-q", "status"}).out.empty());
}

TEST_CASE("why explains") {
  Folder folder;
  WatchReport report = watch("web", "up");
  report.pid = 12;
  report.health = "ok";
  report.uptime_s = 61;
  report.log = folder / "web.log";
  std::ofstream(report.log) << "first\nlast \033[31mline\n";
  report.last_exit = LastExit{{}, "KILL", now_ms() - 5000};
  ConditionReport condition;
  condition.id = "consul_kv#1";
  condition.verdict = "false";
  condition.reason = "unchanged";
  condition.mode = "watch";
  condition.baseline = "known";
  condition.timeline = {{12, "ab12cd34", 0}, {15, "ffffffff", 1000}};
  ConditionReport measured;
  measured.id = "exec#2";
  measured.verdict = "false";
  measured.reason = "exit 0: OK";
  measured.metrics = {{"/", 73.0, "%", "", "", {}, {}}, {"rss", 120.0, "MB", "", "", {}, {}}};
  ConditionReport much = measured;
  much.id = "exec#3";
  for (int i = 0; i < 8; ++i) much.metrics.push_back({"m", 1.0 * i, "", "", "", {}, {}});
  report.conditions = {condition, measured, much};
  FakeSupvd supvd(folder / "s", always(with_watches({report})));
  const Ran ran = run({"--socket", supvd.path(), "why", "web"});
  CHECK(ran.code == 0);
  CHECK(contains(ran.out, "web is up (pid 12, for 1m1s), health ok\n"));
  CHECK(contains(ran.out, "(5s ago): killed by KILL\n"));
  CHECK(contains(ran.out, "consul_kv#1"));
  CHECK(contains(ran.out, "mode: watch, baseline: known\n"));
  CHECK(contains(ran.out, "#12 ab12cd34 1970-01-01T00:00:00Z  baseline\n"));
  CHECK(contains(ran.out, "#15 ffffffff 1970-01-01T00:00:01Z\n"));
  CHECK(contains(ran.out, "    last \\x1B[31mline\n"));
  CHECK(contains(ran.out, "false    unchanged\n"));
  CHECK(contains(ran.out, "false    exit 0: OK | /=73% rss=120 MB\n"));
  CHECK(contains(ran.out, "| /=73% rss=120 MB m=0 m=1 m=2 m=3 m=4 m=5 and 2 more\n"));
  CHECK(contains(run({"--socket", supvd.path(), "show", "web"}).out, "OK | /=73% rss=120 MB\n"));
}

TEST_CASE("an unknown name exits with 5 and names the nearest") {
  Folder folder;
  FakeSupvd supvd(folder / "s", [](const protocol::Call& call, int) {
    if (call.request.select.empty()) {
      return std::vector<std::string>{reply(call, with_watches({watch("sidekiq", "up")}))};
    }
    return std::vector<std::string>{reply(call, outcome(5, {}, "no such watch: sidekik"))};
  });
  for (const char* command : {"status", "restart", "why", "stop"}) {
    const Ran ran = run({"--socket", supvd.path(), command, "sidekik"});
    CHECK(ran.code == 5);
    CHECK(contains(ran.err, "no such watch: sidekik; did you mean sidekiq?"));
  }
}

TEST_CASE("a full house is knocked at again") {
  Folder folder;
  FakeSupvd supvd(folder / "s", [](const protocol::Call& call, int connection) {
    if (connection == 0) {
      return std::vector<std::string>{
          protocol::error_line({"null", protocol::kBusy, "too many clients"}, 7)};
    }
    return std::vector<std::string>{reply(call, with_watches({watch("web", "up")}))};
  });
  CHECK(run({"--socket", supvd.path(), "status"}).code == 0);
}

TEST_CASE("events and history show when, what, who and why") {
  Folder folder;
  protocol::HistoryLine line;
  line.wall_ms = 1000;
  line.note.watch = "web";
  line.note.from = "up";
  line.note.to = "stopping";
  line.note.action = "restart";
  line.note.by = "condition";
  line.note.reason = "memory";
  FakeSupvd supvd(folder / "s", [&](const protocol::Call& call, int) {
    std::vector<std::string> lines = {protocol::history_line(call, {protocol::history_text(line)})};
    protocol::HistoryLine later = line;
    later.wall_ms = 2000;
    later.note.reason = "live";
    if (call.follow) lines.push_back(protocol::event_line(protocol::history_text(later)));
    return lines;
  });
  const std::string first =
      "1970-01-01T00:00:01Z  web                   up → stopping, restart by condition: memory\n";
  CHECK(run({"--socket", supvd.path(), "history", "-n", "3"}).out == first);
  CHECK(supvd.calls().back().count == 3);
  Running running({"--socket", supvd.path(), "events", "-f"});
  CHECK(running.says("live\n"));
  kill(running.pid(), SIGINT);
  const Ran ran = running.finish();
  CHECK(ran.code == 130);
  CHECK(contains(ran.out, first));
}

TEST_CASE("logs are merged, prefixed, and followed across a rotation") {
  Folder folder;
  std::ofstream(folder / "web.log") << "w1\nw2\nw3\n";
  std::ofstream(folder / "job.log") << "j1\n";
  FakeSupvd supvd(folder / "s", [&](const protocol::Call& call, int) {
    return std::vector<std::string>{protocol::logs_line(
        call, {{"web", folder / "web.log", folder / "web.log"}, {"jobs", folder / "job.log", ""}})};
  });
  const Ran ran = run({"--socket", supvd.path(), "logs", "--all", "-n", "2"});
  CHECK(ran.code == 0);
  CHECK(ran.out == "web  | w2\nweb  | w3\njobs | j1\n");

  Running running({"--socket", supvd.path(), "logs", "web", "jobs", "-f", "-n", "1"});
  REQUIRE(running.says("jobs | j1\n"));
  std::ofstream(folder / "web.log", std::ios::app) << "w4\n";
  CHECK(running.says("web  | w4\n"));
  std::filesystem::rename(folder / "web.log", folder / "web.log.1");
  std::ofstream(folder / "web.log.1", std::ios::app) << "late\n";
  std::ofstream(folder / "web.log") << "new file\n";
  CHECK(running.says("web  | new file\n"));
  kill(running.pid(), SIGTERM);
  CHECK(contains(running.finish().out, "web  | late\n"));
}

TEST_CASE("completion offers commands, and names from supvd") {
  Folder folder;
  WatchReport web = watch("web", "up");
  web.groups = {"workers"};
  FakeSupvd supvd(folder / "s", always(with_watches({web, watch("db", "up")})));
  setenv("SUPV_SOCKET", supvd.path().c_str(), 1);
  CHECK(run({"__complete", "--", "rest"}).out == "restart\n");
  CHECK(run({"__complete", "--", "restart", "w"}).out == "web\nworkers\n");
  CHECK(run({"__complete", "--", "wait", "web", "--for", "s"}).out == "stopped\n");
  CHECK(run({"__complete", "--", "remove", "d"}).out == "db\n");
  CHECK(run({"__complete", "--", "import", ""}).out == "god\n");
  CHECK(run({"__complete", "--", "import", "god", ""}).out.empty());  // Files.
  CHECK(run({"__complete", "--", "contact", ""}).out == "test\n");
  CHECK(run({"__complete", "--", "conditions", "file"}).out == "file_mtime\nfile_touched\n");
  unsetenv("SUPV_SOCKET");
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Ran ran = run({"completion", shell});
    CHECK(ran.code == 0);
    CHECK(contains(ran.out, "supvctl __complete"));
  }
  CHECK(run({"completion", "csh"}).code == 2);
}

TEST_CASE("check works without supvd") {
  Folder folder;
  std::ofstream(folder / "good.watch.yaml") << "watches:\n  web:\n    start: sleep 1\n";
  std::ofstream(folder / "bad.watch.yaml") << "watches:\n  web:\n    strat: sleep 1\n";
  CHECK(run({"check", folder / "good.watch.yaml"}).code == 0);
  const Ran bad = run({"check", folder / "bad.watch.yaml"});
  CHECK(bad.code == 6);
  CHECK(contains(bad.err, "bad.watch.yaml:3:5: error:"));
  CHECK(contains(bad.err, "start"));
  const Ran json = run({"check", folder / "bad.watch.yaml", "--json"});
  CHECK(json.code == 6);
  CHECK(contains(json.out, "\"severity\": \"error\""));
  CHECK(run({"conditions", "consul_kv"}).code == 0);
  CHECK(run({"conditions", "consul_kvv"}).code == 2);
  CHECK(contains(run({"schema"}).out, "\"$schema\""));
}
