#include <doctest/doctest.h>

#include <map>
#include <random>

#include "keeper_toy.h"

using namespace supv;
using namespace toy;

namespace {

constexpr std::uint32_t kWatches = 8;

/// A brain in small: every watch is to be up, and is started again when it has ended.
class Reconciler {
 public:
  explicit Reconciler(Supvd& supvd) : supvd_(supvd) {}

  /// After a hello: what there is.
  void learn() {
    runs_.clear();
    for (const wire::Slot& slot : supvd_.slots) {
      const std::uint32_t index = wire::slot_of(slot.run);
      if (slot.phase == wire::Phase::gone || slot.phase == wire::Phase::failed)
        supvd_.forget(slot.run);
      else
        runs_[index] = slot.run;
    }
    for (std::uint32_t index = 1; index <= kWatches; ++index)
      if (!runs_.contains(index)) start(index);
  }
  void hear(int milliseconds) {
    supvd_.pump_until([this] { return !supvd_.news.empty(); }, milliseconds);
    for (; !supvd_.news.empty(); supvd_.news.pop_front()) {
      const wire::News news = supvd_.news.front();
      const std::uint32_t index = wire::slot_of(news.run);
      if (!runs_.contains(index) || runs_[index] != news.run) continue;
      if (news.kind == wire::Kind::exited) ++exits;
      if (news.kind == wire::Kind::start_failed) ++failures;
      if (news.kind != wire::Kind::gone && news.kind != wire::Kind::start_failed) continue;
      supvd_.forget(news.run);
      start(index);
    }
  }
  int exits = 0;
  int failures = 0;

 private:
  void start(std::uint32_t index) {
    runs_[index] =
        supvd_.spawn(index, role("witness", supvd_.dir / ("witness" + std::to_string(index))));
  }
  Supvd& supvd_;
  std::map<std::uint32_t, wire::Run> runs_;
};

/// Dots: starts; D: starts while another one was alive.
std::pair<std::size_t, std::size_t> starts_and_duplicates(const Supvd& supvd) {
  std::string all;
  for (std::uint32_t i = 1; i <= kWatches; ++i)
    all += read_file(supvd.dir / ("witness" + std::to_string(i)));
  const auto twice = static_cast<std::size_t>(std::count(all.begin(), all.end(), 'D'));
  return {all.size() - twice, twice};
}

void torture(const std::string& way, int kills, bool keeper_too) {
  CAPTURE(way);
  Supvd supvd(way);
  std::minstd_rand random(static_cast<unsigned>(kills));
  Reconciler reconciler(supvd);
  for (int i = 0; i < kills; ++i) {
    REQUIRE(supvd.greet());
    reconciler.learn();
    const auto until = Clock::now() + std::chrono::microseconds(random() % 12'000);
    while (Clock::now() < until) reconciler.hear(1);
    if (keeper_too && i % 4 != 3) {
      ::kill(supvd.keeper, SIGKILL);
      int status = 0;
      ::waitpid(supvd.keeper, &status, 0);
      supvd.launch();
    } else {
      ::kill(supvd.brain, SIGKILL);
    }
  }
  REQUIRE(supvd.greet());
  reconciler.learn();
  // Alive and well afterwards: every watch is started again.
  const std::size_t before = starts_and_duplicates(supvd).first;
  CHECK(wait_until([&] {
    reconciler.hear(5);
    return starts_and_duplicates(supvd).first >= before + 3 * kWatches;
  }));
  const auto [starts, duplicates] = starts_and_duplicates(supvd);
  MESSAGE(way << ": " << kills << " kills, " << starts << " starts, " << duplicates
              << " duplicates, " << reconciler.exits << " exits heard");
  CHECK(duplicates == 0);
  CHECK(reconciler.failures == 0);
  CHECK(starts > static_cast<std::size_t>(kills) / 4);
}

int kills_wanted() {
  const char* text = std::getenv("SUPV_TORTURE_KILLS");
  return text != nullptr ? std::atoi(text) : 200;
}

}  // namespace

TEST_CASE("keeper and brain are killed at any moment: nothing ever runs twice") {
  torture("", kills_wanted(), true);
}

TEST_CASE("the same without cgroups") { torture("cgroup", kills_wanted() / 4, true); }

TEST_CASE("the same as on an old kernel") {
  torture("cgroup,pidfs,clone3,pidfd_open,close_range", kills_wanted() / 4, true);
}

TEST_CASE("a brain killed again and again loses no run") { torture("", kills_wanted() / 2, false); }
