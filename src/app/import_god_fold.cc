#include <fmt/core.h>

#include <algorithm>

#include "app/import_god_parts.h"

namespace supv::import_god {
namespace {

using Entry = std::pair<std::string, Yaml>;
constexpr std::string_view kOwnName = "${watch.name}";
constexpr std::size_t kShortestName = 3;
constexpr std::size_t kLeastShared = 2;

std::string replaced(std::string text, const std::string& name) {
  for (std::size_t at = 0; (at = text.find(name, at)) != std::string::npos;) {
    text.replace(at, name.size(), kOwnName);
    at += kOwnName.size();
  }
  return text;
}

/// The same with the watch's name written as `${watch.name}`.
Yaml general(Yaml node, const std::string& name) {
  node.text = replaced(std::move(node.text), name);
  for (Yaml& item : node.items) item = general(std::move(item), name);
  for (auto& [key, value] : node.entries) value = general(std::move(value), name);
  return node;
}

/// Keys that are the same in all but for the name.
void share_names(std::vector<Entry*>& loop) {
  Yaml& first = loop.front()->second;
  for (auto& [key, value] : first.entries) {
    const Yaml shared = general(value, loop.front()->first);
    if (shared == value) continue;
    const bool same =
        std::all_of(loop.begin() + 1, loop.end(), [&key = key, &shared](const Entry* other) {
          const Yaml* theirs = other->second.find(key);
          return theirs != nullptr && general(*theirs, other->first) == shared;
        });
    if (!same) continue;
    for (Entry* other : loop) {
      if (other != loop.front()) other->second.set(key, shared);
    }
    value = shared;
  }
}

/// What `member` says beyond `base`; nothing when it lacks something that base has, which no
/// `extends` can take away.
std::optional<Yaml> difference(const Yaml& base, const Yaml& member) {
  Yaml out = map();
  for (const auto& [key, value] : base.entries) {
    if (member.find(key) == nullptr) return std::nullopt;
  }
  for (const auto& [key, value] : member.entries) {
    const Yaml* old = base.find(key);
    if (old != nullptr && *old == value) continue;
    if (old != nullptr && old->kind == Yaml::Kind::map && value.kind == Yaml::Kind::map) {
      const auto inner = difference(*old, value);
      if (!inner) return std::nullopt;
      out.set(key, *inner);
    } else {
      out.set(key, value);
    }
  }
  return out;
}

void fold(std::vector<Entry*>& loop) {
  share_names(loop);
  const Entry& base = *loop.front();
  std::size_t folded = 1;
  for (Entry* member : loop) {
    if (member == loop.front()) continue;
    const auto rest = difference(base.second, member->second);
    if (!rest || rest->entries.size() + kLeastShared > member->second.entries.size()) continue;
    Yaml keys = map();
    keys.set("extends", word(base.first));
    for (const auto& [key, value] : rest->entries) keys.set(key, value);
    member->second = std::move(keys);
    ++folded;
  }
  if (folded > 1) loop.front()->second.comment += fmt::format(", a loop of {}", loop.size());
}

}  // namespace

void fold_loops(std::vector<Entry>& watches, const std::vector<Spot>& spots) {
  std::vector<bool> done(watches.size(), false);
  for (std::size_t i = 0; i < watches.size(); ++i) {
    if (done[i]) continue;
    std::vector<Entry*> loop = {&watches[i]};
    for (std::size_t j = i + 1; j < watches.size(); ++j) {
      if (spots[j].file != spots[i].file || spots[j].line != spots[i].line) continue;
      loop.push_back(&watches[j]);
      done[j] = true;
    }
    const bool told_apart = std::all_of(loop.begin(), loop.end(), [](const Entry* entry) {
      return entry->first.size() >= kShortestName;
    });
    if (loop.size() > 1 && told_apart) fold(loop);
  }
}

}  // namespace supv::import_god
