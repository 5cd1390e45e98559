#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "core/spec.h"
#include "core/timeline.h"

namespace supv {

/// One key as Consul returned it.
struct KvEntry {
  std::string key;
  std::string value;
  std::uint64_t modify_index = 0;
};

/// The body of a GET /v1/kv answer (200). Empty when it is not what Consul sends.
std::optional<std::vector<KvEntry>> parse_kv_body(std::string_view body);

/// What counts of a value.
struct KvView {
  HashKey key;
  const KvSpec& spec;
};

/// The sample of one key's value, or nothing when `select`/`ignore` need JSON, it is none and
/// `on_invalid` says hold. A value of which no selected part exists is absent.
std::optional<Sample> sample_value(const KvView& view, const KvEntry& entry);
/// The sample of everything under a prefix: sorted keys with their content. Folder markers and
/// `.lock` keys (those of `consul lock`) do not count.
Sample sample_prefix(const KvView& view, const std::vector<KvEntry>& entries);

/// "/v1/kv/a/b%20c" for "a/b c".
std::string kv_path(std::string_view key);

}  // namespace supv
