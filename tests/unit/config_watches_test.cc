#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>

#include "config/load.h"
#include "config_texts.h"

using namespace supv;
using namespace supv::test;

namespace {

const std::string kWatches = SUPV_SOURCE_DIR "/watches";

std::vector<std::string> ready_made() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kWatches)) {
    const std::string name = entry.path().filename();
    REQUIRE(name.ends_with(".watch.yaml"));
    names.push_back(name.substr(0, name.size() - std::string(".watch.yaml").size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// A watch in memory that extends a real ready-made one.
Loaded extend(const std::string& name) {
  LoadInput input = input_of({});
  const FileAccess disk = disk_access();
  const std::string text = "watches:\n  mine:\n    extends: " + name +
                           "\n    dir: /srv/app\n    env: {RAILS_ENV: production}\n";
  input.files.read = [disk, text](const std::string& path, std::string& error) {
    return path == "/etc/a.yaml" ? std::optional<std::string>(text) : disk.read(path, error);
  };
  input.watch_dirs = {kWatches};
  return load(input);
}

}  // namespace

TEST_CASE("every ready-made watch loads with nothing but dir and env added") {
  const auto names = ready_made();
  CHECK(names.size() >= 15);
  for (const std::string& name : names) {
    CAPTURE(name);
    const auto loaded = extend(name);
    CAPTURE(render(loaded.diagnostics));
    REQUIRE(loaded.ok);
    CHECK(loaded.diagnostics.empty());
    const WatchSpec& watch = loaded.config.watches.front();
    CHECK(watch.name == "mine");
    CHECK_FALSE(watch.process.start.own_shell);
    CHECK(watch.process.dir == "/srv/app");
    CHECK(watch.process.env.back().second == "production");
    CHECK(watch.ladder.back().signal == SIGKILL);
    CHECK(watch.ladder.size() >= 2);
    // A worker that dies at once must not count as up.
    CHECK(watch.ready.kind != ReadySpec::Kind::alive);
    CHECK(watch.process.pid_file.empty());
  }
}

TEST_CASE("every ready-made watch is also a watch file of its own") {
  for (const std::string& name : ready_made()) {
    CAPTURE(name);
    LoadInput input;
    input.paths = {kWatches + "/" + name + ".watch.yaml"};
    input.catalog = builtin_conditions();
    const auto loaded = load(input);
    CAPTURE(render(loaded.diagnostics));
    CHECK(loaded.ok);
    REQUIRE(loaded.config.watches.size() == 1);
    CHECK(loaded.config.watches.front().name == name);
  }
}

TEST_CASE("Sidekiq is quieted first and gets more time than its own timeout") {
  const auto loaded = extend("sidekiq");
  REQUIRE(loaded.ok);
  const WatchSpec& sidekiq = loaded.config.watches.front();
  REQUIRE(sidekiq.ladder.size() == 3);
  CHECK(sidekiq.ladder[0].signal == SIGTSTP);
  CHECK(sidekiq.ladder[1].signal == SIGTERM);
  CHECK(sidekiq.ladder[1].wait > Duration{25000});
  CHECK(sidekiq.ready.kind == ReadySpec::Kind::notify);
}
