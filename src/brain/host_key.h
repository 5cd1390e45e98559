#pragma once

#include <string>

#include "base/hash.h"

namespace supv {

/// What makes this host itself: the secret under which values are hashed, and a name derived from
/// it that is the same for ever and differs even between clones of one image.
struct HostKey {
  HashKey key;
  std::string id;      ///< 16 hexadecimal digits; does not reveal the key.
  bool fresh = false;  ///< Made just now: digests from before cannot be compared with new ones.
};

/// Reads DIRECTORY/host.key, or makes it (0600, complete or not at all). Throws std::system_error,
/// or std::runtime_error when the file is not a key.
HostKey host_key(const std::string& directory);

}  // namespace supv
