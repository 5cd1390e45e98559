#include <doctest/doctest.h>

#include <optional>

#include "../lib/child.h"
#include "../lib/courier_fixture.h"

using namespace supv;
using namespace supv::courier;
using namespace supv::test;

namespace {

constexpr const char* kKey = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// An authority made for one test, with the certificates it signs.
class Authority {
 public:
  Authority(const TempDirectory& directory, const std::string& name) : base_(directory / name) {
    run(std::string("openssl req -x509 ") + kKey + " -days 2 -subj /CN=" + name + " -keyout " +
        base_ + ".key -out " + file());
  }
  std::string file() const { return base_ + ".pem"; }
  /// Makes PATH.pem and PATH.key.
  void sign(const std::string& path, const std::string& subject, const std::string& names) const {
    run(std::string("openssl req ") + kKey + " -subj /CN=" + subject + " -keyout " + path +
        ".key -out " + path + ".csr");
    std::ofstream(path + ".ext") << "subjectAltName=" << names << "\n";
    run("openssl x509 -req -days 2 -in " + path + ".csr -CA " + file() + " -CAkey " + base_ +
        ".key -CAcreateserial -extfile " + path + ".ext -out " + path + ".pem");
  }

 private:
  static void run(const std::string& command) {
    int status = 0;
    const std::string output = shell(command + " 2>&1", &status);
    CAPTURE(output);
    REQUIRE(status == 0);
  }
  std::string base_;
};

/// openssl's own server: answers every GET with what it knows of the connection.
class TlsServer {
 public:
  TlsServer(const TempDirectory& directory, const std::string& certificate,
            const std::vector<std::string>& more = {}) {
    std::vector<std::string> argv{
        "openssl", "s_server",           "-accept", "127.0.0.1:0",       "-www",
        "-cert",   certificate + ".pem", "-key",    certificate + ".key"};
    argv.insert(argv.end(), more.begin(), more.end());
    child_.emplace(argv, directory / "server.log");
    port_ = child_->await("ACCEPT 127.0.0.1:");
    REQUIRE_FALSE(port_.empty());
  }
  std::string url() const { return "https://127.0.0.1:" + port_ + "/"; }

 private:
  std::optional<Child> child_;
  std::string port_;
};

Request with(const std::string& url, const Connection& connection) {
  static std::uint64_t tag = 0;
  Request request = get(++tag, url);
  request.connection = connection;
  return request;
}

Done ask(CourierChannel& channel, const Request& request) {
  REQUIRE(channel.send(request));
  Done done = next(channel);
  REQUIRE(done.tag == request.tag);
  return done;
}

Connection trusting(const std::string& ca_file) {
  Connection connection;
  connection.ca_file = ca_file;
  return connection;
}

}  // namespace

TEST_CASE("a server is trusted for its authority and its name, or not at all") {
  const TempDirectory directory;
  const Authority authority(directory, "ca");
  const Authority stranger(directory, "stranger");
  authority.sign(directory / "by-address", "x", "IP:127.0.0.1");
  authority.sign(directory / "by-name", "x", "DNS:server.dc1.consul");
  const CourierProcess courier;
  CourierChannel channel = courier.connect();

  SUBCASE("right authority, right name") {
    const TlsServer server(directory, directory / "by-address");
    CHECK(ask(channel, with(server.url(), trusting(authority.file()))).status == 200);
    const Done unknown = ask(channel, with(server.url(), {}));
    CHECK(unknown.status == 0);
    CHECK(contains(unknown.error, "ca_file?"));
    CHECK(ask(channel, with(server.url(), trusting(stranger.file()))).status == 0);
    Connection insecure;
    insecure.insecure = true;
    CHECK(ask(channel, with(server.url(), insecure)).status == 200);
    // The insecure connection is not lent to those who verify.
    CHECK(ask(channel, with(server.url(), {})).status == 0);
  }
  SUBCASE("another name") {
    const TlsServer server(directory, directory / "by-name");
    Connection connection = trusting(authority.file());
    const Done mismatch = ask(channel, with(server.url(), connection));
    CHECK(mismatch.status == 0);
    CHECK(contains(mismatch.error, "set tls_server_name?"));
    connection.tls_server_name = "server.dc1.consul";
    CHECK(ask(channel, with(server.url(), connection)).status == 200);
    connection.tls_server_name = "other.dc1.consul";
    CHECK(contains(ask(channel, with(server.url(), connection)).error, "set tls_server_name?"));
  }
  SUBCASE("a directory of authorities, without hashed names") {
    const TlsServer server(directory, directory / "by-address");
    std::filesystem::create_directories(directory / "cas/deeper");
    Connection connection;
    connection.ca_path = directory / "cas";
    CHECK(contains(ask(channel, with(server.url(), connection)).error, "holds no file"));
    std::filesystem::copy_file(stranger.file(), directory / "cas/a.pem");
    CHECK(ask(channel, with(server.url(), connection)).status == 0);
    std::filesystem::copy_file(authority.file(), directory / "cas/deeper/b.pem");
    CHECK(ask(channel, with(server.url(), connection)).status == 200);
  }
}

TEST_CASE("files that cannot be used are named") {
  const TempDirectory directory;
  std::ofstream(directory / "not.pem") << "hello\n";
  const CourierProcess courier;
  CourierChannel channel = courier.connect();
  const std::string url = "https://127.0.0.1:1/";
  CHECK(contains(ask(channel, with(url, trusting("/nowhere/ca.pem"))).error, "/nowhere/ca.pem"));
  CHECK(contains(ask(channel, with(url, trusting(directory / "not.pem"))).error, "not a PEM file"));
  Connection connection;
  connection.client_cert = "/nowhere/cert.pem";
  CHECK(contains(ask(channel, with(url, connection)).error, "client_cert /nowhere/cert.pem"));
}

TEST_CASE("replaced files count from the next request on") {
  const TempDirectory directory;
  const Authority authority(directory, "ca");
  const Authority stranger(directory, "stranger");
  authority.sign(directory / "server", "x", "IP:127.0.0.1");
  authority.sign(directory / "first", "client-one", "DNS:a");
  authority.sign(directory / "second", "client-two", "DNS:b");
  const TlsServer server(directory, directory / "server",
                         {"-Verify", "1", "-verify_return_error", "-CAfile", authority.file()});
  const auto put = [&](const std::string& from, const std::string& to) {
    std::filesystem::copy_file(directory / from, directory / (to + ".new"));
    std::filesystem::rename(directory / (to + ".new"), directory / to);
  };
  const CourierProcess courier;
  CourierChannel channel = courier.connect();
  Connection connection = trusting(directory / "now-ca");
  put("stranger.pem", "now-ca");

  CHECK(contains(ask(channel, with(server.url(), connection)).error, "ca_file?"));
  put("ca.pem", "now-ca");
  const Done anonymous = ask(channel, with(server.url(), connection));
  CHECK(anonymous.status == 0);
  CHECK(contains(anonymous.error, "client certificate?"));

  connection.client_cert = directory / "cert";
  connection.client_key = directory / "key";
  put("first.pem", "cert");
  put("first.key", "key");
  const Done first = ask(channel, with(server.url(), connection));
  CHECK(first.status == 200);
  CHECK(contains(first.body, "client-one"));
  put("second.pem", "cert");
  put("second.key", "key");
  const Done second = ask(channel, with(server.url(), connection));
  CHECK(second.status == 200);
  CHECK(contains(second.body, "client-two"));
}

namespace {

int open_connections(pid_t pid) {
  int count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    std::error_code error;
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    const std::string row = "/proc/" + std::to_string(pid) + "/net/tcp";
    if (target.find("socket:[") != 0) continue;
    const std::string inode = ' ' + target.substr(8, target.size() - 9) + ' ';
    if (contains(read_file(row), inode)) ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("hundreds of blocking queries over TLS share two connections of a real agent") {
  int status = 0;
  const std::string consul = shell("sh '" SUPV_SOURCE_DIR "/tests/lib/consul.sh' 2>&1", &status);
  if (status != 0) {
    MESSAGE("skipped: " << consul);
    return;
  }
  const TempDirectory directory;
  const Authority authority(directory, "ca");
  authority.sign(directory / "agent", "x", "DNS:server.dc1.consul,IP:127.0.0.1");
  const std::string ports = shell(
      "python3 -c 'import socket as s;l=[s.socket() for _ in range(6)];"
      "[x.bind((\"127.0.0.1\",0)) for x in l];print(*[x.getsockname()[1] for x in l])'");
  std::istringstream numbers(ports);
  std::string https, server, lan, wan, dns, http;
  numbers >> https >> server >> lan >> wan >> dns >> http;
  std::ofstream(directory / "agent.json")
      << "{\"ports\":{\"https\":" << https << ",\"http\":" << http << ",\"server\":" << server
      << ",\"serf_lan\":" << lan << ",\"serf_wan\":" << wan << ",\"dns\":" << dns
      << ",\"grpc\":-1},\"cert_file\":\"" << directory / "agent.pem"
      << "\",\"key_file\":\"" << directory / "agent.key"
      << "\",\"ca_file\":\"" << authority.file() << "\"}";
  Child agent({consul, "agent", "-dev", "-bind", "127.0.0.1", "-client", "127.0.0.1",
               "-config-file", directory / "agent.json"},
              directory / "agent.log");

  const CourierProcess courier;
  CourierChannel channel = courier.connect();
  Connection connection = trusting(authority.file());
  connection.tls_server_name = "server.dc1.consul";
  const std::string base = "https://127.0.0.1:" + https + "/v1/kv/";
  Request put = with(base + "a", connection);
  put.method = Method::put;
  put.body = "1";
  REQUIRE(eventually([&] { return ask(channel, put).status == 200; }, 30));
  const Done now = ask(channel, with(base + "a", connection));
  REQUIRE(now.index > 0);

  constexpr int kQueries = 300;
  for (int i = 0; i < kQueries; ++i) {
    Request query = with(base + "a?wait=50s&index=" + std::to_string(now.index), connection);
    query.deadline_ms = 60000;
    REQUIRE(channel.send(query));
  }
  // What was sent last has been answered: the rest has at least found its connection.
  Request last = with(base + "b", connection);
  CHECK(ask(channel, last).status == 404);
  CHECK(open_connections(courier.pid()) <= 2);
  put.body = "2";
  REQUIRE(channel.send(put));
  int changed = 0;
  for (int i = 0; i < kQueries + 1; ++i) {
    const Done done = next(channel);
    REQUIRE(done.status == 200);
    if (done.index > now.index) ++changed;
  }
  CHECK(changed == kQueries);
  CHECK(open_connections(courier.pid()) <= 2);
}
