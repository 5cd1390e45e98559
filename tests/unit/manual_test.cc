// The manual pages against the tables that they describe: nothing is missing, nothing is left over,
// and each says of an option what its declaration says.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conditions/catalog.h"
#include "config/contact_kinds.h"
#include "config/schema.h"

using namespace supv;

namespace {

std::string document(const std::string& name) {
  std::ifstream in(SUPV_SOURCE_DIR "/" + name);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  REQUIRE_FALSE(text.empty());
  return text;
}

std::string page(const char* name) { return document(std::string("man/") + name); }

/// What lies between a heading and the next one of any kind.
std::string section(const std::string& page, const std::string& heading) {
  const std::size_t begin = page.find("\n." + heading + "\n");
  CAPTURE(heading);
  REQUIRE(begin != std::string::npos);
  const std::size_t body = begin + heading.size() + 2;
  return page.substr(body, page.find("\n.S", body) - body + 1);
}

std::string without(std::string text, std::string_view part) {
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos;) {
    text.erase(at, part.size());
  }
  return text;
}

/// Only what is read: without macros, and without the white space that is the page's own affair.
std::string squeezed(const std::string& roff) {
  std::istringstream lines(without(without(without(roff, "\\&"), "`"), "…"));
  std::string out;
  for (std::string line; std::getline(lines, line);) {
    for (const std::string_view macro : {".Cm ", ".Ql ", ".Em ", ".Ev ", ".Pa ", ".Xr "}) {
      if (line.rfind(macro, 0) == 0) line.erase(0, macro.size());
    }
    out += without(std::move(line), " ");
  }
  return out;
}

using Items = std::vector<std::pair<std::string, std::string>>;

/// The items of the first list of options in a section: name and squeezed text.
Items items_of(const std::string& section) {
  Items items;
  const std::size_t begin = section.find(".Bl -tag");
  if (begin == std::string::npos) return items;
  std::istringstream lines(section.substr(begin, section.find("\n.El", begin) - begin));
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(".It ", 0) == 0) {
      if (!items.empty()) items.back().second = squeezed(text);
      items.emplace_back(line.substr(4), "");
      text.clear();
    } else {
      text += line + '\n';
    }
  }
  if (!items.empty()) items.back().second = squeezed(text);
  return items;
}

std::string one_of(std::string_view choices) {
  std::string text;
  for (const auto word : split_choices(choices))
    text += (text.empty() ? "One of " : ", ") + std::string(word);
  return text.empty() ? text : text + ".";
}

void check_level(const std::string& section, std::span<const Key> keys) {
  const Items items = items_of(section);
  CHECK(items.size() == keys.size());
  for (std::size_t i = 0; i < std::min(items.size(), keys.size()); ++i) {
    const Key& key = keys[i];
    CAPTURE(std::string(key.name));
    CHECK(items[i].first == "Cm " + std::string(key.name));
    std::string said = std::string(key.help) + one_of(key.choices);
    // ${node.*} stands for three dots that roff does not have.
    if (key.name == "node") said = "What ${node.*} stands for.";
    const std::string text = items[i].second;
    CHECK(text.substr(0, squeezed(said).size()) == squeezed(said));
  }
}

}  // namespace

TEST_CASE("supv.watch(5) has every key, with the words of the table") {
  const std::string text = page("supv.watch.5");
  check_level(section(text, "Sh TOP LEVEL"), top_level().keys);
  check_level(section(text, "Sh A WATCH"), watch_level().keys);
  check_level(section(text, "Ss keepalive"), keepalive_level().keys);
  check_level(section(text, "Ss ready"), ready_level().keys);
  check_level(section(text, "Ss backoff"), backoff_level().keys);
  check_level(section(text, "Ss flapping"), flapping_level().keys);
  check_level(section(text, "Ss hooks"), hooks_level().keys);
  check_level(section(text, "Ss transitions"), transition_level().keys);
  check_level(section(text, "Ss behaviors"), flapping_notice_level().keys);
  check_level(section(text, "Sh TASKS"), task_level().keys);
  check_level(section(text, "Ss Parameters of every condition"), condition_level().keys);
  check_level(section(text, "Sh CONSUL"), cluster_level().keys);
  check_level(section(text, "Sh DAEMON"), daemon_level().keys);
  check_level(section(text, "Sh NODE"), node_level().keys);
  check_level(section(text, "Sh PLUGINS"), plugins_level().keys);
}

TEST_CASE("supv-conditions(7) has every condition, with the words of its declaration") {
  const std::string text = page("supv-conditions.7");
  check_level(section(text, "Ss Parameters of every condition"), condition_level().keys);
  for (const auto* condition : builtin_conditions()) {
    const std::string name = condition->name;
    CAPTURE(name);
    const std::string about = section(text, "Ss " + name);
    const std::string help = squeezed(condition->help);
    CHECK(squeezed(about).substr(0, help.size()) == help);
    const Items items = items_of(about);
    REQUIRE(items.size() == condition->option_count);
    for (std::size_t i = 0; i < items.size(); ++i) {
      const supv_option& option = condition->options[i];
      CAPTURE(std::string(option.name));
      CHECK(items[i].first == "Cm " + std::string(option.name));
      std::string said = option.help;
      if (option.required != 0) said += " Required.";
      if (option.type == SUPV_CHOICE) said += one_of(option.choices);
      if (option.fallback != nullptr) said += " Default: " + std::string(option.fallback) + ".";
      CHECK(items[i].second == squeezed(said));
    }
    // An example that shows it; another test has supvctl check them all.
    const std::size_t example = about.find(".Bd -literal");
    REQUIRE(example != std::string::npos);
    CHECK(about.find("- " + name, example) != std::string::npos);
  }
  std::size_t sections = 0;
  for (std::size_t at = 0; (at = text.find("\n.Ss ", at)) != std::string::npos; ++at) ++sections;
  CHECK(sections == builtin_conditions().size() + 1);
}

TEST_CASE("supv.watch(5) names every condition") {
  const std::string text = section(page("supv.watch.5"), "Sh CONDITIONS");
  for (const auto* condition : builtin_conditions()) {
    CAPTURE(std::string(condition->name));
    CHECK(text.find(condition->name) != std::string::npos);
  }
}

TEST_CASE("the README names every condition and every kind of contact") {
  const std::string text = document("README.md");
  const auto named = [&](std::string_view name) {
    CAPTURE(std::string(name));
    CHECK(text.find("`" + std::string(name) + "`") != std::string::npos);
  };
  for (const auto* condition : builtin_conditions()) named(condition->name);
  for (const Key& kind : contact_defaults_level().keys) named(kind.name);
}
