#include "core/definition.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace supv {
namespace {

std::string value_of(const WatchSpec& spec, const std::string& key) {
  for (const Setting& setting : definition_of(spec))
    if (setting.key == key) return setting.value;
  return "(not there)";
}

WatchSpec plain() {
  WatchSpec spec;
  spec.name = "w";
  spec.process.start.argv = {"sleep", "1"};
  spec.process.dir = "/";
  spec.ladder = {{15, Duration(30000)}, {9, Duration(0)}};
  return spec;
}

}  // namespace

TEST_CASE("of a plain watch only the command and how it is stopped are told") {
  const auto all = definition_of(plain());
  REQUIRE(all.size() == 2);
  CHECK(all[0].key == "start");
  CHECK(all[0].value == "sleep 1");
  CHECK(all[1].key == "stop_sequence");
  CHECK(all[1].value == "TERM 30s, KILL");
}

TEST_CASE("words are quoted as a shell needs it") {
  WatchSpec spec = plain();
  spec.process.start.argv = {"sh", "-c", "echo it's", ""};
  CHECK(value_of(spec, "start") == R"(sh -c 'echo it'\''s' '')");
}

TEST_CASE("values of env are not told, its names are") {
  WatchSpec spec = plain();
  spec.process.env = {{"PASSWORD", "hunter2"}, {"RAILS_ENV", "production"}};
  CHECK(value_of(spec, "env") == "PASSWORD, RAILS_ENV");
  for (const Setting& setting : definition_of(spec))
    CHECK(setting.value.find("hunter2") == std::string::npos);
}

TEST_CASE("conditions come under the key of their list, with their options") {
  WatchSpec spec = plain();
  ConditionSpec memory;
  memory.name = "memory_usage";
  memory.action = Action::restart;
  memory.options = {{"above", "300"}, {"of", ""}};
  memory.times = {3, 5};
  memory.interval = Duration(5000);
  ConditionSpec always = memory;
  always.name = "always";
  always.action = Action::notify;
  always.list = ConditionList::notify_if;
  always.options.clear();
  always.times = {};
  spec.conditions = {memory, always};
  CHECK(value_of(spec, "restart_if") == "memory_usage: {above: 300, times: [3, 5], interval: 5s}");
  CHECK(value_of(spec, "notify_if") == "always: {interval: 5s}");
}

TEST_CASE("what is rarely written is told when it is") {
  WatchSpec spec = plain();
  auto rare = std::make_shared<RareSpec>();
  rare->reload_signal = 1;
  rare->hooks.after_stop = Command{{"rm", "-f", "x y"}, false};
  spec.rare = rare;
  spec.autostart = false;
  spec.ready = {ReadySpec::Kind::tcp, {}, "127.0.0.1:80"};
  spec.process.umask = 027;
  CHECK(value_of(spec, "reload") == "HUP");
  CHECK(value_of(spec, "after_stop") == "rm -f 'x y'");
  CHECK(value_of(spec, "autostart") == "false");
  CHECK(value_of(spec, "keepalive") == "(not there)");
  CHECK(value_of(spec, "ready") == "tcp: 127.0.0.1:80");
  CHECK(value_of(spec, "umask") == "0027");
}

}  // namespace supv
