#pragma once

#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace supv::sim {

/// One packet between keeper and brain, with what travels beside it.
struct Packet {
  std::string bytes;
  std::vector<int> handles;
  bool stored = false;  ///< The run's stored descriptors go along.

  template <typename Message>
  bool read(Message& message) const {
    if (bytes.size() != sizeof message) return false;
    std::memcpy(&message, bytes.data(), sizeof message);
    return true;
  }
};

template <typename Message>
Packet packet_of(const Message& message, std::vector<int> handles = {}) {
  return {std::string(reinterpret_cast<const char*>(&message), sizeof message), std::move(handles),
          false};
}

/// The socket pair. What lies in it is lost when either side dies (all of it, or all but what had
/// been read already).
struct Line {
  bool open = false;
  bool brain_gone = false;   ///< Its end is closed: nothing sent reaches anybody.
  std::uint64_t number = 0;  ///< Which pair; a message of an older one reaches nobody.
  std::deque<Packet> to_brain;
  std::deque<Packet> to_keeper;

  void renew() {
    ++number;
    open = true;
    brain_gone = false;
    to_brain.clear();
    to_keeper.clear();
  }
  void close() {
    open = false;
    to_brain.clear();
    to_keeper.clear();
  }
};

}  // namespace supv::sim
