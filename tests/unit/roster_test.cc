#include "core/roster.h"

#include <doctest/doctest.h>

using namespace supv;

namespace {

struct Fixture {
  Roster roster;
  Fixture() {
    add("sidekiq-1", {"workers"}, "a.watch.yaml", {{"tier", "back"}});
    add("sidekiq-2", {"workers", "even"}, "a.watch.yaml", {});
    add("redis", {}, "b.watch.yaml", {{"tier", "back"}});
  }
  void add(const std::string& name, std::vector<std::string> groups, const std::string& file,
           std::vector<std::pair<std::string, std::string>> labels) {
    auto spec = std::make_shared<WatchSpec>();
    spec->name = name;
    spec->groups = std::move(groups);
    spec->file = file;
    auto rare = std::make_shared<RareSpec>();
    rare->labels = std::move(labels);
    spec->rare = std::move(rare);
    roster.add(std::move(spec), 1);
  }
  using Numbers = std::vector<std::uint32_t>;
  Numbers select(std::vector<std::string> words, std::string* unknown = nullptr) {
    Request request;
    request.select = std::move(words);
    std::string none;
    const Numbers chosen = roster.select(request, none);
    if (unknown != nullptr) *unknown = none;
    return chosen;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "names, groups, globs and labels select") {
  CHECK(select({"redis"}) == Numbers{2});
  CHECK(select({"workers"}) == Numbers{0, 1});
  CHECK(select({"even"}) == Numbers{1});
  CHECK(select({"sidekiq-*"}) == Numbers{0, 1});
  CHECK(select({"*"}) == Numbers{0, 1, 2});
  CHECK(select({"@tier=back"}) == Numbers{0, 2});
  CHECK(select({"redis", "workers", "redis"}) == Numbers{0, 1, 2});
  CHECK(select({}) == Numbers{});
  Request all;
  all.all = true;
  std::string unknown;
  CHECK(roster.select(all, unknown) == Numbers{0, 1, 2});
  Request file;
  file.files = {"a.watch.yaml"};
  CHECK(roster.select(file, unknown) == Numbers{0, 1});
  CHECK(unknown.empty());
}

TEST_CASE_FIXTURE(Fixture, "what selects nothing is named, with the nearest name") {
  std::string unknown;
  CHECK(select({"redsi"}, &unknown) == Numbers{});
  CHECK(unknown == "no such watch: redsi (did you mean redis?)");
  select({"redis", "zzzzzzzz"}, &unknown);
  CHECK(unknown == "no such watch: zzzzzzzz");
  for (const char* word : {"@tier=front", "@tier", "@", "", "sidekiq-9*"}) {
    CAPTURE(word);
    CHECK(select({word}, &unknown) == Numbers{});
    CHECK_FALSE(unknown.empty());
  }
}

TEST_CASE_FIXTURE(Fixture, "numbers stay, and are not given again") {
  roster.erase(1);
  CHECK(roster.at(1) == nullptr);
  CHECK(roster.find("sidekiq-2") == nullptr);
  CHECK(roster.all() == Numbers{0, 2});
  CHECK(roster.size() == 2);
  add("sidekiq-2", {}, "c", {});
  CHECK(roster.find("sidekiq-2")->number() == 3);
  CHECK(roster.at(99) == nullptr);
}

TEST_CASE_FIXTURE(Fixture, "deadlines are served earliest first, once they have come") {
  CHECK_FALSE(roster.first_deadline());
  RunIds ids;
  Random random(1);
  const Moment start{Time(std::chrono::seconds(100)), 0};
  const auto begin = [&](std::uint32_t number, Duration after) {
    std::vector<Effect> effects;
    Step step{{start.time + after, 0}, effects, ids, random};
    roster.at(number)->start(step, {"start", "operator", ""});
    roster.schedule(number);
  };
  begin(2, Duration(0));
  begin(0, Duration(500));
  REQUIRE(roster.first_deadline());
  const Time first = *roster.first_deadline();
  CHECK(first == start.time + std::chrono::seconds(30));  // start_timeout
  CHECK(roster.due(first - Duration(1)).empty());
  CHECK(roster.due(first) == Numbers{2});
  CHECK(roster.due(first + Duration(500)) == Numbers{2, 0});
  roster.erase(2);
  CHECK(roster.due(first + Duration(500)) == Numbers{0});
}
