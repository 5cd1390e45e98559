#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "keeper/channel.h"

using namespace supv;

namespace {

struct Pair {
  Pair() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    keeper.reset(ends[0]);
    channel = std::make_unique<Channel>(Fd(ends[1]));
  }
  Fd keeper;
  std::unique_ptr<Channel> channel;
};

int open_fds() {
  int count = 0;
  for (int fd = 0; fd < 256; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("messages come through whole, in order, with their descriptors") {
  Pair pair;
  for (std::uint32_t i = 1; i <= 3; ++i) {
    wire::Stop stop{wire::Kind::stop, i, i, 0, 0};
    std::vector<Fd> fds;
    if (i == 2) fds.emplace_back(::memfd_create("two", MFD_CLOEXEC));
    REQUIRE(pair.channel->send(stop, std::move(fds)));
  }
  for (std::uint32_t i = 1; i <= 3; ++i) {
    wire::Stop stop{};
    REQUIRE(::recv(pair.keeper.get(), &stop, sizeof stop, 0) == sizeof stop);
    CHECK(stop.after == i);
  }
}

TEST_CASE("what finds no room waits in order, descriptors included") {
  const int before = open_fds();
  {
    Pair pair;
    constexpr int kMany = 3000;
    for (int i = 0; i < kMany; ++i) {
      wire::Spawn spawn{};
      spawn.kind = wire::Kind::spawn;
      spawn.run = static_cast<wire::Run>(i);
      std::vector<Fd> fds;
      if (i % 100 == 0) fds.emplace_back(::memfd_create("plan", MFD_CLOEXEC));
      REQUIRE(pair.channel->send(spawn, std::move(fds)));
    }
    CHECK(pair.channel->wants_write());
    int with_fd = 0;
    for (int i = 0; i < kMany; ++i) {
      wire::Spawn spawn{};
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
      iovec part{&spawn, sizeof spawn};
      msghdr header{};
      header.msg_iov = &part;
      header.msg_iovlen = 1;
      header.msg_control = control;
      header.msg_controllen = sizeof control;
      REQUIRE(::recvmsg(pair.keeper.get(), &header, MSG_CMSG_CLOEXEC) == sizeof spawn);
      REQUIRE(spawn.run == static_cast<wire::Run>(i));
      if (header.msg_controllen != 0) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof fd);
        ::close(fd);
        ++with_fd;
      }
      if (pair.channel->wants_write()) REQUIRE(pair.channel->flush());
    }
    CHECK(with_fd == kMany / 100);
    CHECK(!pair.channel->wants_write());
  }
  CHECK(open_fds() == before);
}

TEST_CASE("news and slots are told apart, anything else is skipped, and the end is seen") {
  const int before = open_fds();
  {
    Pair pair;
    FromKeeper from;
    CHECK(pair.channel->receive(from) == Channel::Got::nothing);
    const char junk[200] = "junk";
    for (const std::size_t size : {std::size_t{1}, std::size_t{4}, std::size_t{200}})
      ::send(pair.keeper.get(), junk, size, 0);
    wire::Slot oversized{};
    oversized.kind = wire::Kind::slot;
    oversized.memo_size = wire::kMaxMemo + 1;
    ::send(pair.keeper.get(), &oversized, sizeof oversized, 0);
    wire::News news{};
    news.kind = wire::Kind::launched;
    news.run = 7;
    ::send(pair.keeper.get(), &news, sizeof news, 0);
    const wire::Plain dumped{wire::Kind::dumped, 0, 0};
    ::send(pair.keeper.get(), &dumped, sizeof dumped, 0);
    REQUIRE(pair.channel->receive(from) == Channel::Got::message);
    REQUIRE(std::holds_alternative<wire::News>(from.message));
    CHECK(std::get<wire::News>(from.message).run == 7);
    REQUIRE(pair.channel->receive(from) == Channel::Got::message);
    CHECK(std::holds_alternative<wire::Plain>(from.message));
    CHECK(pair.channel->receive(from) == Channel::Got::nothing);
    pair.keeper.reset();
    CHECK(pair.channel->receive(from) == Channel::Got::closed);
    CHECK(!pair.channel->send(dumped));
  }
  CHECK(open_fds() == before);
}
