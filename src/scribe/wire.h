#pragma once

#include <cstddef>
#include <cstdint>

/// What brain and scribe say to each other over one SOCK_SEQPACKET pair: fixed-size structs, one
/// per packet, checked for their exact length.
namespace supv::scribe {

/// Room for a path, its NUL included.
inline constexpr std::size_t kMaxPath = 1024;

/// Ids from here on are the scribe's own.
inline constexpr std::uint64_t kLastId = ~std::uint64_t{0} - 16;

enum class Kind : std::uint32_t {
  // brain -> scribe
  follow = 1,
  forget,
  reopen,
  // scribe -> brain
  lost = 64,
};

/// Carry what appears in the FIFO to the log file. Sent again with the same content it changes
/// nothing, so a new brain simply says everything once more; with other content it replaces.
struct Follow {
  Kind kind;
  std::uint32_t uid;  ///< Of the run: directories that are not root's are entered as this user.
  std::uint32_t gid;
  std::uint32_t mode;  ///< Of a log file that is created; 0: 0640.
  std::uint64_t id;    ///< Chosen by the brain, at most kLastId.
  char fifo[kMaxPath];
  char log[kMaxPath];  ///< Absolute.
};

/// forget: end when the FIFO is empty and its writers have ended. reopen: every log (id unused).
struct Plain {
  Kind kind;
  std::uint32_t reserved;
  std::uint64_t id;
};

/// `bytes` could not be written because of `error` (errno); at most one per minute and id. With
/// 0 bytes nothing has been dropped yet, but nothing can be written either.
struct Lost {
  Kind kind;
  std::int32_t error;
  std::uint64_t id;
  std::uint64_t bytes;
};

}  // namespace supv::scribe
