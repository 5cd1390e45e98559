// Plugins that were built with another header than supvd. This program is built twice: with the
// header as it is, and with that of a later supvd, in which every struct has one more field.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "plugin/check.h"
#include "plugin/library.h"

using namespace supv;

namespace {

#ifdef SUPV_FUTURE
static_assert(sizeof(supv_option) > 48 && offsetof(supv_option, from_the_future) == 48,
              "this is the header of a later supvd");
#endif

PluginVerdict verdict_of(const std::string& age, PluginOptions options = {}) {
  PluginCheck check;
  check.path = std::string(SUPV_ABI_DIR) + "/" + age + "/traveller.so";
  check.options = std::move(options);
  check.patience = std::chrono::seconds(10);
  return check_plugin(check);
}

std::string said(const PluginVerdict& verdict) {
  std::string text;
  for (const Finding& one : verdict.findings)
    text += std::to_string(static_cast<int>(one.level)) + " " + one.stage + ": " + one.text + "\n";
  return text;
}

void check_declared(const PluginVerdict& verdict) {
  REQUIRE_FALSE(verdict.declaration.empty());
  const Declaration declaration(verdict.declaration);
  const supv_condition_descriptor& has = declaration.descriptor();
  CHECK(std::string(has.name) == "traveller");
  REQUIRE(has.option_count == 4);
  CHECK(std::string(has.options[1].name) == "size");
  CHECK(std::string(has.options[1].fallback) == "2KiB");
  CHECK(std::string(has.options[2].choices) == "a|b|c");
  CHECK(std::string(has.options[3].help) == "The last.");
  CHECK(has.options[3].required == 1);
  CHECK(has.options[0].required == 0);
}

void check_good(const std::string& age) {
  const PluginVerdict verdict = verdict_of(age);
  const std::string text = said(verdict);
  CAPTURE(text);
  CHECK(verdict.good());
  check_declared(verdict);
  // True would mean that it found something amiss; unknown is what it is told by some replies.
  CHECK(text.find("0 ticks: asked 1000 times: 833 ok, 0 fire, 167 unknown\n") != std::string::npos);
  // It asks for a file that it must not read, to see that it does not get it.
  CHECK(std::count_if(verdict.findings.begin(), verdict.findings.end(), [](const Finding& one) {
          return one.level == Finding::Level::warning;
        }) == 1);
}

}  // namespace

TEST_CASE("a plugin that was built with the frozen header works") { check_good("old"); }

TEST_CASE("a plugin that was built with a later header works") { check_good("future"); }

TEST_CASE("a plugin that does not say how large an option is has those of ABI 1") {
  const PluginVerdict verdict = verdict_of("forgetful");
  CAPTURE(said(verdict));
  CHECK(verdict.good());
  check_declared(verdict);
  CHECK(said(verdict).find("option_size") != std::string::npos);
}

#ifndef SUPV_FUTURE
TEST_CASE("one that uses new fields without asking for them is found out") {
  const PluginVerdict verdict = verdict_of("reckless");
  CAPTURE(said(verdict));
  CHECK_FALSE(verdict.good());
  CHECK(said(verdict).find("SIGSEGV") != std::string::npos);
}
#endif
