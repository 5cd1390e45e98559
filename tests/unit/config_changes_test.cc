#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "config_texts.h"
#include "core/spec.h"

using namespace supv;
using namespace supv::test;

namespace {

WatchSpec watch(const std::string& keys) {
  const auto loaded = load_text("watches: {w: {" + keys + "}}");
  CAPTURE(render(loaded.diagnostics));
  REQUIRE(loaded.ok);
  return loaded.config.watches.front();
}

std::vector<std::string> changes(const std::string& before, const std::string& after) {
  const WatchSpec a = watch(before);
  const WatchSpec b = watch(after);
  const auto keys = changed_keys(a, b);
  CHECK(keys == changed_keys(b, a));
  CHECK(same_spec(a, b) == keys.empty());
  return keys;
}

using Keys = std::vector<std::string>;

}  // namespace

TEST_CASE("the keys that differ are named as they are written") {
  struct Row {
    const char* before;
    const char* after;
    Keys keys;
  };
  const std::vector<Row> rows = {
      {"start: x", "start: x", {}},
      {"start: x", "start: [x]", {}},
      {"start: x", "start: x, stop_signal: TERM, interval: 30s, hooks: {}", {}},
      {"start: x", "start: y", {"start"}},
      {"start: x", "start: x, env: {A: 1}", {"env"}},
      {"start: x, env: {A: 1}", "start: y, env: {A: 2}", {"start", "env"}},
      {"start: x", "start: x, env_file: a", {"env_file"}},
      {"start: x", "start: x, dir: /y", {"dir"}},
      {"start: x", "start: x, clean_env: true", {"clean_env"}},
      {"start: x", "start: x, uid: u, gid: g", {"uid", "gid"}},
      {"start: x", "start: x, umask: \"0022\"", {"umask"}},
      {"start: x", "start: x, chroot: /c", {"chroot"}},
      {"start: x", "start: x, log: l, err_log: e", {"log", "err_log"}},
      {"start: x", "start: x, pid_file: p", {"pid_file"}},
      {"start: x", "start: x, kill: process", {"kill"}},
      {"start: x", "start: x, stop: s", {"stop"}},
      {"start: x", "start: x, restart: s", {"restart"}},
      {"start: x", "start: x, reload: HUP", {"reload"}},
      {"start: x, reload: HUP", "start: x, reload: kill-hup", {"reload"}},
      {"start: x", "start: x, start_timeout: 1s", {"start_timeout"}},
      {"start: x", "start: x, stop_signal: INT", {"stop_signal"}},
      {"start: x", "start: x, stop_timeout: 1s", {"stop_timeout"}},
      {"start: x, stop_timeout: 10s",
       "start: x, stop_sequence: [INT 5s, TERM 5s, KILL]",
       {"stop_sequence"}},
      {"start: x", "start: x, ready: {after: 2s}", {"ready"}},
      {"start: x", "start: x, watchdog: 2s", {"watchdog"}},
      {"start: x", "start: x, autostart: false, essential: true", {"autostart", "essential"}},
      {"start: x", "start: x, keepalive: false", {"keepalive"}},
      {"start: x", "start: x, group: g", {"groups"}},
      {"start: x", "start: x, labels: {a: b}", {"labels"}},
      {"start: x", "start: x, backoff: {max: 1m30s}", {"backoff"}},
      {"start: x", "start: x, flapping: {}", {"flapping"}},
      {"start: x", "start: x, grace: 1s", {"grace"}},
      {"start: x",
       "start: x, start_grace: 1s, stop_grace: 1s, restart_grace: 1s",
       {"start_grace", "stop_grace", "restart_grace"}},
      {"start: x", "start: x, hooks: {after_stop: y}", {"hooks"}},
      {"start: x", "start: x, stop_if: [process_exits]", {"stop_if"}},
      {"start: x, stop_if: [process_exits]",
       "start: x, notify_if: [process_exits]",
       {"stop_if", "notify_if"}},
      {"start: x, restart_if: [{cpu_usage: {above: 5%}}]",
       "start: x, restart_if: [{cpu_usage: {above: 6%}}]",
       {"restart_if"}},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.after));
    CHECK(changes(row.before, row.after) == row.keys);
  }
}

TEST_CASE("a name is part of a spec, its file is not") {
  WatchSpec a = watch("start: x");
  WatchSpec b = a;
  b.file = "/elsewhere";
  CHECK(same_spec(a, b));
  b.name = "v";
  CHECK_FALSE(same_spec(a, b));
}
