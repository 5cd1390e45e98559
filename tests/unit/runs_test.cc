#include "brain/runs.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

#include "brain/pid_file.h"
#include "brain/start_refused.h"
#include "core/memo.h"

using namespace supv;
using namespace std::chrono_literals;

namespace {

struct TempDir {
  std::string path = "/tmp/supv-runs-XXXXXX";
  TempDir() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~TempDir() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path + "/" + name) << text;
    return path + "/" + name;
  }
};

Environment parsed(const std::string& text) {
  Environment env;
  parse_env_text("x.env", text, env);
  return env;
}

std::string refusal(const std::string& text) {
  Environment env;
  try {
    parse_env_text("x.env", text, env);
  } catch (const StartRefused& refused) {
    CHECK(refused.step() == "env_file");
    return refused.what();
  }
  return "accepted";
}

fx::Spawn spawn_of(ProcessSpec process) {
  fx::Spawn spawn;
  spawn.run = static_cast<RunId>(0x20003);
  spawn.watch = "web";
  if (process.start.argv.empty()) process.start.argv = {"sleep", "1"};
  spawn.command = process.start;
  spawn.process = std::make_shared<const ProcessSpec>(std::move(process));
  spawn.ladder = {{15, 30s}, {9, 0s}};
  return spawn;
}

ProcessSpec in_dir(const std::string& dir) {
  ProcessSpec process;
  process.dir = dir;
  return process;
}

std::string value(const StartPlan& start, const std::string& name) {
  for (const std::string& entry : start.plan.env) {
    if (entry.rfind(name + "=", 0) == 0) return entry.substr(name.size() + 1);
  }
  return "(none)";
}

}  // namespace

TEST_CASE("what is meant for supvd alone is not inherited") {
  const Environment own = {{"PATH", "/bin"},
                           {"CONSUL_HTTP_TOKEN", "secret"},
                           {"CONSUL_HTTP_TOKEN_FILE", "/secret"},
                           {"CONSUL_HTTP_ADDR", "http://c:8500"},
                           {"NOTIFY_SOCKET", "/run/n"},
                           {"NOTIFY_SOCKETS", "mine"},
                           {"WATCHDOG_USEC", "1"},
                           {"WATCHDOG_PID", "1"},
                           {"LISTEN_FDS", "1"},
                           {"SUPV_SOCKET", "/s"},
                           {"BUNDLE_GEMFILE", "/app/Gemfile"}};
  CHECK(inherited_environment(own) == Environment{{"PATH", "/bin"},
                                                  {"CONSUL_HTTP_ADDR", "http://c:8500"},
                                                  {"NOTIFY_SOCKETS", "mine"},
                                                  // Without bundler's own marks it is on purpose.
                                                  {"BUNDLE_GEMFILE", "/app/Gemfile"}});
}

TEST_CASE("a surrounding bundle exec is undone") {
  const Environment own = {
      {"BUNDLE_GEMFILE", "/supv/Gemfile"},
      {"BUNDLE_BIN_PATH", "/gems/bundler-2.3.15/exe/bundle"},
      {"BUNDLER_VERSION", "2.3.15"},
      {"BUNDLE_PATH", "/kept"},
      {"RUBYOPT", "-W0 -r/usr/lib/ruby/vendor_ruby/bundler/setup"},
      {"RUBYLIB", "/gems/bundler-2.3.15/lib:/mine"},
      {"PATH", "/gems/bin:/usr/bin"},
      {"GEM_HOME", "/gems"},
      {"BUNDLER_ORIG_PATH", "/usr/bin"},
      {"BUNDLER_ORIG_GEM_HOME", "BUNDLER_ENVIRONMENT_PRESERVER_INTENTIONALLY_NIL"},
      {"BUNDLER_ORIG_BUNDLE_GEMFILE", "/before/Gemfile"}};
  CHECK(inherited_environment(own) == Environment{{"BUNDLE_GEMFILE", "/before/Gemfile"},
                                                  {"BUNDLE_PATH", "/kept"},
                                                  {"RUBYOPT", "-W0"},
                                                  {"RUBYLIB", "/mine"},
                                                  {"PATH", "/usr/bin"}});
  CHECK(inherited_environment({{"RUBYOPT", "-rbundler/setup"}, {"BUNDLE_GEMFILE", "/g"}}).empty());
}

TEST_CASE("a clean environment has six names at most, and always a PATH") {
  const Environment clean = clean_environment({{"HOME", "/h"}, {"LANG", "C"}, {"RAILS_ENV", "x"}});
  CHECK(clean.size() == 3);
  CHECK(clean.at("HOME") == "/h");
  CHECK(clean.at("PATH").find("/usr/bin") != std::string::npos);
}

TEST_CASE("env files are read like a shell's assignments, without the shell") {
  CHECK(parsed("A=1\n\n  # c\nexport B=two words # note\nC='$A \"x\" #'\nD=\"a\\n\\$A \\\"q\\\"\"\n"
               "E=\nF=a#b\nG=  padded\t \nH='one'\"two\"three\r\nI=$(id)`id`\n") ==
        Environment{{"A", "1"},
                    {"B", "two words"},
                    {"C", "$A \"x\" #"},
                    {"D", "a\n$A \"q\""},
                    {"E", ""},
                    {"F", "a#b"},
                    {"G", "padded"},
                    {"H", "onetwothree"},
                    {"I", "$(id)`id`"}});
  CHECK(parsed("A='two\nlines'\nB=2").at("A") == "two\nlines");
  CHECK(parsed("A=\"b\\\nc\"").at("A") == "bc");
  CHECK(parsed("export=1\n").at("export") == "1");
  CHECK(parsed("A=1\nA=2\n").at("A") == "2");
}

TEST_CASE("env files: what is wrong is named with file and line") {
  CHECK(refusal("A=1\nnonsense\n") == "x.env:2: not a KEY=VALUE line");
  CHECK(refusal("1A=x") == "x.env:1: not a KEY=VALUE line");
  CHECK(refusal("=x") == "x.env:1: not a KEY=VALUE line");
  CHECK(refusal("A =x") == "x.env:1: not a KEY=VALUE line");
  CHECK(refusal("export 2=x") == "x.env:1: not a KEY=VALUE line");
  CHECK(refusal("A='b\nc\nd") == "x.env:1: a quote that is never closed");
  CHECK(refusal(std::string("A=b\0c", 5)) == "x.env:1: a NUL byte");
  TempDir dir;
  Environment env;
  CHECK_THROWS_WITH(read_env_file(dir.path + "/none", env),
                    (dir.path + "/none: No such file or directory").c_str());
  CHECK_THROWS_AS(read_env_file(dir.path, env), StartRefused);
  REQUIRE(::mkfifo((dir.path + "/fifo").c_str(), 0600) == 0);
  CHECK_THROWS_AS(read_env_file(dir.path + "/fifo", env), StartRefused);
}

TEST_CASE("a plan has the surroundings of the contract") {
  TempDir dir;
  REQUIRE(::mkdir((dir.path + "/v1").c_str(), 0700) == 0);
  REQUIRE(::symlink("v1", (dir.path + "/current").c_str()) == 0);
  dir.write("v1/app.env", "A=file\nB=file\n");
  ProcessSpec process = in_dir(dir.path + "/current");
  process.env_files = {"app.env"};
  process.env = {{"B", "written"}, {"C", "c"}};
  process.umask = 077;
  process.start.argv = {"ls", "-l"};
  const Environment own = {{"PATH", "/x:/y"}, {"SUPV_STATE_DIR", "/s"}, {"OLDPWD", "/o"}};
  const StartPlan start = plan_start(spawn_of(process), own, "http://127.0.0.1:8501");
  const std::string real = std::filesystem::canonical(dir.path + "/v1");
  CHECK(start.plan.dir == real);
  CHECK(value(start, "PWD") == real);
  CHECK(value(start, "OLDPWD") == "(none)");
  CHECK(value(start, "SUPV_WATCH") == "web");
  CHECK(value(start, "SUPV_STATE_DIR") == "(none)");
  CHECK(value(start, "A") == "file");
  CHECK(value(start, "B") == "written");
  CHECK(value(start, "C") == "c");
  CHECK(value(start, "CONSUL_HTTP_ADDR") == "http://127.0.0.1:8501");
  CHECK(start.plan.umask == 077);
  CHECK(start.plan.paths == std::vector<std::string>{"/x/ls", "/y/ls"});
  CHECK(start.plan.uid == wire::kKeep);
}

TEST_CASE("the command is looked for in the PATH it will have; with a slash it is itself") {
  ProcessSpec process = in_dir("/");
  process.env = {{"PATH", "/only"}};
  process.start.argv = {"x"};
  CHECK(plan_start(spawn_of(process), {{"PATH", "/a"}}, "").plan.paths ==
        std::vector<std::string>{"/only/x"});
  process.start.argv = {"bin/x"};
  CHECK(plan_start(spawn_of(process), {}, "").plan.paths == std::vector<std::string>{"bin/x"});
  CHECK(value(plan_start(spawn_of(process), {}, ""), "CONSUL_HTTP_ADDR") == "(none)");
}

TEST_CASE("accounts: names, numbers, and what cannot be found") {
  if (::geteuid() != 0) return;  // Only root has something to change.
  const struct passwd* nobody = ::getpwnam("nobody");
  REQUIRE(nobody != nullptr);
  ProcessSpec process = in_dir("/");
  process.uid = "nobody";
  process.env = {{"LOGNAME", "mine"}};
  const StartPlan start = plan_start(spawn_of(process), {{"HOME", "/root"}, {"USER", "root"}}, "");
  CHECK(start.plan.uid == nobody->pw_uid);
  CHECK(start.plan.gid == nobody->pw_gid);
  CHECK(std::find(start.plan.groups.begin(), start.plan.groups.end(), nobody->pw_gid) !=
        start.plan.groups.end());
  CHECK(value(start, "HOME") == nobody->pw_dir);
  CHECK(value(start, "USER") == "nobody");
  CHECK(value(start, "SHELL") == nobody->pw_shell);
  CHECK(value(start, "LOGNAME") == "mine");
  CHECK(find_account(std::to_string(nobody->pw_uid), "").variables.at("USER") == "nobody");
  const Account stranger = find_account("54321", "54322");
  CHECK(stranger.set_uid == 54321);
  CHECK(stranger.set_gid == 54322);
  CHECK(*stranger.groups == std::vector<gid_t>{54322});
  CHECK(find_account("", "daemon").set_uid == wire::kKeep);
  CHECK_THROWS_WITH(find_account("no-such-user", ""), "no such user 'no-such-user'");
  CHECK_THROWS_WITH(find_account("nobody", "no-such-group"), "no such group 'no-such-group'");
  CHECK_THROWS_AS(find_account("54321", ""), StartRefused);
  CHECK_THROWS_AS(find_account("4294967295", "0"), StartRefused);
}

TEST_CASE("pid files: one number, nothing else, and nothing but files") {
  TempDir dir;
  const ProcessSpec process = in_dir(dir.path);
  const auto read = [&](const std::string& text) {
    dir.write("p", text);
    return read_pid_file(process, "p");
  };
  CHECK(read("4711\n") == 4711);
  CHECK(read("  4711 ") == 4711);
  for (const char* text : {"", "\n", "1", "0", "-5", "+5", "4711 x", "0x10", "4194305",
                           "99999999999999999999", "4711\n4712", "47.1"}) {
    CAPTURE(text);
    CHECK(read(text) == 0);
  }
  CHECK(read(std::string(40, ' ') + "4711") == 0);
  CHECK(read_pid_file(process, "none") == 0);
  CHECK(read_pid_file(process, dir.path) == 0);
  REQUIRE(::mkfifo((dir.path + "/fifo").c_str(), 0600) == 0);
  CHECK(read_pid_file(process, "fifo") == 0);
  dir.write("p", "4711");
  REQUIRE(::symlink("p", (dir.path + "/link").c_str()) == 0);
  CHECK(read_pid_file(process, "link") == 4711);
  ProcessSpec other = process;
  other.uid = "nobody";
  CHECK(read_pid_file(other, "link") == 0);
  CHECK(read_pid_file(other, "p") == 4711);
}

TEST_CASE("pid files below a chroot cannot lead out of it") {
  TempDir dir;
  REQUIRE(::mkdir((dir.path + "/jail").c_str(), 0700) == 0);
  REQUIRE(::mkdir((dir.path + "/jail/run").c_str(), 0700) == 0);
  dir.write("outside", "4711");
  dir.write("jail/run/inside", "4712");
  REQUIRE(::symlink((dir.path + "/outside").c_str(), (dir.path + "/jail/run/link").c_str()) == 0);
  REQUIRE(::symlink("/run", (dir.path + "/jail/var").c_str()) == 0);
  ProcessSpec process = in_dir("/run");
  process.chroot = dir.path + "/jail";
  CHECK(read_pid_file(process, "inside") == 4712);
  CHECK(read_pid_file(process, "/var/inside") == 4712);
  CHECK(read_pid_file(process, "link") == 0);
  CHECK(read_pid_file(process, "../../outside") == 0);
}

namespace {

/// Runs with a keeper whose other end is in the test's hands.
struct Bench {
  TempDir dir;
  Reactor reactor;
  Fd far;
  std::vector<Event> heard;
  std::vector<RunId> forgotten;
  std::unique_ptr<Channel> keeper;
  LogPipes pipes{dir.path + "/log", "/var/log/x"};
  std::unique_ptr<Notify> notify;
  std::unique_ptr<Runs> runs;

  Bench() {
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    far.reset(fds[1]);
    keeper = std::make_unique<Channel>(Fd(fds[0]));
    notify = std::make_unique<Notify>(
        reactor, dir.path + "/notify",
        Notify::Ears{[](RunId, pid_t) { return true; }, [](const Event&) {}, [](RunId, pid_t) {}});
    runs = std::make_unique<Runs>(
        *keeper, *notify, pipes, Environment{{"PATH", "/bin"}},
        Runs::Ears{[this](Event event) { heard.push_back(std::move(event)); },
                   [this](RunId run) { forgotten.push_back(run); }});
  }
  template <typename Message>
  Message sent() const {
    Message message{};
    REQUIRE(::recv(far.get(), &message, sizeof message, 0) == sizeof message);
    return message;
  }
};

}  // namespace

TEST_CASE("a spawn becomes a message with its flags, ladder and descriptors") {
  Bench bench;
  ProcessSpec process = in_dir(bench.dir.path);
  process.pid_file = "p";
  process.whole_tree = false;
  process.start.own_shell = true;
  fx::Spawn spawn = spawn_of(process);
  spawn.memo = "hello";
  spawn.notify = true;
  spawn.watchdog = 10s;
  bench.runs->spawn(spawn);
  auto message = bench.sent<wire::Spawn>();
  CHECK(message.run == 0x20003);
  CHECK(message.flags == (wire::kDaemonises | wire::kGroupSignal | wire::kLeaveTree));
  CHECK(message.ladder_count == 2);
  CHECK(message.ladder[0].wait_ms == 30000);
  CHECK(message.memo_size == 5);
  CHECK(message.stored_fds == 1);
  CHECK(message.child_fds == 0);
  CHECK(bench.runs->launching() == 1);
  struct stat status {};
  REQUIRE(::stat((bench.dir.path + "/log/web.out").c_str(), &status) == 0);
  CHECK(S_ISFIFO(status.st_mode));
  CHECK((status.st_mode & 0777) == 0600);

  // A hook of the same watch: in the run's tree, without a pid file of its own.
  spawn.run = static_cast<RunId>(0x30004);
  spawn.host = static_cast<RunId>(0x20003);
  spawn.command = {{"true"}, false};
  spawn.notify = false;
  spawn.watchdog = 0s;
  bench.runs->spawn(spawn);
  message = bench.sent<wire::Spawn>();
  CHECK(message.flags == wire::kGuest);
  CHECK(message.host == 0x20003);
  CHECK(message.stored_fds == 0);
}

TEST_CASE("what is refused before the keeper starts nothing") {
  Bench bench;
  ProcessSpec process = in_dir(bench.dir.path);
  process.env_files = {"none.env"};
  CHECK_THROWS_AS(bench.runs->spawn(spawn_of(process)), StartRefused);
  process.env_files.clear();
  process.uid = "no-such-user";
  CHECK_THROWS_AS(bench.runs->spawn(spawn_of(process)), StartRefused);
  char byte = 0;
  CHECK(::recv(bench.far.get(), &byte, 1, 0) < 0);
  CHECK(bench.runs->launching() == 0);
}

TEST_CASE("news becomes events, and pids are known as long as they are true") {
  Bench bench;
  bench.runs->spawn(spawn_of(in_dir("/")));
  const auto run = static_cast<RunId>(0x20003);
  CHECK(bench.runs->any_of("web"));
  wire::News news{};
  news.run = 0x20003;
  news.kind = wire::Kind::launched;
  news.pid = 77;
  news.started_wall_ms = 1000;
  bench.runs->hear(news);
  CHECK(bench.runs->launching() == 0);
  CHECK(bench.runs->pid_of(run) == 77);
  CHECK(bench.runs->started_wall_ms(run) == 1000);
  CHECK(std::get<ev::Launched>(bench.heard.at(0)).pid == 77);
  news.kind = wire::Kind::followed;
  news.pid = 78;
  bench.runs->hear(news);
  CHECK(bench.runs->pid_of(run) == 78);
  news.kind = wire::Kind::exited;
  news.status = {2, 9, 1, 0};
  news.left = 3;
  bench.runs->hear(news);
  CHECK(bench.runs->pid_of(run) == 0);
  const auto& exited = std::get<ev::Exited>(bench.heard.at(2));
  CHECK(exited.left == 3);
  CHECK(exited.status == ExitStatus{ExitStatus::How::signal, 9, true});
  news.kind = wire::Kind::gone;
  news.status = {3, 0, 0, 0};
  bench.runs->hear(news);
  CHECK(std::get<ev::Gone>(bench.heard.at(3)).status == ExitStatus{});
  bench.runs->forget(run);
  CHECK(bench.forgotten == std::vector<RunId>{run});
  CHECK_FALSE(bench.runs->any_of("web"));
  news.kind = wire::Kind::start_failed;
  news.step = wire::Step::exec;
  news.error = ENOENT;
  bench.runs->hear(news);
  const auto& failed = std::get<ev::StartFailed>(bench.heard.at(4));
  CHECK(failed.step == "exec");
  CHECK(failed.text == "No such file or directory");
}

TEST_CASE("a pid file that names nobody is answered at once, else the keeper is asked") {
  Bench bench;
  const auto process = std::make_shared<const ProcessSpec>(in_dir(bench.dir.path));
  const auto run = static_cast<RunId>(0x20003);
  bench.runs->follow({run, "p", process});
  CHECK(std::get<ev::NotFollowed>(bench.heard.at(0)).pid == 0);
  bench.dir.write("p", "4711\n");
  bench.runs->follow({run, "p", process});
  CHECK(bench.sent<wire::Follow>().pid == 4711);
  CHECK(bench.heard.size() == 1);
}

TEST_CASE("a slot is told to the core as it is") {
  Bench bench;
  wire::Slot slot{};
  slot.run = 0x90005;
  slot.phase = wire::Phase::running;
  slot.pid = 99;
  slot.after = 2;
  slot.adopted = 1;
  slot.started_wall_ms = 5;
  Memo memo;
  memo.watch = "adopted";
  const std::string bytes = encode(memo);
  slot.memo_size = static_cast<std::uint32_t>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), slot.memo);
  std::vector<Fd> stored;
  const LiveRun live = bench.runs->adopt(slot, stored);
  CHECK(live.phase == LiveRun::Phase::running);
  CHECK(live.pid == 99);
  CHECK(live.after == 2);
  CHECK(live.adopted);
  CHECK_FALSE(live.status.has_value());
  CHECK(live.memo == bytes);
  CHECK(bench.runs->any_of("adopted"));
  slot.phase = wire::Phase::failed;
  slot.run = 0xa0006;
  slot.step = wire::Step::dir;
  slot.error = ENOENT;
  slot.memo_size = 100000;  // Never believed.
  const LiveRun failed = bench.runs->adopt(slot, stored);
  CHECK(failed.step == "dir");
  CHECK(failed.memo.size() == wire::kMaxMemo);
  CHECK(bench.runs->pid_of(failed.run) == 0);
}
