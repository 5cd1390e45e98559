#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "courier/cluster.h"

using namespace supv;

namespace {

using Environment = std::map<std::string, std::string>;

std::string url_of(const std::string& address, const Environment& environment = {}) {
  ConsulSpec spec;
  spec.address = address;
  const ResolvedCluster cluster = resolve_cluster(spec, environment);
  return cluster.error.empty() ? cluster.shown() : "error";
}

class Directory {
 public:
  Directory() { REQUIRE(::mkdtemp(path_) != nullptr); }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string operator/(const char* name) const { return std::string(path_) + '/' + name; }

 private:
  char path_[32] = "/tmp/supv-cluster-XXXXXX";
};

void write(const std::string& path, const std::string& text, int mtime_s) {
  std::ofstream(path) << text;
  ::chmod(path.c_str(), 0600);
  const timespec times[] = {{mtime_s, 0}, {mtime_s, 0}};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

}  // namespace

TEST_CASE("addresses, from the file and from the environment") {
  CHECK(url_of("") == "http://127.0.0.1:8500");
  CHECK(url_of("", {{"CONSUL_HTTP_ADDR", "10.0.0.1:8501"}}) == "http://10.0.0.1:8501");
  CHECK(url_of("a:1", {{"CONSUL_HTTP_ADDR", "b:2"}}) == "http://a:1");
  CHECK(url_of("https://gw/consul/") == "https://gw/consul");
  CHECK(url_of("http://[::1]:8500") == "http://[::1]:8500");
  CHECK(url_of("unix:///run/consul.sock") == "unix:///run/consul.sock");
  CHECK(url_of("", {{"CONSUL_HTTP_ADDR", "unix:///x"}}) == "unix:///x");
}

TEST_CASE("TLS is forced by https:// or CONSUL_HTTP_SSL and never taken back") {
  CHECK(url_of("a:1", {{"CONSUL_HTTP_SSL", "true"}}) == "https://a:1");
  CHECK(url_of("http://a:1", {{"CONSUL_HTTP_SSL", "1"}}) == "https://a:1");
  CHECK(url_of("https://a:1", {{"CONSUL_HTTP_SSL", "false"}}) == "https://a:1");
  CHECK(url_of("http://a:1", {{"CONSUL_HTTP_SSL", "false"}}) == "http://a:1");
  CHECK(url_of("a:1", {{"CONSUL_HTTP_SSL", ""}}) == "http://a:1");
  const auto odd = resolve_cluster({}, {{"CONSUL_HTTP_SSL", "yes please"}});
  CHECK(odd.base_url == "http://127.0.0.1:8500");
  REQUIRE(odd.warnings.size() == 1);
  CHECK(odd.warnings[0] == "CONSUL_HTTP_SSL is neither true nor false and is ignored");
}

TEST_CASE("addresses that make no sense") {
  for (const char* address : {"ftp://a:1", "unix://relative", "unix://", "http://", "a b:1",
                              "http://user:secret@a:1", "a:1?token=x", "http:///x", "a:1\r\nX: y"})
    CHECK(url_of(address) == "error");
  ConsulSpec spec;
  spec.address = "http://user:secret@a:1";
  CHECK(resolve_cluster(spec, {}).error.find("secret") == std::string::npos);
}

TEST_CASE("a token file wins over a literal token, the file over the environment") {
  const Environment both{{"CONSUL_HTTP_TOKEN", "env"}, {"CONSUL_HTTP_TOKEN_FILE", "/env"}};
  CHECK(resolve_cluster({}, both).token_file == "/env");
  CHECK(resolve_cluster({}, both).token.empty());
  CHECK(resolve_cluster({}, {{"CONSUL_HTTP_TOKEN", "env"}}).token == "env");
  ConsulSpec spec;
  spec.token = "written";
  CHECK(resolve_cluster(spec, both).token == "written");
  CHECK(resolve_cluster(spec, both).token_file.empty());
  spec.token_file = "/written";
  CHECK(resolve_cluster(spec, both).token_file == "/written");
  CHECK(resolve_cluster(spec, both).token.empty());
}

TEST_CASE("every TLS variable counts below the file") {
  const Environment environment{
      {"CONSUL_HTTP_SSL", "true"},        {"CONSUL_CACERT", "/e/ca"},
      {"CONSUL_CAPATH", "/e/cas"},        {"CONSUL_CLIENT_CERT", "/e/cert"},
      {"CONSUL_CLIENT_KEY", "/e/key"},    {"CONSUL_TLS_SERVER_NAME", "e.name"},
      {"CONSUL_HTTP_SSL_VERIFY", "false"}};
  const auto from_environment = resolve_cluster({}, environment).connection;
  CHECK(from_environment ==
        courier::Connection{"", "/e/ca", "/e/cas", "/e/cert", "/e/key", "e.name", true});
  ConsulSpec spec;
  spec.ca_file = "/f/ca";
  spec.client_cert = "/f/both";
  spec.tls_server_name = "f.name";
  spec.insecure = false;
  const auto from_file = resolve_cluster(spec, environment).connection;
  CHECK(from_file == courier::Connection{"", "/f/ca", "", "/f/both", "", "f.name", false});
  ConsulSpec key_only;
  key_only.client_key = "/f/key";
  CHECK_FALSE(resolve_cluster(key_only, {}).error.empty());
}

TEST_CASE("warnings name what will surprise") {
  const auto warnings = [](const char* address, const Environment& environment = {}) {
    ConsulSpec spec;
    spec.address = address;
    return resolve_cluster(spec, environment).warnings;
  };
  CHECK(warnings("http://a:8500").empty());
  CHECK(warnings("https://a").empty());
  CHECK(warnings("a").size() == 1);                                               // No port.
  CHECK(warnings("http://a:1", {{"CONSUL_CACERT", "/ca"}}).size() == 1);          // No effect.
  CHECK(warnings("http://a:1", {{"CONSUL_HTTP_SSL", "true"}}).size() == 1);       // Forced.
  CHECK(warnings("https://a:1", {{"CONSUL_HTTP_SSL_VERIFY", "0"}}).size() == 1);  // Insecure.
}

TEST_CASE("datacenter, namespace, partition and consistency travel with each request") {
  ConsulSpec spec;
  spec.datacenter = "east 1";
  spec.consistency = "stale";
  const Environment environment{{"CONSUL_NAMESPACE", "team"}, {"CONSUL_PARTITION", "p&q"}};
  const auto cluster = resolve_cluster(spec, environment);
  CHECK(cluster.query == "dc=east%201&ns=team&partition=p%26q&stale");
  CHECK(cluster_url(cluster, "/v1/kv/a") ==
        "http://127.0.0.1:8500/v1/kv/a?dc=east%201&ns=team&partition=p%26q&stale");
  CHECK(cluster_url(cluster, "/v1/kv/a?index=5&dc=west") ==
        "http://127.0.0.1:8500/v1/kv/a?index=5&dc=west&ns=team&partition=p%26q&stale");
  CHECK(cluster_url(cluster, "/v1/kv/a?consistent") ==
        "http://127.0.0.1:8500/v1/kv/a?consistent&dc=east%201&ns=team&partition=p%26q");
  spec.name_space = "mine";
  CHECK(resolve_cluster(spec, environment).query.find("ns=mine") != std::string::npos);
  spec.consistency = "default";
  CHECK(resolve_cluster(spec, {}).query == "dc=east%201&ns=mine");
}

TEST_CASE("a request carries token, settings and deadline") {
  ConsulSpec spec;
  spec.address = "https://gw:1/consul";
  spec.timeout = Duration(7000);
  const auto cluster = resolve_cluster(spec, {});
  const auto request = cluster_request(cluster, "t0k", "/v1/kv/a");
  CHECK(request.url == "https://gw:1/consul/v1/kv/a");
  CHECK(request.headers == std::vector<std::string>{"X-Consul-Token: t0k"});
  CHECK(request.deadline_ms == 7000);
  CHECK(cluster_request(cluster, "", "/v1/kv/a").headers.empty());
}

TEST_CASE("a token file is trimmed, read again when it changes, and kept when it is empty") {
  const Directory directory;
  const std::string path = directory / "token";
  write(path, "  first\n", 1000);
  ResolvedCluster cluster;
  cluster.token_file = path;
  TokenSource source(cluster);
  CHECK(source.current() == "first");
  CHECK(source.problem().empty());
  write(path, "second\n", 2000);
  CHECK(source.current() == "second");
  write(path, "\n", 3000);
  CHECK(source.current() == "second");
  CHECK_FALSE(source.problem().empty());
  write(path, "third\n", 4000);
  CHECK(source.current() == "third");
  CHECK(source.problem().empty());
  std::filesystem::remove(path);
  CHECK(source.current() == "third");
  CHECK_FALSE(source.problem().empty());
}

TEST_CASE("after a refusal the token file is read whatever its time stamp says") {
  const Directory directory;
  const std::string path = directory / "token";
  write(path, "aaaa", 1000);
  ResolvedCluster cluster;
  cluster.token_file = path;
  TokenSource source(cluster);
  CHECK(source.current() == "aaaa");
  write(path, "bbbb", 1000);  // Same length, same inode, same time.
  CHECK(source.current() == "aaaa");
  source.refused();
  CHECK(source.current() == "bbbb");
}

TEST_CASE("a token file that others can read is named, and no token adds a header line") {
  const Directory directory;
  const std::string path = directory / "token";
  write(path, "open", 1000);
  ::chmod(path.c_str(), 0644);
  ResolvedCluster cluster;
  cluster.token_file = path;
  TokenSource source(cluster);
  CHECK(source.current() == "open");
  CHECK(source.problem().find("chmod 600") != std::string::npos);
  write(path, "two\r\nX-Evil: 1", 2000);
  CHECK(source.current() == "open");
  cluster.token_file.clear();
  cluster.token = "a\nb";
  CHECK(TokenSource(cluster).current().empty());
}
