#include "gateway/dev_kv_store.h"

#include <algorithm>
#include <array>

#include "base/units.h"

namespace supv {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kTitle = "supv-dev-kv 1";
/// A real server forgets them after a quarter of an hour.
constexpr std::size_t kMaxTombstones = 4096;

/// Visits what begins with `prefix` in an ordered map.
template <typename Map, typename Visit>
void for_each_under(Map& map, std::string_view prefix, Visit visit) {
  for (auto at = map.lower_bound(prefix); at != map.end(); ++at) {
    if (std::string_view(at->first).substr(0, prefix.size()) != prefix) return;
    visit(*at);
  }
}

/// Cuts off the text up to the next `end`.
std::string_view cut(std::string_view& text, char end) {
  const auto at = std::min(text.find(end), text.size());
  const std::string_view first = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return first;
}

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t word = 0;
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k)
      word = word << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      out += k <= count ? kAlphabet[word >> (18 - 6 * k) & 63U] : '=';
  }
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const std::size_t padding =
        !last ? 0 : static_cast<std::size_t>(text[i + 3] == '=') + (text[i + 2] == '=' ? 1U : 0U);
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const auto digit = k < 4 - padding ? kAlphabet.find(text[i + k]) : 0;
      if (digit == std::string_view::npos) return std::nullopt;
      word = word << 6 | static_cast<std::uint32_t>(digit);
    }
    for (std::size_t k = 0; k < 3 - padding; ++k)
      out += static_cast<char>(word >> (16 - 8 * k) & 255U);
  }
  return out;
}

const KvStore::Entry* KvStore::find(std::string_view key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

std::vector<KvStore::Entries::const_pointer> KvStore::list(std::string_view prefix) const {
  std::vector<Entries::const_pointer> found;
  for_each_under(entries_, prefix, [&](const auto& entry) { found.push_back(&entry); });
  return found;
}

bool KvStore::put(std::string_view key, std::string_view value, std::uint64_t flags) {
  ++last_index_;
  const auto [at, created] = entries_.try_emplace(std::string(key));
  Entry& entry = at->second;
  if (!created && entry.value == value && entry.flags == flags) return false;
  entry.value = value;
  entry.flags = flags;
  entry.modify_index = last_index_;
  if (created) entry.create_index = last_index_;
  table_index_ = last_index_;
  return true;
}

bool KvStore::erase(std::string_view key) {
  ++last_index_;
  const auto found = entries_.find(key);
  if (found == entries_.end()) return false;
  entries_.erase(found);
  bury(key);
  return true;
}

bool KvStore::erase_prefix(std::string_view prefix) {
  ++last_index_;
  const std::size_t erased = std::erase_if(entries_, [&](const auto& entry) {
    return std::string_view(entry.first).substr(0, prefix.size()) == prefix;
  });
  if (erased == 0) return false;
  // One tombstone for all of them, as a server does it; none when everything goes.
  bury(prefix);
  return true;
}

void KvStore::bury(std::string_view key) {
  table_index_ = last_index_;
  if (key.empty()) return;
  tombstones_[std::string(key)] = last_index_;
  if (tombstones_.size() <= kMaxTombstones) return;
  tombstones_.erase(
      std::min_element(tombstones_.begin(), tombstones_.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; }));
}

std::uint64_t KvStore::newest_under(std::string_view prefix) const {
  std::uint64_t newest = 0;
  if (prefix.empty()) return newest;
  for_each_under(entries_, prefix,
                 [&](const auto& entry) { newest = std::max(newest, entry.second.modify_index); });
  for_each_under(tombstones_, prefix,
                 [&](const auto& stone) { newest = std::max(newest, stone.second); });
  return newest;
}

bool KvStore::uses_table_index(std::string_view key, bool prefix) const {
  return prefix ? newest_under(key) == 0 : find(key) == nullptr;
}

std::uint64_t KvStore::index_of_key(std::string_view key) const {
  const Entry* entry = find(key);
  return entry != nullptr ? entry->modify_index : std::max<std::uint64_t>(table_index_, 1);
}

std::uint64_t KvStore::index_of_prefix(std::string_view prefix) const {
  const std::uint64_t newest = newest_under(prefix);
  return newest != 0 ? newest : std::max<std::uint64_t>(table_index_, 1);
}

std::string KvStore::dump() const {
  std::string text = std::string(kTitle) + '\n';
  text += "index " + std::to_string(last_index_) + ' ' + std::to_string(table_index_) + '\n';
  for (const auto& [key, entry] : entries_) {
    text += "entry " + base64_encode(key) + ' ' + std::to_string(entry.flags) + ' ' +
            std::to_string(entry.create_index) + ' ' + std::to_string(entry.modify_index) + ' ' +
            base64_encode(entry.value) + '\n';
  }
  for (const auto& [key, index] : tombstones_)
    text += "tombstone " + base64_encode(key) + ' ' + std::to_string(index) + '\n';
  return text;
}

std::optional<KvStore> KvStore::parse(std::string_view text) {
  KvStore store;
  if (cut(text, '\n') != kTitle) return std::nullopt;
  while (!text.empty())
    if (!store.parse_line(cut(text, '\n'))) return std::nullopt;
  return store;
}

bool KvStore::parse_line(std::string_view line) {
  const std::string_view what = cut(line, ' ');
  if (what == "index") {
    const auto last = parse_unsigned(cut(line, ' '));
    const auto table = parse_unsigned(line);
    last_index_ = last.value_or(0);
    table_index_ = table.value_or(0);
    return last && table;
  }
  auto key = base64_decode(cut(line, ' '));
  if (!key) return false;
  if (what == "tombstone") {
    const auto index = parse_unsigned(line);
    tombstones_[std::move(*key)] = index.value_or(0);
    return index.has_value();
  }
  const auto flags = parse_unsigned(cut(line, ' '));
  const auto create = parse_unsigned(cut(line, ' '));
  const auto modify = parse_unsigned(cut(line, ' '));
  auto value = base64_decode(line);
  if (what != "entry" || !flags || !create || !modify || !value) return false;
  entries_[std::move(*key)] = {std::move(*value), *flags, *create, *modify};
  return true;
}

}  // namespace supv
