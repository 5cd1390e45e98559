#include "core/kv_sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace supv {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxLeaves = 256;
constexpr std::size_t kMaxExplained = 64 * 1024;  ///< Larger values are compared, not explained.
constexpr int kMaxDepth = 64;

std::optional<std::string> decode_base64(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t buffer = 0;
  int bits = 0;
  std::size_t padding = 0;
  for (const char c : text) {
    std::uint32_t digit = 0;
    if (c >= 'A' && c <= 'Z') {
      digit = static_cast<std::uint32_t>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      digit = static_cast<std::uint32_t>(c - 'a' + 26);
    } else if (c >= '0' && c <= '9') {
      digit = static_cast<std::uint32_t>(c - '0' + 52);
    } else if (c == '+') {
      digit = 62;
    } else if (c == '/') {
      digit = 63;
    } else if (c == '=') {
      ++padding;
      continue;
    } else {
      return std::nullopt;
    }
    if (padding > 0) return std::nullopt;
    buffer = buffer << 6 | digit;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push_back(static_cast<char>(buffer >> bits & 0xff));
    }
  }
  if (padding > 2 || text.size() % 4 != 0) return std::nullopt;
  return bytes;
}

/// Parses without exceptions; depth is bounded so that a hostile value cannot exhaust the stack.
std::optional<Json> parse_value(const std::string& text) {
  const auto bounded = [](int depth, Json::parse_event_t, Json&) { return depth <= kMaxDepth; };
  Json value = Json::parse(text, bounded, false);
  if (value.is_discarded()) return std::nullopt;
  return value;
}

void collect_leaves(const Json& value, const std::string& pointer, Leaves& leaves) {
  if (leaves.size() >= kMaxLeaves) return;
  if (value.is_structured() && !value.empty()) {
    std::size_t position = 0;
    for (const auto& item : value.items()) {
      std::string name = value.is_array() ? std::to_string(position++) : item.key();
      for (std::size_t at = 0; (at = name.find_first_of("~/", at)) != std::string::npos; at += 2)
        name.replace(at, 1, name[at] == '~' ? "~0" : "~1");
      collect_leaves(item.value(), pointer + "/" + name, leaves);
    }
    return;
  }
  const Digest digest = keyed_hash({}, value.dump(-1, ' ', false, Json::error_handler_t::replace));
  leaves.emplace_back(pointer.empty() ? "/" : pointer, static_cast<std::uint32_t>(digest.low));
}

std::shared_ptr<const Leaves> leaves_of(const Json& value) {
  auto leaves = std::make_shared<Leaves>();
  collect_leaves(value, "", *leaves);
  std::sort(leaves->begin(), leaves->end());
  return leaves;
}

Json::json_pointer pointer_of(const std::string& text) { return Json::json_pointer(text); }

/// Removes what a pointer names, if it is there.
void remove_at(Json& value, const std::string& text) {
  const Json::json_pointer pointer = pointer_of(text);
  if (pointer.empty() || !value.contains(pointer)) return;
  Json& parent = value[pointer.parent_pointer()];
  if (parent.is_object()) {
    parent.erase(pointer.back());
  } else if (parent.is_array()) {
    parent.erase(static_cast<std::size_t>(std::stoul(pointer.back())));
  }
}

/// The parts of `value` that count; null when none of the selected ones exists.
std::optional<Json> chosen(const KvSpec& spec, Json value) {
  for (const std::string& pointer : spec.ignore) remove_at(value, pointer);
  if (spec.select.empty()) return value;
  Json parts = Json::object();
  for (const std::string& pointer : spec.select) {
    const Json::json_pointer at = pointer_of(pointer);
    if (value.contains(at)) parts[pointer] = value[at];
  }
  if (parts.empty()) return std::nullopt;
  return parts;
}

}  // namespace

std::optional<std::vector<KvEntry>> parse_kv_body(std::string_view body) {
  const Json answer = Json::parse(body, nullptr, false);
  if (!answer.is_array()) return std::nullopt;
  std::vector<KvEntry> entries;
  for (const Json& item : answer) {
    if (!item.is_object()) return std::nullopt;
    const auto key = item.find("Key");
    const auto value = item.find("Value");
    const auto index = item.find("ModifyIndex");
    if (key == item.end() || !key->is_string() || value == item.end() || index == item.end() ||
        !index->is_number_unsigned())
      return std::nullopt;
    KvEntry entry{key->get<std::string>(), "", index->get<std::uint64_t>()};
    if (value->is_string()) {
      auto bytes = decode_base64(value->get_ref<const std::string&>());
      if (!bytes) return std::nullopt;
      entry.value = std::move(*bytes);
    } else if (!value->is_null()) {  // Consul says null for the empty value
      return std::nullopt;
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::optional<Sample> sample_value(const KvView& view, const KvEntry& entry) {
  Sample sample{Sample::Kind::present, entry.modify_index, {}, 0, nullptr};
  const bool partial = !view.spec.select.empty() || !view.spec.ignore.empty();
  std::optional<Json> json;
  if (partial || entry.value.size() <= kMaxExplained) json = parse_value(entry.value);
  if (partial && !json && view.spec.on_invalid == KvSpec::OnInvalid::hold) return std::nullopt;
  if (!partial || !json) {
    sample.digest = keyed_hash(view.key, entry.value);
    if (json && json->is_structured()) sample.leaves = leaves_of(*json);
    return sample;
  }
  const std::optional<Json> parts = chosen(view.spec, std::move(*json));
  if (!parts) {
    sample.kind = Sample::Kind::absent;
    return sample;
  }
  // dump() writes object keys in sorted order, so reformatting the document is no change.
  sample.digest = keyed_hash(view.key, parts->dump(-1, ' ', false, Json::error_handler_t::replace));
  if (view.spec.select.empty()) {
    sample.leaves = leaves_of(*parts);
  } else {
    auto leaves = std::make_shared<Leaves>();
    for (const auto& item : parts->items()) collect_leaves(item.value(), item.key(), *leaves);
    std::sort(leaves->begin(), leaves->end());
    sample.leaves = std::move(leaves);
  }
  return sample;
}

Sample sample_prefix(const KvView& view, const std::vector<KvEntry>& entries) {
  Sample sample{Sample::Kind::present, 0, {}, 0, nullptr};
  auto leaves = std::make_shared<Leaves>();
  std::string all;
  std::vector<const KvEntry*> sorted;
  for (const KvEntry& entry : entries) {
    sample.index = std::max(sample.index, entry.modify_index);
    const bool folder = entry.key.ends_with('/') && entry.value.empty();
    if (!folder && !entry.key.ends_with("/.lock")) sorted.push_back(&entry);
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const KvEntry* a, const KvEntry* b) { return a->key < b->key; });
  for (const KvEntry* entry : sorted) {
    const std::optional<Sample> one = sample_value(view, *entry);
    // A member that cannot be read as JSON counts with its bytes: holding the whole prefix for
    // it would hide every other change.
    const Digest digest = one ? one->digest : keyed_hash(view.key, entry->value);
    all += fmt::format("{}:{}\n{}\n", entry->key.size(), entry->key, to_hex(digest));
    if (leaves->size() < kMaxLeaves)
      leaves->emplace_back(entry->key, static_cast<std::uint32_t>(digest.low));
  }
  if (sorted.empty()) {
    sample.kind = Sample::Kind::absent;
    return sample;
  }
  sample.digest = keyed_hash(view.key, all);
  sample.leaves = std::move(leaves);
  return sample;
}

std::string kv_path(std::string_view key) {
  std::string path = "/v1/kv/";
  for (const char c : key) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' || c == '/';
    path += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return path;
}

}  // namespace supv
