#include "base/hash.h"

#include <fmt/core.h>

#include <bit>

namespace supv {
namespace {

std::uint64_t read_little(std::string_view bytes, std::size_t at, std::size_t count) {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < count; ++i) {
    word |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  }
  return word;
}

std::uint64_t byte_swapped(std::uint64_t word) {
  std::uint64_t swapped = 0;
  for (unsigned i = 0; i < 8; ++i) swapped |= ((word >> (8 * i)) & 0xFFU) << (56 - 8 * i);
  return swapped;
}

struct SipState {
  std::uint64_t v0;
  std::uint64_t v1;
  std::uint64_t v2;
  std::uint64_t v3;

  void rounds(int count) {
    for (int i = 0; i < count; ++i) {
      v0 += v1;
      v1 = std::rotl(v1, 13) ^ v0;
      v0 = std::rotl(v0, 32);
      v2 += v3;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v2 = std::rotl(v2, 32);
    }
  }
  void absorb(std::uint64_t word) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  std::uint64_t fold() const { return v0 ^ v1 ^ v2 ^ v3; }
};

}  // namespace

Digest keyed_hash(const HashKey& key, std::string_view bytes) {
  // The two 0xEE are what makes it the variant with 128 bits of output.
  SipState state{key.k0 ^ 0x736f6d6570736575U, key.k1 ^ 0x646f72616e646f6dU ^ 0xEEU,
                 key.k0 ^ 0x6c7967656e657261U, key.k1 ^ 0x7465646279746573U};
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) state.absorb(read_little(bytes, at, 8));
  state.absorb(std::uint64_t{bytes.size()} << 56U | read_little(bytes, at, bytes.size() - at));
  state.v2 ^= 0xEEU;
  state.rounds(4);
  const std::uint64_t first = state.fold();
  state.v1 ^= 0xDDU;
  state.rounds(4);
  Digest digest{byte_swapped(first), byte_swapped(state.fold())};
  if (digest.empty()) digest.low = 1;
  return digest;
}

std::string short_hash(const Digest& digest) { return to_hex(digest).substr(0, 8); }

std::string to_hex(const Digest& digest) {
  return fmt::format("{:016x}{:016x}", digest.high, digest.low);
}

Digest digest_from_hex(std::string_view hex) {
  if (hex.size() != 32) return {};
  Digest digest;
  for (std::size_t i = 0; i < 32; ++i) {
    const char c = hex[i];
    unsigned value = 0;
    if (c >= '0' && c <= '9') {
      value = static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = static_cast<unsigned>(c - 'a') + 10;
    } else {
      return {};
    }
    std::uint64_t& half = i < 16 ? digest.high : digest.low;
    half = half << 4U | value;
  }
  return digest;
}

}  // namespace supv
