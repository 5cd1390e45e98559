#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "../lib/kv_fixture.h"

using namespace supv;
using namespace supv::test;

namespace {

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::poll(nullptr, 0, 5);
  }
  return true;
}

long open_descriptors(pid_t pid) {
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd");
  return std::distance(begin(all), end(all));
}

std::string value_of(const HttpAnswer& answer) {
  return nlohmann::json::parse(answer.body).at(0).at("Value").get<std::string>();
}

}  // namespace

TEST_CASE("content, indexes and port survive the role's end") {
  const TempDirectory directory;
  int port = 0;
  unsigned long index = 0;
  {
    DevKv kv(directory.path());
    port = kv.port();
    REQUIRE(port > 0);
    CHECK(http(port, "PUT", "/v1/kv/a/b?flags=3", "one").body == "true\n");
    index = http(port, "GET", "/v1/kv/a/b").index();
    CHECK(index > 0);
  }
  DevKv kv(directory.path());
  CHECK(kv.port() == port);
  const HttpAnswer answer = http(kv.port(), "GET", "/v1/kv/a/b");
  CHECK(answer.status == 200);
  CHECK(value_of(answer) == "b25l");
  CHECK(answer.index() == index);
  CHECK(http(kv.port(), "PUT", "/v1/kv/a/b", "two").status == 200);
  CHECK(http(kv.port(), "GET", "/v1/kv/a/b").index() > index);
}

TEST_CASE("the next free port is taken, and another owner's is left alone") {
  const TempDirectory one;
  const TempDirectory two;
  DevKv first(one.path());
  REQUIRE(first.port() > 0);
  DevKv second(two.path(), first.port());
  CHECK(second.port() > first.port());
  http(first.port(), "PUT", "/v1/kv/a", "1");
  CHECK(http(second.port(), "GET", "/v1/kv/a").status == 404);
}

TEST_CASE("what cannot be served says so and ends") {
  const TempDirectory directory;
  std::ofstream(directory / "dev-kv.txt") << "8500\nnonsense\n";
  DevKv kv(directory.path());
  CHECK(kv.port() == 0);
  const int status = kv.wait();
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 1);
  CHECK(read_file(directory / "dev-kv.txt") == "8500\nnonsense\n");
  DevKv nowhere("/proc/no/such/directory");
  CHECK(nowhere.port() == 0);
  CHECK(WEXITSTATUS(nowhere.wait()) == 1);
}

TEST_CASE("a write that cannot be kept is refused and changes nothing") {
  const TempDirectory directory;
  DevKv kv(directory.path());
  http(kv.port(), "PUT", "/v1/kv/a", "1");
  std::filesystem::remove_all(directory.path());
  CHECK(http(kv.port(), "PUT", "/v1/kv/a", "2").status == 500);
  CHECK(http(kv.port(), "DELETE", "/v1/kv/a").status == 500);
  CHECK(value_of(http(kv.port(), "GET", "/v1/kv/a")) == "MQ==");
}

TEST_CASE("hundreds of blocking readers need no thread and all wake") {
  const TempDirectory directory;
  DevKv kv(directory.path());
  http(kv.port(), "PUT", "/v1/kv/a", "1");
  const auto index = http(kv.port(), "GET", "/v1/kv/a").index();
  std::vector<std::unique_ptr<HttpCall>> calls;
  for (int i = 0; i < 400; ++i)
    calls.push_back(std::make_unique<HttpCall>(kv.port(), "GET",
                                               "/v1/kv/a?wait=60s&index=" + std::to_string(index)));
  REQUIRE(eventually([&] { return open_descriptors(kv.pid()) > 400; }));
  CHECK(read_file("/proc/" + std::to_string(kv.pid()) + "/status").find("Threads:\t1\n") !=
        std::string::npos);
  for (const auto& call : calls) CHECK_FALSE(call->answered(0));
  http(kv.port(), "PUT", "/v1/kv/a", "2");
  for (const auto& call : calls) {
    const HttpAnswer answer = call->read();
    CHECK(answer.status == 200);
    CHECK(answer.index() > index);
  }
  CHECK(eventually([&] { return open_descriptors(kv.pid()) < 20; }));
}

TEST_CASE("readers that go away are forgotten") {
  const TempDirectory directory;
  DevKv kv(directory.path());
  http(kv.port(), "PUT", "/v1/kv/a", "1");
  for (int i = 0; i < 50; ++i) HttpCall(kv.port(), "GET", "/v1/kv/a?wait=1s&index=1000");
  CHECK(eventually([&] { return open_descriptors(kv.pid()) > 50; }));
  CHECK(eventually([&] { return open_descriptors(kv.pid()) < 20; }));
  CHECK(http(kv.port(), "PUT", "/v1/kv/a", "2").status == 200);
  CHECK(http(kv.port(), "GET", "/v1/kv/a").status == 200);
}

TEST_CASE("every descriptor is closed on exec") {
  const TempDirectory directory;
  DevKv kv(directory.path());
  HttpCall waiting(kv.port(), "GET", "/v1/kv/a?wait=60s&index=1000");
  http(kv.port(), "PUT", "/v1/kv/b", "1");
  int seen = 0;
  const std::string proc = "/proc/" + std::to_string(kv.pid()) + "/fdinfo";
  for (const auto& entry : std::filesystem::directory_iterator(proc)) {
    if (std::stoi(entry.path().filename().string()) <= 2) continue;
    const std::string text = read_file(entry.path().string());
    const auto at = text.find("flags:\t");
    if (at == std::string::npos) continue;  // Closed in the meantime.
    CAPTURE(text);
    CHECK((std::stoul(text.substr(at + 7), nullptr, 8) & 02000000UL) != 0);
    ++seen;
  }
  CHECK(seen >= 3);
}

TEST_CASE("nonsense is answered or hung up on, never followed by silence") {
  const TempDirectory directory;
  DevKv kv(directory.path());
  for (const char* target : {"/v1/kv/%", "/v1/kv/%zz", "/v1/kv/a%00b", "/v1/kv/\x7f", "nonsense",
                             "/v1/kv/../../etc/passwd", "//", "/v1/kv/a?%&=&&==&x=%q"}) {
    const HttpAnswer answer = http(kv.port(), "GET", target);
    CAPTURE(target);
    CHECK(answer.status >= 300);
    CHECK(answer.status < 500);
  }
  CHECK(http(kv.port(), "PUT", "/v1/kv/big", std::string(3'000'000, 'x')).status == 413);
  CHECK(http(kv.port(), "GET", "/v1/status/leader").status == 200);
}
