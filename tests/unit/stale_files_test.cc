// What is removed before a start, and what never is.
#include "brain/stale_files.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "base/fd.h"

using namespace supv;

namespace {

constexpr int kNobody = 4'194'000;  ///< Above what pid_max is on a machine of tests.

struct Bench {
  Bench() {
    char path[] = "/tmp/stale_XXXXXX";
    REQUIRE(::mkdtemp(path) != nullptr);
    dir = path;
    auto process = std::make_shared<ProcessSpec>();
    process->dir = dir;
    spawn.process = process;
    spawn.stale_pid_file = "w.pid";
    spawn.stale_socket = "w.sock";
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() {
    std::error_code ignored;
    std::filesystem::remove_all(dir, ignored);
  }
  std::string at(const std::string& name) const { return dir + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(at(name)) << text;
  }
  bool is(const std::string& name) const {
    return std::filesystem::exists(std::filesystem::symlink_status(at(name)));
  }
  /// A socket, listening as long as the descriptor is open.
  Fd listen(const std::string& name) const {
    Fd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(at(name).size() < sizeof address.sun_path);
    at(name).copy(address.sun_path, at(name).size());
    REQUIRE(::bind(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(server.get(), 1) == 0);
    return server;
  }
  void clean(uid_t uid = ::geteuid()) const { remove_stale(spawn, uid); }

  std::string dir;
  fx::Spawn spawn;
};

}  // namespace

TEST_CASE("a pid file goes when it names no live process") {
  Bench bench;
  for (const std::string& text :
       {std::to_string(kNobody) + "\n", std::string("garbage"), std::string()}) {
    CAPTURE(text);
    bench.write("w.pid", text);
    bench.clean();
    CHECK_FALSE(bench.is("w.pid"));
  }
  bench.write("w.pid", std::to_string(::getpid()));
  bench.clean();
  CHECK(bench.is("w.pid"));
  bench.spawn.stale_pid_file = bench.at("abs.pid");
  bench.write("abs.pid", std::to_string(kNobody));
  bench.clean();
  CHECK_FALSE(bench.is("abs.pid"));
  CHECK(bench.is("w.pid"));
  bench.clean();  // nothing there
}

TEST_CASE("the pid file of a zombie goes") {
  Bench bench;
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  siginfo_t news{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(pid), &news, WEXITED | WNOWAIT) == 0);
  bench.write("w.pid", std::to_string(pid));
  bench.clean();
  CHECK_FALSE(bench.is("w.pid"));
  ::waitpid(pid, nullptr, 0);
}

TEST_CASE("a socket goes when nobody listens on it") {
  Bench bench;
  Fd server = bench.listen("w.sock");
  bench.clean();
  CHECK(bench.is("w.sock"));
  server.reset();
  bench.clean();
  CHECK_FALSE(bench.is("w.sock"));
}

TEST_CASE("a path longer than a socket's address may be is no hindrance") {
  Bench bench;
  const std::string deep = std::string(60, 'a') + "/" + std::string(60, 'b');
  bench.listen("w.sock");  // closed at once
  std::filesystem::create_directories(bench.at(deep));
  std::filesystem::rename(bench.at("w.sock"), bench.at(deep + "/w.sock"));
  bench.spawn.stale_socket = deep + "/w.sock";
  bench.clean();
  CHECK_FALSE(bench.is(deep + "/w.sock"));
}

TEST_CASE("what is not a pid file or a socket stays") {
  Bench bench;
  bench.write("w.sock", "a file");
  REQUIRE(::mkfifo(bench.at("w.pid").c_str(), 0600) == 0);
  bench.clean();
  CHECK(bench.is("w.sock"));
  CHECK(bench.is("w.pid"));
  std::filesystem::remove(bench.at("w.pid"));
  std::filesystem::remove(bench.at("w.sock"));
  std::filesystem::create_directory(bench.at("w.pid"));
  std::filesystem::create_directory(bench.at("w.sock"));
  bench.clean();
  CHECK(bench.is("w.pid"));
  CHECK(bench.is("w.sock"));
}

TEST_CASE("a link stays, and so does what it leads to") {
  Bench bench;
  bench.write("precious.pid", std::to_string(kNobody));
  bench.listen("precious.sock");
  std::filesystem::create_symlink(bench.at("precious.pid"), bench.at("w.pid"));
  std::filesystem::create_symlink(bench.at("precious.sock"), bench.at("w.sock"));
  bench.clean();
  for (const char* name : {"precious.pid", "precious.sock", "w.pid", "w.sock"}) {
    CAPTURE(name);
    CHECK(bench.is(name));
  }
}

TEST_CASE("only files of the run's user go") {
  if (::geteuid() != 0) return;
  constexpr uid_t kDeploy = 12345;
  Bench bench;
  // A directory that the user may replace by a link to somewhere else holds other files of that
  // name there: ours are not for him to have removed.
  bench.write("w.pid", std::to_string(kNobody));
  bench.listen("w.sock");
  bench.clean(kDeploy);
  CHECK(bench.is("w.pid"));
  CHECK(bench.is("w.sock"));
  for (const char* name : {"w.pid", "w.sock"})
    REQUIRE(::chown(bench.at(name).c_str(), kDeploy, kDeploy) == 0);
  bench.clean(kDeploy + 1);
  CHECK(bench.is("w.pid"));
  CHECK(bench.is("w.sock"));
  bench.clean(kDeploy);
  CHECK_FALSE(bench.is("w.pid"));
  CHECK_FALSE(bench.is("w.sock"));
}

TEST_CASE("what is not asked for is not touched") {
  Bench bench;
  bench.spawn.stale_pid_file.clear();
  bench.spawn.stale_socket.clear();
  bench.write("w.pid", std::to_string(kNobody));
  bench.listen("w.sock");
  bench.clean();
  CHECK(bench.is("w.pid"));
  CHECK(bench.is("w.sock"));
}
