#include "config/plugin_finder.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace supv {
namespace {

using State = FileAccess::Plugin::State;

/// What a condition is taken for until its plugin has been asked.
constexpr supv_condition_descriptor kNothingKnown = {};

}  // namespace

std::vector<std::string> PluginFinder::directories() const {
  std::vector<std::string> all;
  if (plugins_ != nullptr) {
    for (const std::string& path : plugins_->paths)
      if (plugin_name(path).empty()) all.push_back(path);
  }
  all.insert(all.end(), input_.plugin_dirs.begin(), input_.plugin_dirs.end());
  return all;
}

std::string PluginFinder::path_of(const std::string& name) const {
  // A name goes into a pattern: nothing in it may mean anything there.
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (!std::all_of(name.begin(), name.end(), plain)) return {};
  if (plugins_ != nullptr) {
    for (const std::string& path : plugins_->paths)
      if (plugin_name(path) == name) return path;
  }
  for (const std::string& directory : directories()) {
    const auto there = input_.files.glob(escape_glob(directory) + "/" + name + ".so");
    if (!there.empty()) return there.front();
  }
  return {};
}

const PluginFinder::Found& PluginFinder::find(const std::string& name) {
  const auto [entry, fresh] = found_.try_emplace(name);
  Found& found = entry->second;
  if (!fresh || !input_.files.plugin) return found;
  found.path = path_of(name);
  if (found.path.empty()) return found;
  FileAccess::Plugin answer = input_.files.plugin(found.path, nullptr);
  switch (answer.state) {
    case State::unknown:
      incomplete_ = true;
      found.descriptor = &kNothingKnown;
      break;
    case State::refused:
      found.error = std::move(answer.text);
      break;
    case State::known:
      try {
        found.descriptor = &declarations_.emplace_back(answer.text).descriptor();
      } catch (const BadPlugin& bad) {
        found.error = bad.what();
      }
      break;
  }
  return found;
}

std::string PluginFinder::refusal(const Found& found, const FileAccess::Options& options) {
  if (found.descriptor == &kNothingKnown) return {};
  // A thousand watches may use it in the same words.
  const auto [entry, fresh] = refusals_[found.path].try_emplace(options);
  if (!fresh) return entry->second;
  FileAccess::Plugin answer = input_.files.plugin(found.path, &options);
  if (answer.state == State::unknown) incomplete_ = true;
  return entry->second = std::move(answer.text);
}

std::vector<std::string> PluginFinder::names() const {
  std::set<std::string> names;
  if (plugins_ != nullptr) {
    for (const std::string& path : plugins_->paths) names.insert(plugin_name(path));
  }
  for (const std::string& directory : directories()) {
    for (const std::string& path : input_.files.glob(escape_glob(directory) + "/*.so"))
      names.insert(plugin_name(path));
  }
  names.erase("");
  return {names.begin(), names.end()};
}

std::vector<PluginSpec> PluginFinder::used() const {
  std::vector<PluginSpec> all;
  for (const auto& [name, found] : found_) {
    if (found.descriptor != nullptr) all.push_back({name, found.path, found.descriptor->flags});
  }
  return all;
}

}  // namespace supv
