#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "config/schema.h"
#include "config_texts.h"

using namespace supv;
using namespace supv::test;
using Json = nlohmann::json;

namespace {

void check_level(const Level& level) {
  std::set<std::string_view> names;
  for (const Key& key : level.keys) {
    CAPTURE(std::string(key.name));
    CHECK(names.insert(key.name).second);
    CHECK(key.help.size() > 5);
    CHECK((key.help.back() == '.' || key.help.ends_with("...")));
    CHECK((key.type == KeyType::choice) == !key.choices.empty());
    if (key.level != nullptr && key.level != &watch_level()) check_level(*key.level);
  }
}

}  // namespace

TEST_CASE("the tables are complete") {
  check_level(top_level());
  check_level(watch_level());
  check_level(condition_level());
  CHECK(watch_level().keys.size() == 49);
}

TEST_CASE("every key of a watch is read: a wrong type is an error") {
  for (const Key& key : watch_level().keys) {
    CAPTURE(std::string(key.name));
    // No key takes a list of lists.
    const auto loaded = load_text("watches: {w: {start: x, reload: HUP, \"" +
                                  std::string(key.name) + "\": [[[]]]}}");
    bool pointed = false;
    for (const auto& one : loaded.diagnostics) {
      const bool twice = one.text.find("twice") != std::string::npos;
      pointed = pointed || (one.severity == Diagnostic::Severity::error && !twice &&
                            one.text.find("unknown") == std::string::npos);
    }
    if (key.name != "start" && key.name != "reload") CHECK(pointed);
  }
}

TEST_CASE("the JSON Schema has every key and every condition") {
  const Json schema = Json::parse(json_schema(builtin_conditions()));
  CHECK(schema["$schema"] == "http://json-schema.org/draft-07/schema#");
  for (const Key& key : top_level().keys)
    CHECK(schema["properties"].contains(std::string(key.name)));
  const Json& watch = schema["definitions"]["watch"];
  CHECK(watch["additionalProperties"] == false);
  for (const Key& key : watch_level().keys) {
    CAPTURE(std::string(key.name));
    REQUIRE(watch["properties"].contains(std::string(key.name)));
    CHECK(watch["properties"][std::string(key.name)]["description"] == std::string(key.help));
  }
  const std::string conditions = schema["definitions"]["condition"].dump();
  for (const auto* one : builtin_conditions()) {
    CHECK(conditions.find("\"" + std::string(one->name) + "\"") != std::string::npos);
  }
  CHECK(conditions.find("\"memory_usage\"") != std::string::npos);
}
