#include "brain/notify.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <vector>

using namespace supv;
using namespace std::chrono_literals;

namespace {

struct TempDir {
  std::string path = "/tmp/supv-notify-XXXXXX";
  TempDir() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~TempDir() { std::filesystem::remove_all(path); }
};

constexpr auto kRun = static_cast<RunId>(0x30007);

/// A brain's ears, and a run that talks.
struct Room {
  TempDir dir;
  Reactor reactor;
  bool member = true;
  std::vector<Event> heard;
  std::vector<pid_t> mains;
  Notify notify{reactor,
                dir.path + "/notify",
                {[this](RunId, pid_t) { return member; },
                 [this](Event event) { heard.push_back(std::move(event)); },
                 [this](RunId, pid_t pid) { mains.push_back(pid); }}};

  /// Takes in everything that has been said.
  void listen() {
    while (reactor.wait(0ns)) notify.acted();
  }
  std::size_t readies() const {
    std::size_t count = 0;
    for (const Event& event : heard) count += std::holds_alternative<ev::Ready>(event) ? 1 : 0;
    return count;
  }
};

Fd connected(const std::string& address) {
  Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  REQUIRE(address.size() < sizeof name.sun_path);
  std::memcpy(name.sun_path, address.data(), address.size());
  const bool abstract = address[0] == '@';
  if (abstract) name.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size() +
                                           (abstract ? 0U : 1U));
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&name), size) == 0);
  return fd;
}

void say(const std::string& address, const std::string& text) {
  const Fd fd = connected(address);
  REQUIRE(::send(fd.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
}

/// Says it from a process that is gone when this returns.
void say_and_die(const std::string& address, const std::string& text) {
  const pid_t child = ::fork();
  if (child == 0) {
    const Fd fd = connected(address);
    ::_exit(::send(fd.get(), text.data(), text.size(), 0) < 0 ? 1 : 0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
}

}  // namespace

TEST_CASE("READY, WATCHDOG and MAINPID are heard, the rest is not news") {
  Room room;
  const Notify::Opened opened = room.notify.open(kRun, Notify::Reach::path);
  room.notify.listen(kRun);
  CHECK(opened.address == room.dir.path + "/notify/30007");
  say(opened.address, "STATUS=loading\nREADY=1\nMAINPID=4711\nERRNO=2");
  say(opened.address, "WATCHDOG=1");
  say(opened.address, "WATCHDOG=trigger\n");
  say(opened.address, "READY=0\nREADY=11\nMAINPID=1\nMAINPID=-5\nMAINPID=99999999999\nMAINPID=");
  room.listen();
  REQUIRE(room.heard.size() == 3);
  CHECK(std::get<ev::Ready>(room.heard[0]).run == kRun);
  CHECK_FALSE(std::get<ev::Alive>(room.heard[1]).trigger);
  CHECK(std::get<ev::Alive>(room.heard[2]).trigger);
  CHECK(room.mains == std::vector<pid_t>{4711});
}

TEST_CASE("empty and oversized messages are ignored and do no harm") {
  Room room;
  const Notify::Opened opened = room.notify.open(kRun, Notify::Reach::path);
  room.notify.listen(kRun);
  say(opened.address, "");
  say(opened.address, "READY=1\n" + std::string(5000, 'x'));
  say(opened.address, std::string("\0\n\n=\nREADY", 10));
  room.listen();
  CHECK(room.heard.empty());
  say(opened.address, "READY=1\n" + std::string(4088, 'x'));
  room.listen();
  CHECK(room.readies() == 1);
}

TEST_CASE("a living stranger is not heard") {
  Room room;
  const Notify::Opened by_path = room.notify.open(kRun, Notify::Reach::path);
  room.notify.listen(kRun);
  room.member = false;
  say(by_path.address, "READY=1");
  room.listen();
  CHECK(room.heard.empty());
}

TEST_CASE("of senders that are gone only those are heard whom the path vouches for") {
  Room room;
  room.member = false;
  const Notify::Opened by_path = room.notify.open(kRun, Notify::Reach::path);
  room.notify.listen(kRun);
  say_and_die(by_path.address, "READY=1");
  room.listen();
  CHECK(room.readies() == 1);
  const auto other = static_cast<RunId>(0x40008);
  const Notify::Opened anywhere = room.notify.open(other, Notify::Reach::anywhere);
  room.notify.listen(other);
  CHECK(anywhere.address[0] == '@');
  say_and_die(anywhere.address, "READY=1");
  room.listen();
  CHECK(room.readies() == 1);
  room.member = true;
  say(anywhere.address, "READY=1");
  room.listen();
  CHECK(room.readies() == 2);
}

TEST_CASE("the directory is ours alone, names of another generation differ, close unlinks") {
  Room room;
  const Notify::Opened first = room.notify.open(kRun, Notify::Reach::path);
  room.notify.listen(kRun);
  const Notify::Opened second = room.notify.open(static_cast<RunId>(0x50007), Notify::Reach::path);
  room.notify.listen(static_cast<RunId>(0x50007));
  CHECK(first.address != second.address);
  struct stat status {};
  REQUIRE(::stat((room.dir.path + "/notify").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);
  room.notify.close(kRun);
  CHECK(::access(first.address.c_str(), F_OK) < 0);
  CHECK(::access(second.address.c_str(), F_OK) == 0);
}

TEST_CASE("a path too long for a socket address becomes an abstract name") {
  TempDir dir;
  Reactor reactor;
  int heard = 0;
  const std::string deep = dir.path + "/" + std::string(120, 'd');
  Notify notify(
      reactor, deep,
      {[](RunId, pid_t) { return true; }, [&](const Event&) { ++heard; }, [](RunId, pid_t) {}});
  const Notify::Opened opened = notify.open(kRun, Notify::Reach::path);
  notify.listen(kRun);
  REQUIRE(opened.address[0] == '@');
  say(opened.address, "READY=1");
  CHECK(reactor.wait(1s));
  CHECK(heard == 1);
}

TEST_CASE("what is said between two brains waits in the kept descriptor") {
  TempDir dir;
  Fd kept;
  std::string address;
  {
    Reactor reactor;
    Notify first(reactor, dir.path,
                 {[](RunId, pid_t) { return true; }, [](const Event&) {}, [](RunId, pid_t) {}});
    Notify::Opened opened = first.open(kRun, Notify::Reach::path);
    kept = std::move(opened.stored);
    address = opened.address;
  }
  say(address, "READY=1");
  Reactor reactor;
  std::vector<Event> heard;
  Notify second(reactor, dir.path,
                {[](RunId, pid_t) { return true; },
                 [&](Event event) { heard.push_back(std::move(event)); }, [](RunId, pid_t) {}});
  second.adopt(kRun, std::move(kept), true);
  reactor.wait(1s);
  REQUIRE(heard.size() == 1);
  CHECK(std::get<ev::Ready>(heard[0]).run == kRun);
  second.close(kRun);
  CHECK(::access(address.c_str(), F_OK) < 0);
}

TEST_CASE("a socket that died with the keeper is made again under its old name") {
  TempDir dir;
  std::string address;
  {
    Reactor reactor;
    Notify first(reactor, dir.path,
                 {[](RunId, pid_t) { return true; }, [](const Event&) {}, [](RunId, pid_t) {}});
    address = first.open(kRun, Notify::Reach::path).address;  // Nobody keeps the descriptor.
  }
  Reactor reactor;
  std::vector<Event> heard;
  Notify second(reactor, dir.path,
                {[](RunId, pid_t) { return true; },
                 [&](Event event) { heard.push_back(std::move(event)); }, [](RunId, pid_t) {}});
  second.renew(kRun, true);
  second.renew(static_cast<RunId>(0x70007), true);  // It never had one.
  say(address, "READY=1");
  reactor.wait(1s);
  REQUIRE(heard.size() == 1);
  CHECK(std::get<ev::Ready>(heard[0]).run == kRun);
}

TEST_CASE("descriptors sent along are closed, which answers a barrier") {
  Room room;
  const Notify::Opened opened = room.notify.open(kRun, Notify::Reach::path);
  room.notify.listen(kRun);
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  {
    const Fd fd = connected(opened.address);
    char text[] = "BARRIER=1";
    iovec part{text, sizeof text - 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = write_end.get();
    std::memcpy(CMSG_DATA(rights), &number, sizeof number);
    REQUIRE(::sendmsg(fd.get(), &header, 0) > 0);
  }
  write_end.reset();
  room.listen();
  char byte = 0;
  CHECK(::read(read_end.get(), &byte, 1) == 0);  // Would block for ever, were ours still open.
}

TEST_CASE("what a brain has heard and not acted on is heard by the next one") {
  Room room;
  Notify::Opened opened = room.notify.open(kRun, Notify::Reach::path);
  room.notify.listen(kRun);
  say(opened.address, "READY=1");
  say(opened.address, "STATUS=fine\nWATCHDOG=1");
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (room.readies() == 0 && std::chrono::steady_clock::now() < end) room.reactor.wait(1s);
  REQUIRE(room.readies() == 1);
  CHECK(room.heard.size() == 1);  // one at a time: the second waits until the first is acted on

  // This brain dies here; its successor gets the socket that the keeper kept.
  Room next;
  next.notify.adopt(kRun, std::move(opened.stored), true);
  next.listen();
  REQUIRE(next.heard.size() == 2);
  CHECK(std::holds_alternative<ev::Ready>(next.heard[0]));
  CHECK(std::holds_alternative<ev::Alive>(next.heard[1]));
  next.listen();
  CHECK(next.heard.size() == 2);
}
