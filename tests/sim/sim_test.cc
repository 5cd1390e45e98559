// Histories of supvd in a made-up world, each named by its seed.
//   SUPV_SEED=n   replays one, with everything that happens
//   SUPV_SEEDS=k  runs k random ones; SUPV_SECONDS=s for so long (40)
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/sim_world.h"

namespace supv::sim {
namespace {

struct Outcome {
  std::uint64_t hash = 0;
  std::string violation;
};

/// A SUPV_CHECK that fails aborts: say in which history.
std::uint64_t seed_of_now = 0;
void on_abort(int) {
  char line[64];
  const int size = std::snprintf(line, sizeof line, "aborted in seed %llu\n",
                                 static_cast<unsigned long long>(seed_of_now));
  static_cast<void>(!::write(1, line, static_cast<std::size_t>(size)));
}

Outcome live(std::uint64_t seed, bool shown) {
  seed_of_now = seed;
  SimWorld world(seed, shown);
  try {
    world.live();
  } catch (const Violated& violated) {
    return {world.hash(), violated.what()};
  }
  return {world.hash(), ""};
}

std::vector<std::uint64_t> fixed_seeds() {
  std::vector<std::uint64_t> seeds;
  std::ifstream file(std::string(SUPV_SOURCE_DIR) + "/tests/sim/seeds.txt");
  for (std::string line; std::getline(file, line);) {
    const std::string number = line.substr(0, line.find_first_of(" #"));
    if (!number.empty()) seeds.push_back(std::strtoull(number.c_str(), nullptr, 10));
  }
  return seeds;
}

std::optional<std::uint64_t> setting(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? std::nullopt : std::optional(std::strtoull(text, nullptr, 10));
}

/// Runs one seed; the first ones twice: the same seed is the same history.
bool passes(std::uint64_t seed, bool twice) {
  const Outcome outcome = live(seed, false);
  if (!outcome.violation.empty()) {
    fmt::print("seed {}: {}\n  replay: SUPV_SEED={} sim_test\n", seed, outcome.violation, seed);
    return false;
  }
  if (!twice || live(seed, false).hash == outcome.hash) return true;
  fmt::print("seed {}: the same seed gave another history\n", seed);
  return false;
}

int run_all() {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const auto limit = std::chrono::seconds(setting("SUPV_SECONDS").value_or(40));
  const auto most = setting("SUPV_SEEDS");
  const bool to_the_end = std::getenv("SUPV_KEEP_GOING") != nullptr;
  std::size_t count = 0;
  std::size_t failed = 0;
  for (const std::uint64_t seed : fixed_seeds()) {
    failed += passes(seed, false) ? 0 : 1;
    ++count;
  }
  const auto today = std::chrono::duration_cast<std::chrono::hours>(
                         std::chrono::system_clock::now().time_since_epoch()) /
                     24;
  const std::uint64_t base =
      setting("SUPV_BASE").value_or(static_cast<std::uint64_t>(today.count()) * 1'000'000);
  for (std::uint64_t i = 0; most ? i < *most : Clock::now() - start < limit; ++i) {
    if (failed > 0 && !to_the_end) break;
    failed += passes(base + i, i < 20) ? 0 : 1;
    ++count;
  }
  fmt::print("{} histories, {} broken, base {}, {:.1f} s\n", count, failed, base,
             std::chrono::duration<double>(Clock::now() - start).count());
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace supv::sim

int main() {
  using namespace supv::sim;
  ::signal(SIGABRT, on_abort);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (const auto seed = setting("SUPV_SEED")) {
    const Outcome outcome = live(*seed, std::getenv("SUPV_QUIET") == nullptr);
    fmt::print("seed {}: {} hash {:x}\n", *seed,
               outcome.violation.empty() ? "kept every promise;" : outcome.violation + ";",
               outcome.hash);
    return outcome.violation.empty() ? 0 : 1;
  }
  return run_all();
}
