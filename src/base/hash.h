#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace supv {

/// The secret of one host that keeps digests of short values from being guessed.
struct HashKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;
  bool operator==(const HashKey&) const = default;
};

/// 128 bits that stand for a value; zero stands for "no value".
struct Digest {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  auto operator<=>(const Digest&) const = default;
  bool empty() const { return high == 0 && low == 0; }
};

/// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, reference vectors in the test).
/// Never returns the empty digest.
Digest keyed_hash(const HashKey& key, std::string_view bytes);

/// The first 8 hexadecimal digits: what status and logs may show of a value.
std::string short_hash(const Digest& digest);
/// All 32 lower-case hexadecimal digits, and back; the empty digest for anything else.
std::string to_hex(const Digest& digest);
Digest digest_from_hex(std::string_view hex);

}  // namespace supv
