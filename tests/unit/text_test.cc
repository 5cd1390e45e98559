#include "base/text.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

using namespace supv;

TEST_CASE("globs match the whole text") {
  CHECK(glob_match("*", ""));
  CHECK(glob_match("side*", "sidekiq"));
  CHECK(glob_match("*kiq", "sidekiq"));
  CHECK(glob_match("s?de*q", "sidekiq"));
  CHECK(glob_match("[a-t]idekiq", "sidekiq"));
  CHECK(glob_match("[!a]b", "cb"));
  CHECK(glob_match("[]]", "]"));
  CHECK(glob_match("a[", "a["));
  CHECK(glob_match("*/x", "a/b/x"));
  CHECK(glob_match("a*b*c", "aXXbYYbZc"));
  CHECK_FALSE(glob_match("side", "sidekiq"));
  CHECK_FALSE(glob_match("", "x"));
  CHECK_FALSE(glob_match("[!a]b", "ab"));
  CHECK_FALSE(glob_match("[a-c]", "d"));
  CHECK_FALSE(glob_match("a?", "a"));
}

TEST_CASE("a hostile glob costs no exponential time") {
  const std::string text(2000, 'a');
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(glob_match(pattern + "b", text));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(2));
}

TEST_CASE("slips find their word, strangers do not") {
  const std::vector<std::string_view> words = {"interval", "start", "stop",
                                               "restart",  "dir",   "env"};
  CHECK(nearest_word("intreval", words) == "interval");
  CHECK(nearest_word("intervall", words) == "interval");
  CHECK(nearest_word("stpo", words) == "stop");
  CHECK(nearest_word("dirs", words) == "dir");
  CHECK(nearest_word("evn", words) == "env");
  CHECK(nearest_word("completely", words).empty());
  CHECK(nearest_word("", words).empty());
  CHECK(nearest_word("x", {"y"}).empty());
  CHECK(nearest_word(std::string(100000, 'x'), words).empty());
}

TEST_CASE("untrusted bytes become harmless") {
  CHECK(printable("plain größe 日本") == "plain größe 日本");
  CHECK(printable("a\nb\tc\r") == "a\\nb\\tc\\x0D");
  CHECK(printable("\x1b[31m") == "\\x1B[31m");
  CHECK(printable("\x7f") == "\\x7F");
  CHECK(printable("\xc2\x9b") == "\\xC2\\x9B");
  CHECK(printable("\xe2\x80\xae") == "\\xE2\\x80\\xAE");
  CHECK(printable("\xff\xc3") == "\\xFF\\xC3");
  CHECK(printable("\xc0\x80") == "\\xC0\\x80");
  CHECK(printable("\xed\xa0\x80") == "\\xED\\xA0\\x80");
  CHECK(printable("\xf4\x90\x80\x80") == "\\xF4\\x90\\x80\\x80");
  CHECK(printable(std::string_view("\0", 1)) == "\\x00");
}
