// Conditions that live in plugins, as the loader sees them: by name, by what each declares, and by
// whether it takes its options.
#include <doctest/doctest.h>

#include <set>

#include "brain/kept_config.h"
#include "config_texts.h"
#include "plugin/library.h"

using namespace supv;
using namespace supv::test;
using State = FileAccess::Plugin::State;

namespace {

void* make(const supv_host*, char*, std::size_t) { return nullptr; }
void tell(void*, const supv_event*, supv_verdict*) {}
void end(void*) {}

constexpr supv_option kOptions[] = {
    {"above", SUPV_SIZE, nullptr, "How much.", 1, nullptr},
    {"every", SUPV_DURATION, "5s", "How often.", 0, nullptr},
    {"way", SUPV_CHOICE, "up", "Where.", 0, "up|down"},
};

supv_condition_descriptor descriptor(const char* name) {
  return {SUPV_CONDITION_ABI,
          sizeof(supv_condition_descriptor),
          name,
          "True while it is.",
          SUPV_POLL,
          kOptions,
          3,
          make,
          tell,
          end,
          SUPV_OF_PROCESS,
          sizeof(supv_option)};
}
std::string declared(const char* name) { return Declaration(descriptor(name)).pack(); }

/// A machine with plugins in /lib/p and /etc/own; each path that is asked about is noted down.
struct Machine {
  Texts texts = {{"/lib/p/queue.so", ""}, {"/lib/p/broken.so", ""}, {"/etc/own/mine.so", ""}};
  std::multiset<std::string> asked;
  std::vector<FileAccess::Options> tried;
  bool known = true;

  Loaded load(const std::string& conditions, const std::string& top = "") {
    texts["/etc/a.yaml"] =
        top + "watches:\n  w:\n    start: prog\n    restart_if:\n" + conditions + "\n";
    LoadInput input = input_of(texts);
    input.plugin_dirs = {"/lib/p"};
    input.files.plugin = [this](const std::string& path, const FileAccess::Options* options) {
      return answer(path, options);
    };
    return supv::load(input);
  }
  FileAccess::Plugin answer(const std::string& path, const FileAccess::Options* options) {
    asked.insert(path);
    if (!known) return {State::unknown, ""};
    if (path == "/lib/p/broken.so") return {State::refused, "it was built for ABI 7"};
    if (options == nullptr) {
      const std::string name = plugin_name(path);
      return {State::known, declared(name.c_str())};
    }
    tried.push_back(*options);
    const bool bad = options->front().second == "1048576";
    return {State::known, bad ? "above: too little" : ""};
  }
};

}  // namespace

TEST_CASE("a name that is not built in is the plugin of that name, and only that one is asked") {
  Machine machine;
  const Loaded loaded = machine.load("      - queue: {above: 2MB}");
  REQUIRE(brief(loaded) == "");
  CHECK(loaded.ok);
  CHECK_FALSE(loaded.incomplete);
  const ConditionSpec& spec = loaded.config.watches.at(0).conditions.at(0);
  CHECK(spec.name == "queue");
  CHECK(spec.options ==
        FileAccess::Options{{"above", "2097152"}, {"every", "5000"}, {"way", "up"}});
  REQUIRE(loaded.config.plugins.used.size() == 1);
  CHECK(loaded.config.plugins.used[0].path == "/lib/p/queue.so");
  CHECK(loaded.config.plugins.used[0].flags == SUPV_OF_PROCESS);
  CHECK(machine.asked.count("/lib/p/broken.so") == 0);
}

TEST_CASE("what is declared is checked like what is built in, with the place") {
  Machine machine;
  CHECK(brief(machine.load("      - queue: {}")).find("5:9: queue needs 'above'") == 0);
  CHECK(brief(machine.load("      - queue: {above: many}")).find("5:24: 'many' is not a size") ==
        0);
  CHECK(brief(machine.load("      - queue: {above: 2MB, way: left}"))
            .find("5:34: 'left' is not one of up, down") == 0);
  CHECK(brief(machine.load("      - queue: {above: 2MB, evry: 1s}"))
            .find("5:29: unknown parameter 'evry' of queue") == 0);
  CHECK(brief(machine.load("      - queue: {above: 1MB}")) == "5:9: queue: above: too little");
}

TEST_CASE("the same options are tried once, whoever has them") {
  Machine machine;
  machine.load(
      "      - queue: {above: 2MB}\n      - queue: {above: 2MB, interval: 9s}\n"
      "      - queue: {above: 3MB}");
  CHECK(machine.tried.size() == 2);
}

TEST_CASE("a plugin that cannot be used, and one that is not there") {
  Machine machine;
  CHECK(brief(machine.load("      - broken: {above: 2MB}")) ==
        "5:9: the plugin /lib/p/broken.so cannot be used: it was built for ABI 7");
  const Loaded typo = machine.load("      - queu: {above: 2MB}");
  CHECK(brief(typo).find("5:9: unknown condition 'queu'") == 0);
  CHECK(render(typo.diagnostics).find("did you mean 'queue'?") != std::string::npos);
  // A name is no pattern and no path.
  CHECK(brief(machine.load("      - '*': {}")).find("5:9: unknown condition '*'") == 0);
  CHECK(brief(machine.load("      - ../p/queue: {}")).find("5:9: unknown condition") == 0);
}

TEST_CASE("`plugins` names directories and files, relative to its file, before all others") {
  Machine machine;
  machine.texts["/etc/own/queue.so"] = "";
  const Loaded directory = machine.load("      - queue: {above: 2MB}", "plugins: own\n");
  CHECK(directory.config.plugins.used.at(0).path == "/etc/own/queue.so");
  const Loaded file =
      machine.load("      - queue: {above: 2MB}", "plugins: [/opt/x, /elsewhere/queue.so]\n");
  CHECK(file.config.plugins.used.at(0).path == "/elsewhere/queue.so");
  const Loaded map = machine.load("      - mine: {above: 2MB}",
                                  "plugins: {paths: [./own], user: app, memory: 64MB}\n");
  REQUIRE(brief(map) == "");
  CHECK(map.config.plugins.paths == std::vector<std::string>{"/etc/own"});
  CHECK(map.config.plugins.user == "app");
  CHECK(map.config.plugins.memory == std::uint64_t{64} << 20);
  CHECK(brief(machine.load("      - mine: {above: 2MB}", "plugins: {path: own}\n"))
            .find("1:11: unknown key 'path' of plugins") == 0);
  CHECK(brief(machine.load("      - always: {what: true}", "plugins: {memory: 1MB}\n"))
            .find("1:19: the memory of a plugin is a size of at least 16MB") == 0);
}

TEST_CASE("a load that has to ask first is told so, and asks everything in a few rounds") {
  Machine machine;
  machine.known = false;
  const Loaded first = machine.load("      - queue: {above: 2MB}\n      - broken: {above: 2MB}");
  CHECK(first.incomplete);
  CHECK(machine.asked == std::multiset<std::string>{"/lib/p/broken.so", "/lib/p/queue.so"});
  machine.known = true;
  CHECK_FALSE(machine.load("      - queue: {above: 2MB}").incomplete);
}

TEST_CASE("what was accepted is kept as it was, whatever becomes of the file") {
  Machine machine;
  machine.load("      - queue: {above: 1MB}");
  LoadInput input = input_of(machine.texts);
  input.plugin_dirs = {"/lib/p"};
  input.files.plugin = [&machine](const std::string& path, const FileAccess::Options* options) {
    FileAccess::Plugin plugin = machine.answer(path, options);
    if (options != nullptr) plugin.text.clear();
    return plugin;
  };
  Recording recording;
  input.files = recording_access(input.files, recording);
  REQUIRE(supv::load(input).ok);
  input.files = replaying_access(recording);
  const Loaded again = supv::load(input);
  CHECK(brief(again) == "");
  CHECK(again.config.plugins.used.size() == 1);
  // Of another one nothing is known, and nothing is asked.
  recording.texts["/etc/a.yaml"].replace(recording.texts["/etc/a.yaml"].find("queue"), 5, "mines");
  recording.globs["/lib/p/mines.so"] = {"/lib/p/mines.so"};
  input.files = replaying_access(recording);
  CHECK(brief(supv::load(input)).find("5:9: the plugin /lib/p/mines.so cannot be used") == 0);
}

TEST_CASE("a declaration that was cut or changed on its way is refused") {
  const std::string good = declared("queue");
  const Declaration read{std::string_view(good)};
  CHECK(read.pack() == good);
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_THROWS_AS(Declaration(std::string_view(good).substr(0, size)), BadPlugin);
  CHECK_THROWS_AS(Declaration(std::string_view(good + "x")), BadPlugin);
}
