#include "brain/reactor.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <chrono>

using namespace supv;
using namespace std::chrono_literals;

namespace {

struct Pair {
  Fd a, b;
};

Pair socket_pair() {
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

void poke(const Fd& fd) { REQUIRE(::write(fd.get(), "x", 1) == 1); }

void drain(const Fd& fd) {
  char byte;
  while (::read(fd.get(), &byte, 1) > 0) {
  }
}

}  // namespace

TEST_CASE("a ready descriptor calls its callback, a silent one does not") {
  Reactor reactor;
  Pair loud = socket_pair();
  Pair silent = socket_pair();
  int heard = 0;
  int wrong = 0;
  reactor.watch(loud.a.get(), EPOLLIN, [&](std::uint32_t events) {
    CHECK((events & EPOLLIN) != 0);
    ++heard;
    drain(loud.a);
  });
  reactor.watch(silent.a.get(), EPOLLIN, [&](std::uint32_t) { ++wrong; });
  poke(loud.b);
  CHECK(reactor.wait(1s));
  CHECK(heard == 1);
  CHECK_FALSE(reactor.wait(0ns));
  CHECK(heard == 1);
  CHECK(wrong == 0);
}

TEST_CASE("a callback may forget another one that is ready in the same wait") {
  Reactor reactor;
  Pair one = socket_pair();
  Pair two = socket_pair();
  int calls = 0;
  Reactor::Token first{};
  Reactor::Token second{};
  first = reactor.watch(one.a.get(), EPOLLIN, [&](std::uint32_t) {
    ++calls;
    reactor.forget(second);
  });
  second = reactor.watch(two.a.get(), EPOLLIN, [&](std::uint32_t) {
    ++calls;
    reactor.forget(first);
  });
  poke(one.b);
  poke(two.b);
  reactor.wait(1s);
  CHECK(calls == 1);
}

TEST_CASE("a callback may forget itself and go on using what it captured") {
  Reactor reactor;
  Pair pair = socket_pair();
  Reactor::Token token{};
  std::string seen;
  token = reactor.watch(pair.a.get(), EPOLLIN,
                        [&reactor, &token, &seen, text = std::string(100, 'q')](std::uint32_t) {
                          reactor.forget(token);
                          seen = text;  // Freed memory here, were the callback not held.
                        });
  poke(pair.b);
  reactor.wait(1s);
  CHECK(seen == std::string(100, 'q'));
  CHECK_FALSE(reactor.wait(0ns));
}

TEST_CASE("readiness of a closed and reopened descriptor number reaches only the new owner") {
  Reactor reactor;
  Pair trigger = socket_pair();
  Pair old = socket_pair();
  Pair fresh = socket_pair();
  int old_calls = 0;
  Reactor::Token token = reactor.watch(old.a.get(), EPOLLIN, [&](std::uint32_t) { ++old_calls; });
  const int number = old.a.get();
  poke(old.b);
  reactor.forget(token);
  REQUIRE(::dup3(fresh.a.get(), number, O_CLOEXEC) == number);
  int new_calls = 0;
  const Reactor::Token next = reactor.watch(number, EPOLLIN, [&](std::uint32_t) { ++new_calls; });
  CHECK(next != token);
  CHECK_FALSE(reactor.wait(0ns));
  poke(fresh.b);
  CHECK(reactor.wait(1s));
  CHECK(old_calls == 0);
  CHECK(new_calls == 1);
}

TEST_CASE("a forgotten descriptor with a living duplicate wakes nobody") {
  Reactor reactor;
  Pair pair = socket_pair();
  const Fd duplicate(::fcntl(pair.a.get(), F_DUPFD_CLOEXEC, 0));
  const Reactor::Token token = reactor.watch(pair.a.get(), EPOLLIN, [](std::uint32_t) {});
  reactor.forget(token);
  pair.a.reset();
  poke(pair.b);
  CHECK_FALSE(reactor.wait(0ns));
}

TEST_CASE("the timeout is rounded up, so the deadline has passed when wait returns") {
  Reactor reactor;
  for (int i = 0; i < 20; ++i) {
    const auto before = std::chrono::steady_clock::now();
    CHECK_FALSE(reactor.wait(1200us));
    CHECK(std::chrono::steady_clock::now() - before >= 1200us);
  }
  CHECK_FALSE(reactor.wait(-5s));
}

TEST_CASE("Watching ends its registration, also when moved") {
  Reactor reactor;
  Pair pair = socket_pair();
  int calls = 0;
  {
    Watching first(reactor, pair.a.get(), EPOLLIN, [&](std::uint32_t) { ++calls; });
    Watching second(std::move(first));
    first.reset();
    poke(pair.b);
    reactor.wait(1s);
    CHECK(calls == 1);
    second.change(0);
    CHECK_FALSE(reactor.wait(0ns));
  }
  CHECK_FALSE(reactor.wait(0ns));
  CHECK(calls == 1);
}
