#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "gateway/dev_kv_store.h"

namespace supv {

/// Where the trial KV's content and its port survive the role's end.
class KvFile {
 public:
  explicit KvFile(const std::string& directory) : path_(directory + "/dev-kv.txt") {}

  struct Content {
    std::uint16_t port = 0;  ///< 0: none used yet.
    KvStore store;
  };
  /// Nothing there is empty content. Empty when it cannot be read; `error` says why.
  std::optional<Content> load(std::string& error) const;
  /// Replaces it as a whole; false with `error` when that failed and the old one is still there.
  bool save(std::uint16_t port, const KvStore& store, std::string& error) const;

 private:
  std::string path_;
};

}  // namespace supv
