#include <doctest/doctest.h>

#include <future>
#include <memory>
#include <nlohmann/json.hpp>

#include "../lib/kv_fixture.h"

/// The trial KV and a real Consul are asked the same things and have to say the same.
using namespace supv::test;

namespace {

struct Row {
  const char* method;
  const char* target;
  const char* body = "";
};

// The order matters: each request finds what the ones before it left.
const Row kRows[] = {
    {"GET", "/v1/kv/a/b"},
    {"PUT", "/v1/kv/a/b", "v1"},
    {"GET", "/v1/kv/a/b"},
    {"GET", "/v1/kv/a/b?raw"},
    {"GET", "/v1/kv/a/b?pretty&dc=dc1"},
    {"GET", "/v1/kv/a/none"},
    {"GET", "/v1/kv/a/none?raw"},
    {"PUT", "/v1/kv/a/b", "v1"},
    {"GET", "/v1/kv/a/b"},
    {"PUT", "/v1/kv/a/b?flags=42", "v1"},
    {"GET", "/v1/kv/a/b"},
    {"PUT", "/v1/kv/a/b?flags=42", "v1"},
    {"GET", "/v1/kv/a/b"},
    {"PUT", "/v1/kv/a/c", ""},
    {"GET", "/v1/kv/a/c"},
    {"GET", "/v1/kv/a/c?raw"},
    {"PUT", "/v1/kv/prefix", "p"},
    {"PUT", "/v1/kv/prefix2/deep/er", "q"},
    {"GET", "/v1/kv/prefix?recurse"},
    {"GET", "/v1/kv/?recurse"},
    {"GET", "/v1/kv/?keys"},
    {"GET", "/v1/kv/?keys&separator=/"},
    {"GET", "/v1/kv/prefix2/?keys&separator=/"},
    {"GET", "/v1/kv/a/?recurse"},
    {"GET", "/v1/kv/a/?recurse&raw"},
    {"GET", "/v1/kv/none/?recurse"},
    {"GET", "/v1/kv/none/?keys"},
    {"PUT", "/v1/kv/a/b?cas=0", "no"},
    {"PUT", "/v1/kv/new?cas=0", "yes"},
    {"PUT", "/v1/kv/new?cas=1", "no"},
    {"PUT", "/v1/kv/newer?cas=7", "no"},
    {"GET", "/v1/kv/newer"},
    {"PUT", "/v1/kv/a/b?cas=x", "no"},
    {"PUT", "/v1/kv/a/b?flags=x", "no"},
    {"PUT", "/v1/kv/a/b?cas=0&acquire=s", "no"},
    {"DELETE", "/v1/kv/new?cas=1"},
    {"DELETE", "/v1/kv/new?cas=0"},
    {"DELETE", "/v1/kv/absent?cas=5"},
    {"DELETE", "/v1/kv/new?recurse&cas=1"},
    {"DELETE", "/v1/kv/new"},
    {"DELETE", "/v1/kv/new"},
    {"GET", "/v1/kv/new"},
    {"GET", "/v1/kv/a/?recurse"},
    {"DELETE", "/v1/kv/a/c"},
    {"GET", "/v1/kv/a/?recurse"},
    {"PUT", "/v1/kv/a/c", "again"},
    {"GET", "/v1/kv/a/c"},
    {"GET", "/v1/kv/a/?recurse"},
    {"DELETE", "/v1/kv/prefix?recurse"},
    {"GET", "/v1/kv/prefix?recurse"},
    {"GET", "/v1/kv/prefix2/?recurse"},
    {"GET", "/v1/kv/a/b"},
    {"PUT", "/v1/kv/q%3Fu%2Fx%20%C3%A9%3C", "odd"},
    {"GET", "/v1/kv/q%3Fu%2Fx%20%C3%A9%3C"},
    {"GET", "/v1/kv/q?keys"},
    {"PUT", "/v1/kv/plus+sign", "1"},
    {"GET", "/v1/kv/?keys"},
    {"GET", "/v1/kv/a//b"},
    {"PUT", "/v1/kv/a//b", "lost"},
    {"GET", "/v1/kv//lead"},
    {"GET", "/v1/kv/a/./b"},
    {"GET", "/v1/kv/a/../b"},
    {"GET", "/v1/kv/a//b?raw"},
    {"GET", "/v1/kv"},
    {"GET", "/v1/kv/"},
    {"PUT", "/v1/kv/", "x"},
    {"DELETE", "/v1/kv/"},
    {"GET", "/v1/kv/a/b?stale"},
    {"GET", "/v1/kv/a/b?consistent"},
    {"GET", "/v1/kv/a/b?stale&consistent"},
    {"GET", "/v1/kv/a/b?index=x"},
    {"GET", "/v1/kv/a/b?index=-1"},
    {"GET", "/v1/kv/a/b?index=0"},
    {"GET", "/v1/kv/a/b?index=1&wait=1s"},
    {"GET", "/v1/kv/a/b?wait=x"},
    {"GET", "/v1/kv/a/b?wait=1"},
    {"GET", "/v1/kv/a/b?wait=1m30x"},
    {"GET", "/v1/kv/a/b?wait=1.5s"},
    {"PUT", "/v1/kv/a/b?wait=x", "no"},
    {"GET", "/v1/kv/a/b?ns=team"},
    {"GET", "/v1/kv/a/b?partition=team"},
    {"GET", "/v1/kv/a/b?dc=nope"},
    {"PUT", "/v1/kv/a/b?dc=nope", "no"},
    {"HEAD", "/v1/kv/a/b"},
    {"POST", "/v1/kv/a/b", "x"},
    {"OPTIONS", "/v1/kv/a/b"},
    {"GET", "/v1/nope"},
    {"GET", "/nope"},
    {"DELETE", "/v1/kv/?recurse"},
    {"GET", "/v1/kv/?recurse"},
    {"GET", "/v1/kv/a/?recurse"},
    {"GET", "/v1/kv/a/b"},
    {"PUT", "/v1/kv/a/b", "after"},
    {"GET", "/v1/kv/a/b"},
};

/// Takes the indexes out of a JSON body and collects them.
std::string without_indexes(const std::string& body, std::vector<unsigned long>& indexes) {
  auto json = nlohmann::json::parse(body, nullptr, false);
  if (json.is_discarded()) return body;
  if (!json.is_array()) return json.dump();
  for (auto& item : json) {
    if (!item.is_object()) continue;
    for (const char* name : {"CreateIndex", "ModifyIndex"}) {
      indexes.push_back(item.at(name).get<unsigned long>());
      item.erase(name);
    }
  }
  return json.dump();
}

/// Everything of an answer that has to agree, as text.
std::string describe(const HttpAnswer& answer, std::vector<unsigned long>& indexes) {
  std::string text = std::to_string(answer.status) + '\n';
  for (const char* name : {"x-consul-knownleader", "x-consul-lastcontact", "location", "allow",
                           "content-security-policy", "x-content-type-options"})
    text += std::string(name) + ": " + answer.header(name) + '\n';
  // Go's router adds a small page to its redirects, which nobody reads.
  if (answer.status != 301) text += "content-type: " + answer.header("content-type") + '\n';
  text += answer.header("x-consul-index").empty() ? "no index\n" : "index\n";
  indexes.push_back(answer.index());
  if (answer.status != 301) text += without_indexes(answer.body, indexes);
  return text;
}

int sign(unsigned long a, unsigned long b) { return a < b ? -1 : a > b ? 1 : 0; }

/// How long a blocking read took in whole waits, what it said, and how its index moved.
struct Seen {
  bool waited = false;
  int status = 0;
  int index_moved = 0;
  bool operator==(const Seen&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Seen& seen) {
  return out << (seen.waited ? "waited" : "woke") << ' ' << seen.status << ' ' << seen.index_moved;
}

constexpr double kWait = 0.8;

/// Reads `target`, waits for it to change from its index + `ahead`, meanwhile does `deeds`.
Seen block(int port, const std::string& target, const std::vector<Row>& deeds,
           unsigned long ahead = 0) {
  const HttpAnswer before = http(port, "GET", target);
  const std::string mark = target.find('?') == std::string::npos ? "?" : "&";
  HttpCall call(port, "GET",
                target + mark + "wait=800ms&index=" + std::to_string(before.index() + ahead));
  CHECK_FALSE(call.answered(150));
  for (const Row& deed : deeds)
    CHECK(http(port, deed.method, deed.target, deed.body).status == 200);
  const HttpAnswer after = call.read();
  CHECK(after.seconds < kWait * 17 / 16 + 2);
  return {after.seconds >= kWait, after.status, sign(after.index(), before.index())};
}

struct BlockingRow {
  const char* name;
  const char* target;
  std::vector<Row> deeds;
  unsigned long ahead;
  Seen expected;
};

const std::vector<BlockingRow>& blocking_rows() {
  static const std::vector<BlockingRow> rows{
      {"nothing happens", "/v1/kv/w/a", {}, 0, {true, 200, 0}},
      {"another value", "/v1/kv/w/a", {{"PUT", "/v1/kv/w/a", "2"}}, 0, {false, 200, 1}},
      {"the same value", "/v1/kv/w/a", {{"PUT", "/v1/kv/w/a", "2"}}, 0, {true, 200, 0}},
      {"other flags", "/v1/kv/w/a", {{"PUT", "/v1/kv/w/a?flags=1", "2"}}, 0, {false, 200, 1}},
      {"another key", "/v1/kv/w/a", {{"PUT", "/v1/kv/w/b", "x"}}, 0, {true, 200, 0}},
      {"a raw read wakes too", "/v1/kv/w/a?raw", {{"PUT", "/v1/kv/w/a", "3"}}, 0, {false, 200, 1}},
      {"deleted", "/v1/kv/w/a", {{"DELETE", "/v1/kv/w/a"}}, 0, {false, 404, 1}},
      {"missing, nothing happens", "/v1/kv/w/a", {}, 0, {true, 404, 0}},
      {"missing, created", "/v1/kv/w/a", {{"PUT", "/v1/kv/w/a", "4"}}, 0, {false, 200, 1}},
      {"missing, a sibling is written",
       "/v1/kv/w/none",
       {{"PUT", "/v1/kv/w/nona", "5"}},
       0,
       {false, 404, 1}},
      {"a prefix, something in it",
       "/v1/kv/w/?recurse",
       {{"PUT", "/v1/kv/w/b", "y"}},
       0,
       {false, 200, 1}},
      {"a prefix, something outside",
       "/v1/kv/w/?recurse",
       {{"PUT", "/v1/kv/v/b", "y"}},
       0,
       {true, 200, 0}},
      {"a prefix, deleted inside",
       "/v1/kv/w/?recurse",
       {{"DELETE", "/v1/kv/w/b"}},
       0,
       {false, 200, 1}},
      {"keys", "/v1/kv/w/?keys", {{"PUT", "/v1/kv/w/c", "z"}}, 0, {false, 200, 1}},
      {"a prefix, all of it deleted",
       "/v1/kv/w/?recurse",
       {{"DELETE", "/v1/kv/w/?recurse"}},
       0,
       {false, 404, 1}},
      {"an empty prefix, created",
       "/v1/kv/w/?recurse",
       {{"PUT", "/v1/kv/w/a", "6"}},
       0,
       {false, 200, 1}},
      {"an index from the future hangs",
       "/v1/kv/w/a",
       {{"PUT", "/v1/kv/w/a", "7"}},
       1000,
       {true, 200, 1}},
  };
  return rows;
}

}  // namespace

TEST_CASE("the same requests get the same answers as from a real Consul") {
  RealConsul consul;
  if (consul.port == 0) {
    MESSAGE("skipped: " << consul.reason);
    return;
  }
  const TempDirectory directory;
  DevKv trial(directory.path());
  REQUIRE(trial.port() > 0);
  std::vector<unsigned long> real_indexes;
  std::vector<unsigned long> trial_indexes;
  for (const Row& row : kRows) {
    CAPTURE(row.method);
    CAPTURE(row.target);
    const std::string real =
        describe(http(consul.port, row.method, row.target, row.body), real_indexes);
    CHECK(describe(http(trial.port(), row.method, row.target, row.body), trial_indexes) == real);
    REQUIRE(real_indexes.size() == trial_indexes.size());
  }
  // The numbers differ, but what is older, newer and unchanged does not.
  int disagreements = 0;
  for (std::size_t i = 0; i < real_indexes.size(); ++i)
    for (std::size_t k = 0; k < i; ++k)
      if (sign(real_indexes[i], real_indexes[k]) != sign(trial_indexes[i], trial_indexes[k]))
        ++disagreements;
  CHECK(disagreements == 0);
  const std::string big(512 * 1024, 'x');
  for (const int port : {consul.port, trial.port()}) {
    CHECK(http(port, "PUT", "/v1/kv/big", big).status == 200);
    CHECK(http(port, "GET", "/v1/kv/big?raw").body == big);
    CHECK(http(port, "PUT", "/v1/kv/big", big + 'x').status == 413);
    CHECK(http(port, "GET", "/v1/kv/big?raw").body == big);
  }
}

TEST_CASE("blocking reads wake and sleep as they do on a real Consul") {
  const RealConsul consul;
  if (consul.port == 0) MESSAGE("the real side is skipped: " << consul.reason);
  const TempDirectory directory;
  DevKv trial(directory.path());
  const auto run = [](int port) {
    std::vector<Seen> seen;
    http(port, "PUT", "/v1/kv/w/a", "1");
    for (const BlockingRow& row : blocking_rows()) {
      CAPTURE(row.name);
      seen.push_back(block(port, row.target, row.deeds, row.ahead));
    }
    return seen;
  };
  std::future<std::vector<Seen>> real;
  if (consul.port != 0) real = std::async(std::launch::async, run, consul.port);
  const std::vector<Seen> ours = run(trial.port());
  const std::vector<Seen> theirs = real.valid() ? real.get() : ours;
  for (std::size_t i = 0; i < blocking_rows().size(); ++i) {
    CAPTURE(blocking_rows()[i].name);
    CHECK(theirs[i] == blocking_rows()[i].expected);
    CHECK(ours[i] == blocking_rows()[i].expected);
  }
}
