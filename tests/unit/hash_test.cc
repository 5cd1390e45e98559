#include "base/hash.h"

#include <doctest/doctest.h>

#include <string>

using namespace supv;

namespace {
/// The key of the reference vectors: bytes 00 01 .. 0f, read little-endian.
constexpr HashKey kReference{0x0706050403020100U, 0x0f0e0d0c0b0a0908U};
}  // namespace

TEST_CASE("the reference vectors of SipHash-2-4 with 128 bits") {
  const char* expected[] = {"a3817f04ba25a8e66df67214c7550293", "da87c1d86b99af44347659119b22fc45",
                            "8177228da4a45dc7fca38bdef60affe4", "9c70b60c5267a94e5f33b6b02985ed51"};
  std::string input;
  for (const char* hex : expected) {
    CHECK(to_hex(keyed_hash(kReference, input)) == hex);
    input += static_cast<char>(input.size());
  }
}

TEST_CASE("every length and every key bit counts") {
  std::string input;
  Digest last;
  for (int i = 0; i < 64; ++i) {
    const Digest digest = keyed_hash(kReference, input);
    CHECK(digest != last);
    CHECK_FALSE(digest.empty());
    CHECK(digest != keyed_hash({kReference.k0 ^ 1, kReference.k1}, input));
    CHECK(digest != keyed_hash({kReference.k0, kReference.k1 ^ 1}, input));
    last = digest;
    input += '\0';
  }
}

TEST_CASE("hexadecimal and back") {
  const Digest digest = keyed_hash(kReference, "value");
  CHECK(digest_from_hex(to_hex(digest)) == digest);
  CHECK(short_hash(digest) == to_hex(digest).substr(0, 8));
  CHECK(digest_from_hex("").empty());
  CHECK(digest_from_hex("a3817f04ba25a8e66df67214c755029").empty());
  CHECK(digest_from_hex("A3817f04ba25a8e66df67214c7550293").empty());
  CHECK(digest_from_hex("g3817f04ba25a8e66df67214c7550293").empty());
}
