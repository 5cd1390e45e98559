#include "brain/control.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <filesystem>
#include <set>

using namespace supv;
using namespace std::chrono_literals;

namespace {

constexpr const char* kVersion = R"({"jsonrpc":"2.0","id":1,"method":"version"})"
                                 "\n";
constexpr const char* kStatus = R"({"jsonrpc":"2.0","id":2,"method":"status"})"
                                "\n";

std::string deed(int id) {
  return R"({"jsonrpc":"2.0","id":)" + std::to_string(id) +
         R"(,"method":"restart","params":{"select":["web"],"action_id":"a"}})"
         "\n";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A world whose core is a list of questions; the test answers them.
struct FakeWorld : ControlWorld {
  std::deque<Request> questions;
  std::set<ClientId> gone;
  std::vector<std::pair<ClientId, std::uint64_t>> kv_questions;
  std::vector<std::string> lines;
  Time time{1h};

  Time clock() override { return time; }
  void asked(const Request& request) override { questions.push_back(request); }
  void client_gone(ClientId client) override { CHECK(gone.insert(client).second); }
  protocol::Supvd supvd() override { return {71, "9.9", 1, "", ""}; }
  protocol::Used used(const WatchReport&) override { return {4096, 1.5}; }
  protocol::LogFiles log_files(const WatchReport& watch) override {
    return {watch.name, "/log/" + watch.name, "/log/" + watch.name};
  }
  std::vector<std::string> history(std::size_t count,
                                   const std::function<bool(std::string_view)>& wanted) override {
    std::vector<std::string> found;
    for (const std::string& line : lines) {
      if (wanted(protocol::parse_history(line)->note.watch)) found.push_back(line);
    }
    if (found.size() > count) found.erase(found.begin(), found.end() - static_cast<long>(count));
    return found;
  }
  void kv(ClientId client, std::uint64_t tag, const protocol::Call&) override {
    kv_questions.emplace_back(client, tag);
  }
};

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  return address;
}

Fd connected(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un address = address_of(path);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    fd.reset();
  }
  return fd;
}

struct Server {
  explicit Server(ControlLimits limits = {}, uid_t self = ::getuid())
      : directory(make_directory()),
        path(directory + "/sock"),
        peers(self),
        control(listen(), reactor, world, peers, limits) {}
  ~Server() { std::filesystem::remove_all(directory); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  static std::string make_directory() {
    std::string name = "/tmp/supv-control-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    return name;
  }
  Fd listen() const {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_un address = address_of(path);
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd.get(), 4096) == 0);
    return fd;
  }
  /// Serves until nothing is left to do.
  void serve() {
    while (reactor.wait(0ns)) ++turns;
  }
  void answer(const Request& request, const std::string& text) {
    Report report;
    report.text = text;
    control.reply({request.client, request.tag, false, report});
  }
  void answer_all() {
    while (!world.questions.empty()) {
      const Request request = world.questions.front();
      world.questions.pop_front();
      answer(request, "done");
    }
  }

  std::string directory;
  std::string path;
  Reactor reactor;
  FakeWorld world;
  Peers peers;
  Control control;
  int turns = 0;
};

struct Client {
  explicit Client(Server& at) : server(at), fd(connected(at.path)) { REQUIRE(fd); }
  void say(std::string_view text) {
    REQUIRE(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(text.size()));
    server.serve();
  }
  /// What has arrived; `ended` when the server has closed.
  std::string hear() {
    server.serve();
    std::string text;
    char bytes[65536];
    ssize_t count = 0;
    while ((count = ::recv(fd.get(), bytes, sizeof bytes, 0)) > 0) {
      text.append(bytes, static_cast<std::size_t>(count));
      server.serve();
    }
    ended = count == 0 || errno != EAGAIN;
    return text;
  }
  Server& server;
  Fd fd;
  bool ended = false;
};

std::size_t lines_in(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("each call gets exactly one reply, in any order") {
  Server server;
  Client client(server);
  client.say(deed(1) + deed(2) + kVersion);
  REQUIRE(server.world.questions.size() == 2);
  CHECK(server.world.questions[0].by == server.peers.name_of(::getuid()));
  CHECK(server.world.questions[0].action_id == "a");
  CHECK(contains(client.hear(), R"("version":"9.9")"));
  const Request first = server.world.questions[0];
  server.answer(server.world.questions[1], "second");
  server.answer(first, "first");
  server.answer(first, "again");  // Nobody waits for this any more.
  const std::string heard = client.hear();
  CHECK(lines_in(heard) == 2);
  CHECK(heard.find("second") < heard.find("first"));
  CHECK_FALSE(client.ended);
}

TEST_CASE("progress comes before the result") {
  Server server;
  Client client(server);
  client.say(deed(7));
  const Request request = server.world.questions.at(0);
  Report progress;
  progress.expect_ms = 5000;
  server.control.reply({request.client, request.tag, true, progress});
  CHECK(contains(client.hear(), R"("method":"progress","params":{"id":7,"expect_ms":5000)"));
  server.answer(request, "done");
  CHECK(lines_in(client.hear()) == 1);
  server.control.reply({request.client, request.tag, true, progress});
  CHECK(client.hear().empty());
}

TEST_CASE("what is no call gets an error, and the connection goes on") {
  Server server;
  Client client(server);
  client.say("{]\n\n{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"statsu\"}\n");
  const std::string heard = client.hear();
  CHECK(lines_in(heard) == 2);
  CHECK(contains(heard, "-32700"));
  CHECK(contains(heard, "did you mean 'status'?"));
  client.say(kVersion);
  CHECK(lines_in(client.hear()) == 1);
}

TEST_CASE("other protocols die at their first byte") {
  for (const char* request : {"GET / HTTP/1.1\r\n\r\n{\"jsonrpc\":\"2.0\"}\n",
                              "*1\r\n$4\r\nPING\r\n", "\n", "[{}]\n", " {}\n"}) {
    Server server;
    Client client(server);
    client.say(request);
    CHECK(client.hear().empty());
    CHECK(client.ended);
    CHECK(server.control.clients() == 0);
  }
}

TEST_CASE("half a line waits, byte by byte makes a whole one, and neither holds a place") {
  Server server;
  Client slow(server);
  for (const char c : std::string(kVersion)) slow.say({&c, 1});
  CHECK(lines_in(slow.hear()) == 1);
  Client half(server);
  half.say(R"({"jsonrpc":"2.0",)");
  server.world.time += 29s;
  server.control.tick();
  half.say(" ");  // Bytes alone buy no time.
  CHECK(server.control.clients() == 2);
  CHECK(server.control.wake() == server.world.time + 1s);
  server.world.time += 1s;
  server.control.tick();
  CHECK(server.control.clients() == 0);
  CHECK_FALSE(server.control.wake());
  CHECK(half.hear().empty());
  CHECK(half.ended);
}

TEST_CASE("who waits for an answer or follows events may be silent for ever") {
  Server server;
  Client waits(server);
  waits.say(R"({"jsonrpc":"2.0","id":1,"method":"wait","params":{"all":true,"for":"up"}})"
            "\n");
  Client follows(server);
  follows.say(R"({"jsonrpc":"2.0","id":1,"method":"events","params":{"follow":true}})"
              "\n");
  follows.hear();
  server.world.time += 5h;
  CHECK_FALSE(server.control.wake());
  server.control.tick();
  CHECK(server.control.clients() == 2);
  server.answer_all();
  CHECK(lines_in(waits.hear()) == 1);
  server.control.publish("web", R"({"wall_ms":1,"watch":"web"})");
  CHECK(contains(follows.hear(), R"("method":"event")"));
  // The answer gave the one who waited time for another question.
  server.world.time += 29s;
  server.control.tick();
  CHECK(server.control.clients() == 2);
}

TEST_CASE("events can be followed for some watches, and one that does not read is dropped") {
  Server server;
  Client client(server);
  client.say(
      R"({"jsonrpc":"2.0","id":1,"method":"events","params":{"follow":true,"select":["w*"]}})"
      "\n");
  CHECK(server.world.questions.at(0).verb == Request::Verb::show);
  server.answer_all();
  CHECK(lines_in(client.hear()) == 1);
  server.control.publish("job", R"({"wall_ms":1,"watch":"job"})");
  CHECK(client.hear().empty());
  server.control.publish("web", R"({"wall_ms":1,"watch":"web"})");
  CHECK(lines_in(client.hear()) == 1);
  const std::string line =
      R"({"wall_ms":1,"watch":"web","reason":")" + std::string(1000, 'x') + "\"}";
  for (int i = 0; i < 5000 && server.control.clients() > 0; ++i)
    server.control.publish("web", line);
  CHECK(server.control.clients() == 0);
  CHECK(server.control.turned_away() == 1);
}

TEST_CASE("a reader that does not read is not read from either") {
  Server server;
  Client client(server);
  Report large;
  large.watches.resize(2000);
  int answered = 0;
  // It keeps asking as long as the socket takes it; memory stays at one reply.
  for (int i = 0; i < 100000; ++i) {
    if (::send(client.fd.get(), kStatus, std::strlen(kStatus), MSG_NOSIGNAL) < 0) break;
    server.serve();
    CHECK(server.world.questions.size() <= 1);
    while (!server.world.questions.empty()) {
      const Request request = server.world.questions.front();
      server.world.questions.pop_front();
      server.control.reply({request.client, request.tag, false, large});
      ++answered;
      server.serve();
    }
  }
  CHECK(answered < 5);
  CHECK(server.control.clients() == 1);
  server.world.time += 31s;
  server.control.tick();
  CHECK(server.control.clients() == 0);
}

TEST_CASE("a large reply arrives whole at somebody who reads") {
  Server server;
  Client client(server);
  client.say(kStatus);
  Report large;
  large.watches.resize(5000);
  const Request request = server.world.questions.at(0);
  server.control.reply({request.client, request.tag, false, large});
  const std::string heard = client.hear();
  CHECK(heard.size() > 1'000'000);
  const auto answer = protocol::parse_answer(heard);
  REQUIRE(answer);
  CHECK(answer->report.watches.size() == 5000);
  CHECK(answer->used.at(4999).rss_bytes == 4096);
}

TEST_CASE("a line without end is refused and closed") {
  Server server;
  Client client(server);
  const std::string part = "{" + std::string(60000, ' ');
  for (int i = 0; i < 6; ++i) {
    if (::send(client.fd.get(), part.data(), part.size(), MSG_NOSIGNAL) < 0) break;
    server.serve();
  }
  const std::string heard = client.hear();
  CHECK(contains(heard, "line too long"));
  CHECK(lines_in(heard) == 1);
  CHECK(client.ended);
  CHECK(server.control.clients() == 0);
}

TEST_CASE("who has stopped sending is still answered; who has gone is reported once") {
  Server server;
  Client polite(server);
  polite.say(deed(1));
  ::shutdown(polite.fd.get(), SHUT_WR);
  server.serve();
  const int before = server.turns;
  server.serve();
  CHECK(server.turns == before);  // The end of its input is no busy loop.
  CHECK(server.control.clients() == 1);
  server.answer_all();
  CHECK(lines_in(polite.hear()) == 1);
  CHECK(polite.ended);
  CHECK(server.world.gone.size() == 1);

  {
    Client hasty(server);
    REQUIRE(::send(hasty.fd.get(), deed(2).data(), deed(2).size(), MSG_NOSIGNAL) > 0);
  }
  server.serve();
  CHECK(server.world.questions.size() == 1);  // What it had said counts.
  CHECK(server.control.clients() == 0);
  CHECK(server.world.gone.size() == 2);
  server.answer_all();
  CHECK(server.world.gone.size() == 2);

  Client without_newline(server);
  without_newline.say(R"({"jsonrpc":"2.0","id":1,"method":"version"})");
  ::shutdown(without_newline.fd.get(), SHUT_WR);
  CHECK(lines_in(without_newline.hear()) == 1);
}

TEST_CASE("descriptors that nobody asked for are closed") {
  Server server;
  Client client(server);
  const auto open_descriptors = [] {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
  };
  server.serve();
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto before = open_descriptors();
  int sent = 0;
  for (int i = 0; i < 40; ++i) {
    std::string text = kVersion;
    iovec part{text.data(), text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 200)] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * 200);
    for (std::size_t n = 0; n < 200; ++n) {
      const int fd = null.get();
      std::memcpy(CMSG_DATA(rights) + n * sizeof fd, &fd, sizeof fd);
    }
    if (::sendmsg(client.fd.get(), &message, MSG_NOSIGNAL) > 0) ++sent;
    server.serve();
  }
  CHECK(sent == 40);
  CHECK(lines_in(client.hear()) == 40);
  CHECK(open_descriptors() == before);
}

TEST_CASE("selectors of history are resolved by the core; what is gone has a history too") {
  Server server;
  for (const char* watch : {"web@1", "job", "old", "web@2"}) {
    fx::Note note;
    note.watch = watch;
    server.world.lines.push_back(protocol::history_text({1, note}));
  }
  Client client(server);
  client.say(R"({"jsonrpc":"2.0","id":1,"method":"history","params":{"select":["workers"]}})"
             "\n");
  Report report;
  report.watches.resize(2);
  report.watches[0].name = "web@1";
  report.watches[1].name = "web@2";
  const Request request = server.world.questions.at(0);
  server.world.questions.clear();
  server.control.reply({request.client, request.tag, false, report});
  const auto answer = protocol::parse_answer(client.hear());
  REQUIRE(answer);
  REQUIRE(answer->history.size() == 2);
  CHECK(answer->history[1].note.watch == "web@2");
  client.say(R"({"jsonrpc":"2.0","id":2,"method":"history","params":{"select":["old"]}})"
             "\n");
  Report none;
  none.code = code::kNoSuchWatch;
  const Request second = server.world.questions.at(0);
  server.world.questions.clear();
  server.control.reply({second.client, second.tag, false, none});
  CHECK(protocol::parse_answer(client.hear())->history.size() == 1);
  client.say(R"({"jsonrpc":"2.0","id":3,"method":"history","params":{"n":1}})"
             "\n");
  CHECK(protocol::parse_answer(client.hear())->history.at(0).note.watch == "web@2");
}

TEST_CASE("logs and kv") {
  Server server;
  Client client(server);
  client.say(R"({"jsonrpc":"2.0","id":1,"method":"logs","params":{"select":["web"]}})"
             "\n");
  Report report;
  report.watches.resize(1);
  report.watches[0].name = "web";
  const Request request = server.world.questions.at(0);
  server.control.reply({request.client, request.tag, false, report});
  CHECK(protocol::parse_answer(client.hear())->logs.at(0).log == "/log/web");
  client.say(R"({"jsonrpc":"2.0","id":1,"method":"kv","params":{"action":"get","key":"k"}})"
             "\n");
  const auto [id, tag] = server.world.kv_questions.at(0);
  server.control.answer_kv(id, tag, {0, "", "value", 12});
  server.control.answer_kv(id, tag, {0, "", "twice", 12});
  const std::string heard = client.hear();
  CHECK(lines_in(heard) == 1);
  CHECK(protocol::parse_answer(heard)->kv.value == "value");
}

TEST_CASE("a thousand clients at once: everybody is answered or told BUSY, exactly once") {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit wanted{std::min<rlim_t>(4096, before.rlim_max), before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &wanted);
  {
    Server server;
    std::vector<Fd> clients;
    for (int i = 0; i < 1000; ++i) {
      clients.push_back(connected(server.path));
      REQUIRE(clients.back());
      REQUIRE(::send(clients.back().get(), kStatus, std::strlen(kStatus), MSG_NOSIGNAL) > 0);
    }
    int served = 0;
    int busy = 0;
    for (int round = 0; round < 50 && !clients.empty(); ++round) {
      server.serve();
      CHECK(server.control.clients() <= 128);
      server.answer_all();
      std::vector<Fd> again;
      for (Fd& fd : clients) {
        char bytes[4096];
        std::string text;
        ssize_t count = 0;
        while ((count = ::recv(fd.get(), bytes, sizeof bytes, 0)) > 0) {
          text.append(bytes, static_cast<std::size_t>(count));
        }
        REQUIRE(lines_in(text) == 1);
        const auto answer = protocol::parse_answer(text);
        REQUIRE(answer);
        if (answer->error == protocol::kBusy) {
          ++busy;
          Fd fresh = connected(server.path);
          REQUIRE(::send(fresh.get(), kStatus, std::strlen(kStatus), MSG_NOSIGNAL) > 0);
          again.push_back(std::move(fresh));
        } else {
          CHECK(answer->kind == protocol::Answer::Kind::result);
          ++served;
        }
        fd.reset();
      }
      clients = std::move(again);
    }
    CHECK(served == 1000);
    CHECK(busy > 0);
    server.serve();
    CHECK(server.control.clients() == 0);
    CHECK(server.world.gone.size() == 1000);
  }
  ::setrlimit(RLIMIT_NOFILE, &before);
}

namespace {

/// In a child: `count` clients that stay, each asking once; tells how many were answered and how
/// many were told BUSY.
struct Crowd {
  struct Result {
    int answered = 0;
    int busy = 0;
    int denied = 0;
  };
  Crowd(const std::string& path, int count, uid_t uid) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    child = ::fork();
    if (child == 0) ::_exit(run(path, count, uid, ends[1]));
    ::close(ends[1]);
    report.reset(ends[0]);
  }
  static int run(const std::string& path, int count, uid_t uid, int out) {
    if (uid != ::getuid() && ::setuid(uid) < 0) return 1;
    std::vector<Fd> clients;
    for (int i = 0; i < count; ++i) {
      clients.push_back(connected(path));
      if (!clients.back()) return 2;
      if (::send(clients.back().get(), kVersion, std::strlen(kVersion), MSG_NOSIGNAL) < 0 &&
          errno != EPIPE) {
        return 3;
      }
    }
    Result result;
    for (const Fd& fd : clients) {
      pollfd ready{fd.get(), POLLIN, 0};
      if (::poll(&ready, 1, 30000) != 1) return 4;
      char bytes[4096];
      const ssize_t size = ::recv(fd.get(), bytes, sizeof bytes, 0);
      if (size <= 0) return 5;
      const std::string text(bytes, static_cast<std::size_t>(size));
      if (lines_in(text) != 1) return 6;
      const auto answer = protocol::parse_answer(text);
      if (!answer) return 7;
      ++(answer->error == protocol::kBusy ? result.busy
         : answer->code == code::kDenied  ? result.denied
                                          : result.answered);
    }
    return ::write(out, &result, sizeof result) == sizeof result ? 0 : 8;
  }
  Result result(Server& server) {
    // The child ends the pipe, so this ends.
    Watching watching(server.reactor, report.get(), EPOLLIN,
                      [this](std::uint32_t) { done = true; });
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!done && std::chrono::steady_clock::now() < deadline) {
      server.reactor.wait(50ms);
      ++server.turns;
      server.world.time = Time(std::chrono::steady_clock::now().time_since_epoch());
      server.control.tick();
    }
    Result got;
    CHECK(::read(report.get(), &got, sizeof got) == sizeof got);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == 0);
    return got;
  }
  pid_t child = 0;
  Fd report;
  bool done = false;
};

}  // namespace

TEST_CASE("out of descriptors everybody is still told, and nothing spins") {
  Server server;
  server.world.time = Time(std::chrono::steady_clock::now().time_since_epoch());
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  Crowd crowd(server.path, 200, ::getuid());
  const rlimit few{64, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &few);
  const Crowd::Result result = crowd.result(server);
  CHECK(result.answered > 20);
  CHECK(result.busy > 100);
  CHECK(result.answered + result.busy == 200);
  CHECK(server.turns < 2000);
  ::setrlimit(RLIMIT_NOFILE, &before);
  server.serve();
  CHECK(server.control.clients() == 0);
  Client after(server);
  after.say(kVersion);
  CHECK(lines_in(after.hear()) == 1);
}

TEST_CASE("strangers: sixteen places, no rights, and never root's place") {
  if (::getuid() != 0) return;  // Needs another user.
  constexpr uid_t kStranger = 65534;
  Server server;
  server.world.time = Time(std::chrono::steady_clock::now().time_since_epoch());
  std::filesystem::permissions(server.directory, std::filesystem::perms(0755));
  std::filesystem::permissions(server.path, std::filesystem::perms(0666));
  {
    Crowd crowd(server.path, 40, kStranger);
    const Crowd::Result result = crowd.result(server);
    CHECK(result.denied == 16);
    CHECK(result.busy == 24);
    CHECK(result.answered == 0);
  }
  DaemonSpec daemon;
  daemon.readers = {std::to_string(kStranger)};
  server.peers.allow(daemon);
  server.serve();
  Crowd crowd(server.path, 10, kStranger);
  CHECK(crowd.result(server).answered == 10);
}

TEST_CASE("garbage of every kind harms nobody else") {
  Server server;
  Client good(server);
  std::uint32_t state = 12345;
  const auto random = [&state] { return (state = state * 1664525 + 1013904223) >> 8; };
  for (int i = 0; i < 500; ++i) {
    Client bad(server);
    std::string text = random() % 2 == 0 ? "{" : kStatus;
    for (std::uint32_t n = random() % 300; n > 0; --n) {
      text += random() % 16 == 0 ? '\n' : static_cast<char>(random());
    }
    bad.say(text);
    server.answer_all();
    if (random() % 2 == 0) bad.hear();
  }
  server.serve();
  CHECK(server.control.clients() == 1);
  good.say(kVersion);
  CHECK(lines_in(good.hear()) == 1);
}
