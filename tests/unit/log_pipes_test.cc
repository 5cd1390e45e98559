#include "brain/log_pipes.h"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "brain/start_refused.h"

using namespace supv;

namespace {

/// Pipes in a directory of their own, and the scribe's end of the line.
struct Room {
  std::string dir = "/tmp/supv-pipes-XXXXXX";
  Fd scribe;
  std::optional<ScribeChannel> channel;
  std::optional<LogPipes> pipes;
  Account me;

  Room() {
    REQUIRE(::mkdtemp(dir.data()) != nullptr);
    pipes.emplace(dir + "/fifos", dir);
    me.uid = ::geteuid();
    me.gid = ::getegid();
    attach();
  }
  ~Room() { std::filesystem::remove_all(dir); }
  void attach() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    scribe.reset(ends[0]);
    channel.emplace(Fd(ends[1]));
    pipes->attach(&*channel);
  }
  void open(const std::string& log = "") {
    ProcessSpec process;
    process.dir = "/";
    process.log = log;
    pipes->open("w", process, me);
  }
  /// What the scribe has been told to follow since the last call.
  std::vector<scribe::Follow> told() {
    std::vector<scribe::Follow> all;
    scribe::Follow message;
    while (::recv(scribe.get(), &message, sizeof message, MSG_DONTWAIT) == sizeof message)
      all.push_back(message);
    return all;
  }
};

}  // namespace

TEST_CASE("the scribe is told what it does not know, and nothing else") {
  Room room;
  room.open();
  const auto first = room.told();
  REQUIRE(first.size() == 1);
  CHECK(std::string(first[0].log) == room.dir + "/w.log");
  room.open();
  CHECK(room.told().empty());  // the next run goes on in the same FIFO
  room.open(room.dir + "/other.log");
  CHECK(room.told().size() == 1);
  room.pipes->tell_again(first[0].id);  // it had trouble
  room.open(room.dir + "/other.log");
  CHECK(room.told().size() == 1);
  // Moved away, not removed: another FIFO could get the number of one that is gone.
  std::filesystem::rename(room.dir + "/fifos/w.out", room.dir + "/away");
  room.open(room.dir + "/other.log");
  CHECK(room.told().size() == 1);
  room.attach();  // another scribe
  CHECK(room.told().size() == 1);
  room.open(room.dir + "/other.log");
  CHECK(room.told().empty());
}

TEST_CASE("a log that nobody can write to is refused and not remembered") {
  Room room;
  CHECK_THROWS_AS(room.open("/" + std::string(5000, 'x')), StartRefused);
  CHECK(room.pipes->empty());
  room.attach();
  CHECK(room.told().empty());
}
