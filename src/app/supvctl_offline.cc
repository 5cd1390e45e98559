#include "app/supvctl_offline.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>

#include "app/load_input.h"
#include "app/supvctl_installed.h"
#include "base/text.h"
#include "conditions/catalog.h"
#include "config/load.h"
#include "core/report.h"

namespace supv::ctl {
namespace {

using nlohmann::ordered_json;

ordered_json place_json(const Place& place) {
  return {{"file", place.file}, {"line", place.line}, {"column", place.column}};
}

ordered_json diagnostic_json(const Diagnostic& diagnostic) {
  ordered_json json = place_json(diagnostic.place);
  json["severity"] = diagnostic.severity == Diagnostic::Severity::error ? "error" : "warning";
  json["text"] = diagnostic.text;
  json["help"] = diagnostic.help.empty() ? ordered_json() : ordered_json(diagnostic.help);
  json["related"] = diagnostic.related ? place_json(*diagnostic.related) : ordered_json();
  return json;
}

void print_json(const Loaded& loaded) {
  ordered_json json = {{"ok", loaded.ok},
                       {"files", loaded.config.files},
                       {"watches", ordered_json::array()},
                       {"diagnostics", ordered_json::array()}};
  for (const WatchSpec& watch : loaded.config.watches) json["watches"].push_back(watch.name);
  for (const Diagnostic& diagnostic : loaded.diagnostics) {
    json["diagnostics"].push_back(diagnostic_json(diagnostic));
  }
  fmt::print("{}\n", json.dump(2, ' ', false, ordered_json::error_handler_t::replace));
}

std::string condition_line(const supv_condition_descriptor& condition) {
  return fmt::format("{:<18} {}\n", condition.name, condition.help);
}

std::string plugin_line(InstalledPlugin& plugin) {
  study(plugin);
  if (!plugin.declaration)
    return fmt::format("{:<18} cannot be used: {} ({})\n", printable(plugin.name), plugin.error,
                       printable(plugin.path));
  return fmt::format("{:<18} {} ({})\n", plugin.name, plugin.declaration->descriptor().help,
                     printable(plugin.path));
}

/// `word` is one of them.
int print_reference(const std::string& word, std::vector<InstalledPlugin>& plugins) {
  for (const auto* condition : builtin_conditions()) {
    if (word != condition->name) continue;
    std::fputs(describe_condition(*condition).c_str(), stdout);
    return 0;
  }
  for (InstalledPlugin& plugin : plugins) {
    if (word != plugin.name) continue;
    study(plugin);
    if (!plugin.declaration) {
      fmt::print(stderr, "supvctl: the plugin {} cannot be used: {}\n", printable(plugin.path),
                 plugin.error);
      return code::kFailed;
    }
    fmt::print("{}\nPlugin: {}\n", describe_condition(plugin.declaration->descriptor()),
               printable(plugin.path));
  }
  return 0;
}

}  // namespace

int check_files(const Invocation& invocation) {
  const Loaded loaded = load(load_input(invocation.files));
  if (invocation.output == Output::json || invocation.output == Output::jsonl) {
    print_json(loaded);
    return loaded.ok ? 0 : code::kInvalid;
  }
  const bool colour = invocation.colour && isatty(STDERR_FILENO) == 1;
  std::fputs(render(loaded.diagnostics, colour).c_str(), stderr);
  if (!loaded.ok) return code::kInvalid;
  if (!invocation.quiet) {
    fmt::print("ok: {} watch{} in {} file{}\n", loaded.config.watches.size(),
               loaded.config.watches.size() == 1 ? "" : "es", loaded.config.files.size(),
               loaded.config.files.size() == 1 ? "" : "s");
  }
  return 0;
}

int print_conditions(const Invocation& invocation) {
  std::vector<InstalledPlugin> plugins = installed_plugins();
  if (invocation.words.empty()) {
    for (const auto* condition : builtin_conditions()) {
      std::fputs(condition_line(*condition).c_str(), stdout);
    }
    for (InstalledPlugin& plugin : plugins) std::fputs(plugin_line(plugin).c_str(), stdout);
    return 0;
  }
  std::vector<std::string_view> names;
  for (const auto* condition : builtin_conditions()) names.emplace_back(condition->name);
  for (const InstalledPlugin& plugin : plugins) names.emplace_back(plugin.name);
  for (const std::string& word : invocation.words) {
    if (std::find(names.begin(), names.end(), word) == names.end()) {
      const std::string_view near = nearest_word(word, names);
      fmt::print(stderr, "supvctl: no such condition: {}{}\n", printable(word),
                 near.empty() ? "" : fmt::format("; did you mean {}?", near));
      return code::kUsage;
    }
    if (const int failed = print_reference(word, plugins); failed != 0) return failed;
  }
  return 0;
}

int print_schema() {
  Catalog catalog = builtin_conditions();
  std::vector<InstalledPlugin> plugins = installed_plugins();
  for (InstalledPlugin& plugin : plugins) {
    study(plugin);
    if (plugin.declaration) catalog.push_back(&plugin.declaration->descriptor());
  }
  fmt::print("{}\n", json_schema(catalog));
  return 0;
}

}  // namespace supv::ctl
