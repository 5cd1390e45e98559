#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/dev_kv_store.h"

namespace supv {

/// The largest value, as in Consul.
inline constexpr std::size_t kMaxKvValue = std::size_t{512} * 1024;

/// Go's time.ParseDuration, which reads `wait`: "1.5s", "1h30m", "-2ms", "0". Empty: not one.
std::optional<std::chrono::nanoseconds> parse_go_duration(std::string_view text);
/// A JSON string as Go's encoding/json writes it, quotes included.
std::string json_string(std::string_view text);

/// One request, as it came.
struct KvAsk {
  std::string method;
  std::string target;           ///< Path and query, still encoded.
  std::string body;             ///< At most kMaxKvValue + 1 bytes of it.
  std::uint64_t body_size = 0;  ///< Of all of it.
};

struct KvAnswer {
  unsigned status = 200;
  std::vector<std::pair<const char*, std::string>> headers;
  std::string body;
};

/// What a read waits for.
struct KvWait {
  std::string key;
  bool prefix = false;
  std::uint64_t index = 0;  ///< Until the index is higher than this one.
  std::chrono::nanoseconds time{};
  bool operator==(const KvWait&) const = default;
};

/// The HTTP API of the KV over a store: what each request means and what Consul would say.
class KvApi {
 public:
  explicit KvApi(std::uint16_t port) : port_(port) {}

  struct Outcome {
    KvAnswer answer;             ///< To be given now, or when the time is over.
    std::optional<KvWait> wait;  ///< Only for reads.
    std::string touched;         ///< Key or prefix that a write changed.
    bool changed = false;
  };
  /// Writes change `store`.
  Outcome serve(KvStore& store, const KvAsk& ask) const;

  /// Whether a change of `touched` may end the wait: a key that is there sees only itself, one
  /// that is not sees its folder too (Consul watches the tree's nodes).
  static bool concerns(const KvStore& store, const KvWait& wait, std::string_view touched);

 private:
  std::uint16_t port_;
};

}  // namespace supv
