#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <string>

#include "config_texts.h"

using namespace supv;
using namespace supv::test;

namespace {

using Clock = std::chrono::steady_clock;

/// Sanitizers and a busy machine slow everything down; hostile input would take minutes.
constexpr auto kLimit = std::chrono::seconds(10);

const char* const kValid[] = {
    R"(consul:
  address: http://127.0.0.1:8500
watches:
  sidekiq:
    dir: ${file.dir}
    env: { RAILS_ROOT: "${file.dir}", RAILS_ENV: production }
    pid_file: tmp/pids/sidekiq.pid          # relative to dir
    start: bundle exec sidekiq -P tmp/pids/sidekiq.pid -d
    keepalive: true
    restart_if:
      - consul_kv: { key: devops/automationtesting-backend, interval: 5s, window: 2 }
)",
    R"(# everything at once
vars: {a: "x y", 'b': "${vars.a}\n\u00e9"}
defaults: &d
  env: {A: 1, B: ~}
  stop_sequence: [TSTP 5s, TERM 25s, KILL]
  backoff: {initial: 1s, max: 2m, factor: 1.5, jitter: 5%}
include: ["conf.d/*.yaml"]
daemon: {operators: [deploy, "@ops"], socket_mode: "0660", log_level: info}
node: {hostname: h}
watches:
  base: {start: "cd ${env.HOME} && A=$(x) prog > log 2>&1", ready: {tcp: "127.0.0.1:80"}}
  other:
    <<: *d
    extends: base
    keepalive: {memory_max: 300MB, memory_times: [3, 5], cpu_max: 90%}
    umask: "0027"
    hooks: {before_start: [a, "b c"]}
    labels: {x: y}
    start: |
      exec prog \
        --flag "${vars.b}"
    restart_if:
    - memory_usage: {above: 1.5GiB, times: 3}
    - consul_kv: {prefix: app/, select: [/a~1b], splay: 30s}
    stop_if: [process_exits]
)",
};

const char* const kPieces[] = {"\t",
                               "  ",
                               "\n",
                               "\r\n",
                               "- ",
                               ": ",
                               "[",
                               "]",
                               "{",
                               "}",
                               "'",
                               "\"",
                               "#",
                               "&a ",
                               "*a",
                               "*d",
                               "<<: ",
                               "!!str ",
                               "%YAML 1.2\n",
                               "---\n",
                               "...\n",
                               "? ",
                               "|",
                               ">",
                               "~",
                               "null",
                               "yes",
                               "${",
                               "${env.HOME}",
                               "$${",
                               "}",
                               "\\",
                               "\\u",
                               "\xff",
                               "\xc3",
                               "\xe2\x80\xae",
                               "\xEF\xBB\xBF",
                               "0",
                               "99999999999999999999",
                               "-1",
                               "5s",
                               "300MB",
                               "[[[[[[[[",
                               "{{{{{{{{",
                               "extends: ",
                               "watches:",
                               "start: ",
                               "defaults: ",
                               "restart_if: ",
                               "- consul_kv:",
                               ", ",
                               "@",
                               "`",
                               "\x7f"};

std::string mutate(std::string text, std::mt19937& random) {
  const auto below = [&random](std::size_t bound) { return bound == 0 ? 0 : random() % bound; };
  const std::size_t count = 1 + below(6);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = below(text.size() + 1);
    const std::size_t length = std::min(below(20), text.size() - at);
    switch (below(7)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, kPieces[below(std::size(kPieces))]);
        break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(below(256));
        break;
      case 3:
        text.insert(below(text.size() + 1), text.substr(at, length));
        break;
      case 4:
        text.resize(at);
        break;
      case 5: {
        const std::string piece = kPieces[below(std::size(kPieces))];
        std::string many;
        for (std::size_t k = below(200); k > 0; --k) many += piece;
        text.insert(at, many);
        break;
      }
      default:
        text.insert(at, std::string(below(30), ' '));
        break;
    }
  }
  return text;
}

/// Accepted, or refused with at least one error at a place of one of the files.
void check_answer(const std::string& text) {
  const auto begin = Clock::now();
  const Loaded loaded = load(input_of({{"/etc/a.yaml", text}}));
  CHECK(Clock::now() - begin < kLimit);
  CHECK(loaded.ok == without_errors(loaded.diagnostics));
  for (const Diagnostic& one : loaded.diagnostics) {
    CHECK(one.place.file == "/etc/a.yaml");
    CHECK(one.place.line >= 1);
    CHECK(one.place.column >= 1);
    CHECK_FALSE(one.text.empty());
  }
  const std::string shown = render(loaded.diagnostics);
  CHECK(shown.find('\x1b') == std::string::npos);
  CHECK(shown.find('\0') == std::string::npos);
  for (const WatchSpec& watch : loaded.config.watches) {
    if (!loaded.ok) break;
    CHECK_FALSE(watch.process.start.argv.empty());
    CHECK_FALSE(watch.ladder.empty());
  }
}

std::string repeat(const std::string& piece, std::size_t bytes = 1U << 20) {
  std::string text;
  while (text.size() + piece.size() <= bytes) text += piece;
  return text;
}

}  // namespace

TEST_CASE("the valid files are accepted") {
  for (const char* text : kValid) {
    const Loaded loaded = load(input_of({{"/etc/a.yaml", text}}));
    CAPTURE(render(loaded.diagnostics));
    CHECK(loaded.ok);
  }
}

TEST_CASE("mutated files are accepted or refused at a place") {
  const char* written = std::getenv("SUPV_TEST_SEED");
  const unsigned seed = written != nullptr
                            ? static_cast<unsigned>(std::strtoul(written, nullptr, 10))
                            : std::random_device()();
  MESSAGE("SUPV_TEST_SEED=" << seed);
  std::mt19937 random(seed);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string text = mutate(kValid[random() % std::size(kValid)], random);
    CAPTURE(seed);
    CAPTURE(i);
    CAPTURE(text);
    check_answer(text);
    if (!load(input_of({{"/etc/a.yaml", text}})).ok) ++refused;
  }
  // If nearly everything or nearly nothing is refused, the mutations test nothing.
  CHECK(refused > 1000);
  CHECK(refused < 2990);
}

TEST_CASE("a mebibyte of anything is answered in time") {
  const std::string pieces[] = {
      "[",   "{",   "{a: ", "[{a: ", "- ",    "? ",    ": ",          "! ",
      "&a ", "*a ", "'",    "\"",    "\n",    "# c\n", " ",           "\t",
      "a",   "a: ", "a:b:", "a :",   "---\n", "...\n", "%YAML 1.2\n", "\"a\" \"b\" ",
      "[\n", "[? ", "a #",  "<<: ",  "- - ",  "@",     "`",           ","};
  for (const std::string& piece : pieces) {
    CAPTURE(piece);
    check_answer(repeat(piece));
    check_answer("a: [" + repeat(piece, (1U << 20) - 10));
    check_answer("a: \"" + repeat(piece, (1U << 20) - 10));
    check_answer("watches: {w: {start: \"" + repeat(piece == "\"" ? "'" : piece, 100'000) + "\"}}");
  }
  check_answer("a: |\n" + repeat(" x xxxxxxx\n", (1U << 20) - 10));
  check_answer("a: >\n" + repeat(" x xxxxxxx\n\n", (1U << 20) - 10));
  check_answer("a: b\n" + repeat(" x xxxxxxx\n", (1U << 20) - 10));
}

TEST_CASE("a small file cannot unfold to a large configuration") {
  std::string keys;
  for (int i = 0; i < 50'000; ++i) keys += "k" + std::to_string(i) + ": 1, ";
  std::string watches;
  for (int i = 0; i < 20'000; ++i) watches += " w" + std::to_string(i) + ": {start: x}\n";
  check_answer("defaults: {env: {" + keys + "}}\nwatches:\n" + watches);
  std::string chain = "watches:\n w0: {start: x, env: {" + keys + "}}\n";
  for (int i = 1; i < 9'000; ++i) {
    chain +=
        " w" + std::to_string(i) + ": {extends: w" + std::to_string(i - 1) + ", env: {A: b}}\n";
  }
  check_answer(chain);
  std::string uses;
  for (int i = 0; i < 20'000; ++i) uses += "k" + std::to_string(i) + ": \"${vars.x}\", ";
  check_answer("vars: {x: \"" + std::string(100'000, 'x') + "\"}\nwatches: {w: {start: y, env: {" +
               uses + "}}}");
  std::string conditions;
  for (int i = 0; i < 30'000; ++i) conditions += "{memory_usage: {above: 1MB}},";
  check_answer("watches: {w: {start: x, restart_if: [" + conditions + "]}}");
}
