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

/// What a run was started for.
enum class Purpose : std::uint8_t {
  main,
  before_start,
  before_stop,
  stop,
  reload,
  restart,
  after_stop,
  loose,  ///< after_start and the like: nobody waits for it.
};

/// What follows the end of a run. Stored with the run, so that a new brain knows.
enum class After : std::uint8_t {
  fail,     ///< It ended by itself: back-off, flapping and keepalive decide.
  rest,     ///< Stays down.
  respawn,  ///< Is replaced.
  remove,   ///< Its watch has left the configuration.
};

/// What is recorded with every run, in the keeper's record: survives the death of everything.
struct Memo {
  struct Baseline {
    std::uint32_t condition = 0;  ///< condition_key()
    Sample sample;                ///< Without leaves.
    bool assumed = false;
  };
  std::string watch;
  Purpose purpose = Purpose::main;
  After after = After::fail;
  bool ready = false;
  std::uint32_t failures = 0;
  std::uint32_t restarts = 0;  ///< The watch's count, this run included.
  Digest process;              ///< fingerprint() of what was started.
  std::vector<Baseline> baselines;
};

/// At most wire::kMaxMemo bytes (checked).
std::string encode(const Memo& memo);
/// Empty for anything encode() did not write.
std::optional<Memo> decode_memo(std::string_view bytes);

/// Stands for everything that shapes a process; equal specs have equal fingerprints.
Digest fingerprint(const ProcessSpec& process);
/// Names a condition across restarts: its list, what it watches and which parts count.
std::uint32_t condition_key(const ConditionSpec& condition);

}  // namespace supv
