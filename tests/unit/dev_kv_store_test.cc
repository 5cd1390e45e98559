#include "gateway/dev_kv_store.h"

#include <doctest/doctest.h>

#include <random>

#include "gateway/dev_kv_api.h"

using namespace supv;
using namespace std::chrono_literals;

TEST_CASE("base64, there and back") {
  // RFC 4648, section 10.
  CHECK(base64_encode("") == "");
  CHECK(base64_encode("f") == "Zg==");
  CHECK(base64_encode("fo") == "Zm8=");
  CHECK(base64_encode("foobar") == "Zm9vYmFy");
  std::mt19937 random(3);
  for (std::size_t size = 0; size < 200; ++size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    CHECK(base64_decode(base64_encode(bytes)) == bytes);
  }
  for (const char* wrong : {"Z", "Zg=", "Zg=a", "Zm9v!mFy", "=Zg="})
    CHECK_FALSE(base64_decode(wrong));
}

TEST_CASE("durations as Go reads them") {
  CHECK(parse_go_duration("0") == 0ns);
  CHECK(parse_go_duration("55000ms") == 55s);
  CHECK(parse_go_duration("1h30m") == 90min);
  CHECK(parse_go_duration("1.5s") == 1500ms);
  CHECK(parse_go_duration(".5s") == 500ms);
  CHECK(parse_go_duration("-2s") == -2s);
  CHECK(parse_go_duration("3us") == 3us);
  for (const char* wrong : {"", "1", "s", "abc", "1m30x", ".s", "1..5s", "-", "99999999999999h"})
    CHECK_FALSE(parse_go_duration(wrong));
}

TEST_CASE("JSON strings as Go writes them") {
  CHECK(json_string("a/b") == "\"a/b\"");
  CHECK(json_string("\"\\\n\t\x01") == "\"\\\"\\\\\\n\\t\\u0001\"");
  CHECK(json_string("<&>") == "\"\\u003c\\u0026\\u003e\"");
  CHECK(json_string("\xc3\xa9\xf0\x9f\x98\x80") == "\"\xc3\xa9\xf0\x9f\x98\x80\"");
  CHECK(json_string("\xff\xc0\x80\xed\xa0\x80") ==
        "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\"");
  CHECK(json_string("\xe2\x80\xa8") == "\"\\u2028\"");
}

TEST_CASE("indexes: a write of the same changes none, a deletion leaves its own") {
  KvStore store;
  CHECK(store.index_of_key("a/x") == 1);
  CHECK(store.put("a/x", "1", 0));
  const auto first = store.index_of_key("a/x");
  CHECK(first > 1);
  CHECK_FALSE(store.put("a/x", "1", 0));
  CHECK(store.index_of_key("a/x") == first);
  CHECK(store.put("a/x", "1", 7));
  CHECK(store.index_of_key("a/x") > first);
  CHECK(store.find("a/x")->create_index == first);
  store.put("b", "1", 0);
  const auto table = store.index_of_key("none");
  CHECK(table == store.index_of_key("b"));
  CHECK(store.index_of_prefix("a/") == store.index_of_key("a/x"));
  CHECK(store.erase("a/x"));
  CHECK(store.index_of_prefix("a/") > table);
  CHECK(store.index_of_prefix("zzz/") == store.index_of_key("none"));
  CHECK_FALSE(store.erase("a/x"));
}

TEST_CASE("the content survives as text") {
  KvStore store;
  store.put("a/x", std::string("\0\n \xff", 4), 18446744073709551615ULL);
  store.put("empty", "", 0);
  store.put("gone", "x", 0);
  store.erase("gone");
  const auto again = KvStore::parse(store.dump());
  REQUIRE(again);
  CHECK(again->dump() == store.dump());
  CHECK(again->find("a/x")->value == std::string("\0\n \xff", 4));
  CHECK(again->find("a/x")->flags == 18446744073709551615ULL);
  CHECK(again->index_of_prefix("gone") == store.index_of_prefix("gone"));
}

TEST_CASE("text that is no content is refused, whatever it is") {
  KvStore store;
  store.put("key", "value", 1);
  store.put("gone", "x", 0);
  store.erase("gone");
  const std::string good = store.dump();
  CHECK_FALSE(KvStore::parse(""));
  CHECK_FALSE(KvStore::parse("hello\n"));
  std::mt19937 random(5);
  for (int round = 0; round < 20000; ++round) {
    std::string text = good;
    for (int i = 0; i < 2; ++i) text[random() % text.size()] = static_cast<char>(random());
    if (const auto parsed = KvStore::parse(text)) CHECK(KvStore::parse(parsed->dump()));
  }
}
