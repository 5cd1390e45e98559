#include "config/merge.h"

#include <string_view>
#include <unordered_map>
#include <utility>

namespace supv {
namespace {

/// Far more than 16,384 watches with every key of a watch.
constexpr std::size_t kMaxMerged = 2'000'000;

/// Keys of which the value is one of several forms that do not mix.
bool replaced(std::string_view key) { return key == "ready"; }

/// True when `over` speaks about something in a way that makes `key` of its base void.
bool voided(std::string_view key, const Node& over) {
  if (key == "extends") return true;
  if (key == "stop_sequence") return over.find("stop_signal") != nullptr;
  if (key == "stop_signal") return over.find("stop_sequence") != nullptr;
  return false;
}

}  // namespace

const Node* Merger::watch(const Node& base, const Node& over) { return merge(base, over, true); }

const Node* Merger::merge(const Node& base, const Node& over, bool of_watch) {
  merged_ += base.entries.size() + over.entries.size();
  if (merged_ > kMaxMerged) {
    report_.error(over.place(), "the watches inherit more keys than any real configuration");
    report_.stop();
    return &over;
  }
  std::unordered_map<std::string_view, const Node*> own;
  for (const Entry& entry : over.entries) own.emplace(entry.key->text, entry.value);
  Node merged;
  merged.kind = Node::Kind::map;
  merged.source = over.source;
  merged.offset = over.offset;
  std::unordered_map<std::string_view, std::size_t> index;
  for (const Entry& entry : base.entries) {
    const std::string_view key = entry.key->text;
    if (of_watch && !own.contains(key) && voided(key, over)) continue;
    index.emplace(key, merged.entries.size());
    merged.entries.push_back(entry);
  }
  for (const Entry& entry : over.entries) {
    const auto inherited = index.find(entry.key->text);
    if (inherited == index.end()) {
      merged.entries.push_back(entry);
      continue;
    }
    Entry& slot = merged.entries[inherited->second];
    const bool both = slot.value->is_map() && entry.value->is_map();
    if (both && !(of_watch && replaced(entry.key->text))) {
      slot = {entry.key, merge(*slot.value, *entry.value, false)};
    } else {
      slot = entry;
    }
  }
  return &arena_.make(std::move(merged));
}

}  // namespace supv
