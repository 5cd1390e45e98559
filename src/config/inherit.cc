#include "config/inherit.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>

namespace supv {
namespace {

constexpr std::size_t kMaxChain = 64;

}  // namespace

const Node* Inheritance::resolve(const WatchEntry& watch) {
  const Node* own = extended(watch);
  const Node* defaults = defaults_of(*watch.document);
  if (own == nullptr || defaults == nullptr) return own;
  return merger_.watch(*defaults, *own);
}

const Node* Inheritance::defaults_of(const Document& document) {
  const auto known = defaults_.find(&document);
  if (known != defaults_.end()) return known->second;
  const Node* own = document.find("defaults");
  if (own != nullptr && own->kind == Node::Kind::null) own = nullptr;
  if (own != nullptr && !reader_.require(*own, Node::Kind::map, "a map of the keys of a watch")) {
    own = nullptr;
  }
  if (own != nullptr) {
    const Fields checked(reader_, *own, watch_level());
    if (const Node* extends = checked.find("extends")) {
      reader_.error(*extends, "defaults cannot extend a watch");
    }
  }
  const Document* includer = document.includer;
  const Node* outer = includer == nullptr ? nullptr : defaults_of(*includer);
  const Node* merged = own == nullptr     ? outer
                       : outer == nullptr ? own
                                          : merger_.watch(*outer, *own);
  defaults_[&document] = merged;
  return merged;
}

bool Inheritance::circular(const WatchEntry& watch, const Node& reference) {
  const auto begin = std::find(open_.begin(), open_.end(), &watch);
  if (begin == open_.end() && open_.size() < kMaxChain) return false;
  if (begin == open_.end()) {
    reader_.error(reference, fmt::format("more than {} watches extend one another", kMaxChain));
    return true;
  }
  std::vector<std::string> path;
  for (auto step = begin; step != open_.end(); ++step) path.push_back((*step)->key->text);
  path.push_back(watch.key->text);
  reader_.error(reference, fmt::format("watches extend one another: {}", fmt::join(path, " → ")));
  return true;
}

const Node* Inheritance::extended(const WatchEntry& watch) {
  const Node* name = watch.body->find("extends");
  if (name == nullptr || name->kind == Node::Kind::null) return watch.body;
  const auto known = resolved_.find(watch.body);
  if (known != resolved_.end()) return known->second;
  open_.push_back(&watch);
  const Node* result = nullptr;
  if (const WatchEntry* base = base_of(watch, *name); base != nullptr && !circular(*base, *name)) {
    const Node* inherited = extended(*base);
    const bool ready_made = base->document != watch.document;
    const Node* defaults = ready_made ? defaults_of(*base->document) : nullptr;
    if (inherited != nullptr && defaults != nullptr)
      inherited = merger_.watch(*defaults, *inherited);
    if (inherited != nullptr) result = merger_.watch(*inherited, *watch.body);
  }
  open_.pop_back();
  resolved_[watch.body] = result;
  return result;
}

const WatchEntry* Inheritance::base_of(const WatchEntry& watch, const Node& name) {
  reader_.expander().enter(&watch.document->scope, watch.key->text);
  std::string written;
  reader_.text(name, written);
  if (written.empty()) return nullptr;
  if (!valid_name(written)) {
    reader_.error(name, fmt::format("'{}' cannot be the name of a watch", written));
    return nullptr;
  }
  // A watch called sidekiq that extends sidekiq means the ready-made one.
  const auto beside = watch.document->by_name.find(written);
  if (beside != watch.document->by_name.end() && beside->second != &watch) return beside->second;
  if (const WatchEntry* found = files_.ready_made(written)) {
    if (found != &watch) return found;
  }
  report_unknown_base(watch, name, written);
  return nullptr;
}

void Inheritance::report_unknown_base(const WatchEntry& watch, const Node& reference,
                                      const std::string& name) {
  std::vector<std::string> names;
  for (const WatchEntry& other : watch.document->watches) {
    if (&other != &watch) names.push_back(other.key->text);
  }
  for (const std::string& dir : input_.watch_dirs) {
    if (!input_.files.glob) break;
    for (const std::string& path : input_.files.glob(dir + "/*.watch.yaml")) {
      const std::size_t begin = path.rfind('/') + 1;
      names.push_back(
          path.substr(begin, path.size() - begin - std::string_view(".watch.yaml").size()));
    }
  }
  reader_.unknown(reference, fmt::format("there is no watch '{}' to extend", name), name,
                  {names.begin(), names.end()});
}

}  // namespace supv
