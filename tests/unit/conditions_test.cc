#include <dlfcn.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "conditions/catalog.h"

using namespace supv;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

/// What a condition sees in these tests. Values of options are in base units, as supvd hands them.
struct FakeHost {
  std::map<std::string, std::string> options;
  int pid = 80;
  bool gone = false;
  supv_usage usage{};
  int asked_for_pss = 0;
  supv_scope asked_scope = SUPV_SCOPE_TREE;
  // The conditions of this file ask for nothing that takes time.
  supv_host host{sizeof(supv_host), this,    option,  watch_name, pid_of,  usage_of,
                 conclude,          nullptr, nullptr, nullptr,    nullptr, nullptr};

  static FakeHost& self(void* context) { return *static_cast<FakeHost*>(context); }
  static const char* option(void* context, const char* name) {
    const auto found = self(context).options.find(name);
    return found == self(context).options.end() ? nullptr : found->second.c_str();
  }
  static const char* watch_name(void*) { return "web"; }
  static std::int32_t pid_of(void* context) { return self(context).pid; }
  static int usage_of(void* context, supv_scope scope, int with_pss, supv_usage* usage) {
    FakeHost& host = self(context);
    if (host.gone) return -1;
    host.asked_for_pss += with_pss;
    host.asked_scope = scope;
    const std::uint32_t size = usage->size;
    *usage = host.usage;
    usage->size = size;
    if (with_pss == 0) usage->pss_bytes = 0;
    return 0;
  }
  static void conclude(void*, const supv_verdict*) { FAIL("nothing was pending"); }
};

/// The condition as a plugin: loaded from its own shared object.
struct Plugin {
  explicit Plugin(const std::string& name) {
    const std::string path = std::string(SUPV_CONDITION_DIR) + "/" + name + ".so";
    library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) FAIL(::dlerror());
    descriptor =
        static_cast<const supv_condition_descriptor*>(::dlsym(library, "supv_condition_plugin"));
    REQUIRE(descriptor != nullptr);
  }
  ~Plugin() { ::dlclose(library); }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;

  void* library = nullptr;
  const supv_condition_descriptor* descriptor = nullptr;
};

/// One living condition with the fallbacks of its declaration filled in.
struct Subject {
  Subject(const std::string& name, std::map<std::string, std::string> options) : plugin(name) {
    const supv_condition_descriptor& d = *plugin.descriptor;
    for (std::uint32_t i = 0; i < d.option_count; ++i) {
      if (d.options[i].fallback) host.options[d.options[i].name] = d.options[i].fallback;
    }
    for (auto& [key, value] : options) host.options[key] = value;
    std::array<char, 200> message{};
    self = d.create(&host.host, message.data(), message.size());
    error = message.data();
  }
  ~Subject() {
    if (self != nullptr) plugin.descriptor->destroy(self);
  }
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  supv_outcome say(supv_event event) {
    REQUIRE(self != nullptr);
    event.size = sizeof event;
    supv_verdict verdict{};
    verdict.size = sizeof verdict;
    verdict.outcome = SUPV_PENDING;
    plugin.descriptor->on_event(self, &event, &verdict);
    reason = verdict.reason ? verdict.reason : "";
    return verdict.outcome;
  }
  supv_outcome poll(std::int64_t at = 0) {
    supv_event event{};
    event.kind = SUPV_TICK;
    event.monotonic_ns = at;
    return say(event);
  }
  supv_outcome ended(int code, int signal) {
    supv_event event{};
    event.kind = SUPV_ENDED;
    event.exit_code = code;
    event.exit_signal = signal;
    return say(event);
  }

  FakeHost host;
  Plugin plugin;
  void* self = nullptr;
  std::string error;
  std::string reason;
};

std::string output_of(const std::string& command) {
  std::string text;
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  std::array<char, 512> part;
  while (std::fgets(part.data(), part.size(), pipe.get())) text += part.data();
  return text;
}

}  // namespace

TEST_CASE("every condition is a plugin that exports one symbol") {
  for (const supv_condition_descriptor* builtin : builtin_conditions()) {
    CAPTURE(std::string(builtin->name));
    if (judged_by_supvd(*builtin)) continue;
    const Plugin plugin(builtin->name);
    CHECK(plugin.descriptor->abi == SUPV_CONDITION_ABI);
    CHECK(plugin.descriptor->size == sizeof(supv_condition_descriptor));
    CHECK(std::string(plugin.descriptor->name) == builtin->name);
    CHECK(plugin.descriptor->option_count == builtin->option_count);
    const std::string symbols = output_of("nm -D --defined-only " SUPV_CONDITION_DIR "/" +
                                          std::string(builtin->name) + ".so");
    CHECK(symbols.find(" supv_condition_plugin\n") != std::string::npos);
    CHECK(std::count(symbols.begin(), symbols.end(), '\n') == 1);
  }
}

TEST_CASE("the catalog holds every file of conditions/, and they include only what they may") {
  std::set<std::string> listed;
  for (const supv_condition_descriptor* known : builtin_conditions()) {
    if (!judged_by_supvd(*known)) listed.insert(known->name);
  }
  std::set<std::string> files;
  const auto beside = [](const std::string& line) {  // A header that several of them share.
    const std::size_t begin = line.find('"') + 1;
    const std::string name = line.substr(begin, line.find('"', begin) - begin);
    return std::filesystem::exists(SUPV_SOURCE_DIR "/conditions/" + name);
  };
  for (const auto& entry : std::filesystem::directory_iterator(SUPV_SOURCE_DIR "/conditions")) {
    if (entry.path().extension() != ".cc" || entry.path().stem() == "catalog") continue;
    const std::string stem = entry.path().stem().string();
    if (stem.rfind("lua_", 0) != 0) files.insert(stem);  // Those are parts of one.
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      CAPTURE(line);
      if (line.rfind("#include", 0) != 0) continue;
      CHECK((line.find('"') == std::string::npos || beside(line)));
      CHECK((line.find('/') == std::string::npos || line.rfind("#include <supv/", 0) == 0 ||
             line.rfind("#include <sys/", 0) == 0));
    }
  }
  CHECK(listed == files);
}

TEST_CASE("every declaration is complete and its defaults are of their types") {
  for (const supv_condition_descriptor* known : builtin_conditions()) {
    CAPTURE(std::string(known->name));
    CHECK(std::strlen(known->help) > 10);
    for (std::uint32_t i = 0; i < known->option_count; ++i) {
      const supv_option& option = known->options[i];
      CAPTURE(std::string(option.name));
      CHECK(option.help != nullptr);
      CHECK((option.choices != nullptr) == (option.type == SUPV_CHOICE));
      CHECK_FALSE((option.required && option.fallback != nullptr));
      if (option.type == SUPV_CHOICE && option.fallback) {
        const std::string choices = "|" + std::string(option.choices) + "|";
        CHECK(choices.find("|" + std::string(option.fallback) + "|") != std::string::npos);
      }
    }
  }
}

TEST_CASE("always") {
  Subject yes("always", {{"what", "true"}});
  CHECK(yes.poll() == SUPV_FIRE);
  CHECK(yes.poll() == SUPV_FIRE);
  Subject no("always", {{"what", "false"}});
  CHECK(no.poll() == SUPV_OK);
  const Subject bad("always", {{"what", "maybe"}});
  CHECK(bad.self == nullptr);
  CHECK(bad.error == "what: neither true nor false: 'maybe'");
}

TEST_CASE("process_running") {
  Subject runs("process_running", {{"running", "true"}});
  CHECK(runs.poll() == SUPV_FIRE);
  CHECK(runs.reason == "running, pid 80");
  runs.host.pid = 0;
  CHECK(runs.poll() == SUPV_OK);
  Subject idle("process_running", {{"running", "false"}});
  CHECK(idle.poll() == SUPV_OK);
  idle.host.pid = 0;
  CHECK(idle.poll() == SUPV_FIRE);
  CHECK(idle.reason == "not running");
  CHECK(Subject("process_running", {{"running", "1"}}).self == nullptr);
}

TEST_CASE("process_exits") {
  Subject exits("process_exits", {});
  CHECK(exits.plugin.descriptor->kind == SUPV_EXIT);
  CHECK(exits.plugin.descriptor->option_count == 0);
  CHECK(exits.ended(3, 0) == SUPV_FIRE);
  CHECK(exits.reason == "exit 3");
  CHECK(exits.ended(0, 0) == SUPV_FIRE);
  CHECK(exits.reason == "exit 0");
  CHECK(exits.ended(-1, 9) == SUPV_FIRE);
  CHECK(exits.reason == "killed by KILL");
  CHECK(exits.ended(-1, 0) == SUPV_FIRE);
  CHECK(exits.reason == "ended, status unknown");
}

TEST_CASE("memory_usage reads PSS only when RSS is above") {
  constexpr std::uint64_t kMiB = 1024 * 1024;
  Subject memory("memory_usage", {{"above", std::to_string(300 * kMiB)}});
  memory.host.usage.rss_bytes = 300 * kMiB;
  memory.host.usage.pss_bytes = 250 * kMiB;
  CHECK(memory.poll() == SUPV_OK);
  CHECK(memory.host.asked_for_pss == 0);
  memory.host.usage.rss_bytes = 400 * kMiB;
  CHECK(memory.poll() == SUPV_OK);
  CHECK(memory.reason == "250 MiB");
  CHECK(memory.host.asked_for_pss == 1);
  memory.host.usage.pss_bytes = 312 * kMiB;
  CHECK(memory.poll() == SUPV_FIRE);
  CHECK(memory.reason == "312 MiB, above 300 MiB");
  CHECK(memory.host.asked_scope == SUPV_SCOPE_TREE);
  memory.host.gone = true;
  CHECK(memory.poll() == SUPV_UNKNOWN);

  Subject rss("memory_usage", {{"above", "1000"}, {"of", "rss"}, {"scope", "process"}});
  rss.host.usage.rss_bytes = 1001;
  CHECK(rss.poll() == SUPV_FIRE);
  CHECK(rss.host.asked_for_pss == 0);
  CHECK(rss.host.asked_scope == SUPV_SCOPE_PROCESS);

  const Subject bad("memory_usage", {{"above", "300 parsecs"}});
  CHECK(bad.self == nullptr);
  CHECK(bad.error == "above: not a number: '300 parsecs'");
}

TEST_CASE("cpu_usage is that between two polls") {
  Subject cpu("cpu_usage", {{"above", "50"}});
  cpu.host.usage.cpu_ns = 3600ULL * kSecond;  // Busy for an hour before anybody looked.
  CHECK(cpu.poll(10 * kSecond) == SUPV_UNKNOWN);
  CHECK(cpu.reason == "first sample");
  CHECK(cpu.poll(15 * kSecond) == SUPV_OK);
  CHECK(cpu.reason == "0.0%");
  // Three seconds of full load within five are seen, whatever came before.
  cpu.host.usage.cpu_ns += 3 * kSecond;
  CHECK(cpu.poll(20 * kSecond) == SUPV_FIRE);
  CHECK(cpu.reason == "60.0%, above 50.0%");
  cpu.host.usage.cpu_ns += 2 * kSecond + kSecond / 2;
  CHECK(cpu.poll(25 * kSecond) == SUPV_OK);  // Exactly 50 is not above.
  CHECK(cpu.poll(25 * kSecond) == SUPV_UNKNOWN);
  cpu.host.usage.cpu_ns = 0;  // A counter that went back is no load.
  CHECK(cpu.poll(30 * kSecond) == SUPV_OK);
  cpu.host.gone = true;
  CHECK(cpu.poll(35 * kSecond) == SUPV_UNKNOWN);
  CHECK(Subject("cpu_usage", {{"above", "much"}}).self == nullptr);
}

TEST_CASE("consul_kv declares what the contract says") {
  const Subject kv("consul_kv", {{"key", "a"}});
  CHECK(kv.self != nullptr);
  CHECK(kv.plugin.descriptor->kind == SUPV_CHANGE);
  std::string names;
  const supv_condition_descriptor& d = *kv.plugin.descriptor;
  for (std::uint32_t i = 0; i < d.option_count; ++i) names += d.options[i].name + std::string(" ");
  CHECK(names ==
        "key prefix select ignore window mode settle settle_max min_interval on_delete on_invalid "
        "missed datacenter consul ");
  CHECK(Subject("consul_kv", {}).error == "needs either `key` or `prefix`");
  CHECK(Subject("consul_kv", {{"key", "a"}, {"prefix", "b"}}).self == nullptr);
}

TEST_CASE("the reference is made from the declaration") {
  for (const supv_condition_descriptor* known : builtin_conditions()) {
    const std::string text = describe_condition(*known);
    CAPTURE(text);
    CHECK(text.rfind(std::string(known->name) + ": ", 0) == 0);
    CHECK(text.back() == '\n');
    for (std::uint32_t i = 0; i < known->option_count; ++i) {
      CHECK(text.find("\n  " + std::string(known->options[i].name) + " ") != std::string::npos);
    }
    std::size_t column = 0;
    for (const char c : text) {
      column = c == '\n' ? 0 : column + 1;
      CHECK(column <= 100);
    }
  }
  for (const supv_condition_descriptor* known : builtin_conditions()) {
    if (std::string(known->name) != "memory_usage") continue;
    const std::string text = describe_condition(*known);
    CHECK(text.find("  - memory_usage: { above: 300MB }\n") != std::string::npos);
    CHECK(text.find("tree|process") != std::string::npos);
    CHECK(text.find("Default: pss.") != std::string::npos);
    CHECK(text.find("Required.") != std::string::npos);
  }
}
