#include "app/load_input.h"

#include <unistd.h>

#include <string_view>

#include "app/node_facts.h"
#include "app/places.h"
#include "conditions/catalog.h"
#include "plugin/ask.h"

namespace supv {
namespace {

/// Asks it, and waits for the answer.
FileAccess::Plugin plugin(const std::string& path, const FileAccess::Options* tried) {
  using State = FileAccess::Plugin::State;
  std::vector<PluginOptions> options;
  if (tried != nullptr) options.push_back(*tried);
  PluginFacts facts = ask_plugin(path, options, Confinement{});
  if (!facts.error.empty()) {
    return tried == nullptr ? FileAccess::Plugin{State::refused, facts.error}
                            : FileAccess::Plugin{State::known, facts.error};
  }
  if (tried == nullptr) return {State::known, std::move(facts.declaration)};
  return {State::known, facts.refusals.empty() ? "" : facts.refusals.front()};
}

}  // namespace

LoadInput load_input(const std::vector<std::string>& paths) {
  LoadInput input;
  for (const std::string& path : paths) input.paths.push_back(absolute_path(path));
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    input.environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  input.node = node_facts;
  input.watch_dirs = watch_dirs();
  input.plugin_dirs = plugin_dirs();
  input.catalog = builtin_conditions();
  input.files.plugin = plugin;
  return input;
}

}  // namespace supv
