#include "brain/peers.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.h"

using namespace supv;

namespace {

/// ada (1000) is in ops, bob (1001) in dev, eve (1002) in none.
struct Village {
  int looked_up = 0;
  bool ada_left_ops = false;
  UserBook book() {
    return {[this](uid_t uid) -> std::optional<UserBook::User> {
              ++looked_up;
              if (uid == 1000) return UserBook::User{"ada", 100};
              if (uid == 1001) return UserBook::User{"bob", 100};
              if (uid == 1002) return UserBook::User{"eve", 100};
              return std::nullopt;
            },
            [this](const UserBook::User& user) -> std::vector<std::string> {
              if (user.name == "ada" && !ada_left_ops) return {"users", "ops"};
              if (user.name == "bob") return {"users", "dev"};
              return {"users"};
            }};
  }
};

DaemonSpec daemon_with(std::vector<std::string> operators, std::vector<std::string> readers) {
  DaemonSpec spec;
  spec.operators = std::move(operators);
  spec.readers = std::move(readers);
  return spec;
}

}  // namespace

TEST_CASE("root and supvd's own user may do everything, nobody else may anything") {
  Village village;
  Peers peers(500, village.book());
  CHECK(peers.right_of(0) == Right::all);
  CHECK(peers.right_of(500) == Right::all);
  CHECK(peers.is_master(500));
  CHECK_FALSE(peers.is_master(1000));
  CHECK(village.looked_up == 0);  // Not even when the user database does not answer.
  CHECK(peers.right_of(1000) == Right::none);
  CHECK(peers.right_of(4711) == Right::none);
}

TEST_CASE("operators and readers are users and groups") {
  Village village;
  Peers peers(0, village.book());
  peers.allow(daemon_with({"@ops", "eve"}, {"@dev"}));
  CHECK(peers.right_of(1000) == Right::all);
  CHECK(peers.right_of(1001) == Right::read);
  CHECK(peers.right_of(1002) == Right::all);
  CHECK(peers.right_of(4711) == Right::none);
  peers.allow(daemon_with({}, {"@users"}));
  CHECK(peers.right_of(1000) == Right::read);
  peers.allow(daemon_with({"4711"}, {}));  // A user without an entry.
  CHECK(peers.right_of(4711) == Right::all);
  CHECK(peers.right_of(1000) == Right::none);
  // A group's name is no user's name, and the other way round.
  peers.allow(daemon_with({"ops", "@ada", "@0"}, {}));
  CHECK(peers.right_of(1000) == Right::none);
  // Who is both is an operator.
  peers.allow(daemon_with({"bob"}, {"@dev"}));
  CHECK(peers.right_of(1001) == Right::all);
}

TEST_CASE("a look-up is remembered for a minute, not for ever") {
  Village village;
  Peers peers(0, village.book());
  peers.allow(daemon_with({"@ops"}, {}));
  const Time start{std::chrono::hours(1)};
  peers.age(start);
  CHECK(peers.right_of(1000) == Right::all);
  CHECK(peers.right_of(1000) == Right::all);
  CHECK(village.looked_up == 1);
  village.ada_left_ops = true;
  peers.age(start + std::chrono::seconds(59));
  CHECK(peers.right_of(1000) == Right::all);
  peers.age(start + std::chrono::seconds(60));
  CHECK(peers.right_of(1000) == Right::none);
}

TEST_CASE("names") {
  Village village;
  Peers peers(0, village.book());
  CHECK(peers.name_of(0) == "root");
  CHECK(peers.name_of(1000) == "ada");
  CHECK(peers.name_of(4711) == "4711");
}

TEST_CASE("the host's own user database") {
  const UserBook book = host_users();
  const auto root = book.user(0);
  REQUIRE(root);
  CHECK(root->name == "root");
  const auto groups = book.groups(*root);
  CHECK(std::find(groups.begin(), groups.end(), "root") != groups.end());
  CHECK_FALSE(book.user(3'999'999'999U));
}

TEST_CASE("the socket is open to all only when the peer check lets somebody in") {
  CHECK(socket_mode(daemon_with({}, {})) == 0600);
  CHECK(socket_mode(daemon_with({"ada"}, {})) == 0666);
  CHECK(socket_mode(daemon_with({}, {"@dev"})) == 0666);
  DaemonSpec written = daemon_with({"ada"}, {});
  written.socket_mode = 0660;
  CHECK(socket_mode(written) == 0660);
}

TEST_CASE("the kernel names the peer") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const Fd one(ends[0]);
  const Fd other(ends[1]);
  CHECK(peer_uid(one.get()) == ::getuid());
  CHECK_FALSE(peer_uid(-1));
}
