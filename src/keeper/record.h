#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "keeper/wire.h"

/// What the keeper writes down about a run, so that a later keeper can find it again.
namespace supv {

/// A run as the kernel knows it: enough to find its processes, and to tell them from strangers.
struct Life {
  wire::Run run = 0;
  wire::Run host = 0;            ///< kGuest: the run whose tree it joined; else 0.
  std::uint64_t tag = 0;         ///< Hard RLIMIT_LOCKS of every process of the tree; 0: none.
  std::uint64_t since = 0;       ///< Start time of the run's first process: none of it is older.
  std::uint64_t start_time = 0;  ///< Of the main process: field 22 of /proc/PID/stat.
  std::uint64_t inode = 0;       ///< Of its pidfd; 0 where the kernel has no pidfs.
  std::int32_t pid = 0;          ///< The main process; 0: none yet.
  std::uint32_t flags = 0;       ///< wire::kDaemonises ...
  std::uint32_t tree = 0;        ///< Which cgroup directory the run's own one is in; 0: no cgroup.
  std::uint32_t reserved = 0;
};

/// The machine as seen by one boot and one pid namespace: pids of another one mean nothing.
struct Machine {
  std::uint64_t boot_high = 0;
  std::uint64_t boot_low = 0;
  std::uint64_t pid_namespace = 0;
  bool operator==(const Machine&) const = default;
};

/// One slot on disk. Written whole by one pwrite into a page of its own file, which SIGKILL cannot
/// tear; the checksum is for everything else.
struct Record {
  std::uint32_t magic = 0;
  std::uint32_t version = 0;
  std::uint64_t sequence = 0;  ///< Counts the writes of this slot.
  Machine machine;
  Life life;
  wire::Phase phase = wire::Phase::empty;
  std::uint32_t after = 0;
  wire::Status status{};
  wire::Step step = wire::Step::none;
  std::int32_t error = 0;
  std::int64_t started_monotonic_ns = 0;
  std::int64_t started_wall_ms = 0;
  std::int64_t kill_at_ns = 0;    ///< stopping: when KILL is (or was) due, monotonic.
  std::uint32_t stage = 0;        ///< stopping: Keeper's own sub-state.
  std::uint32_t ladder_step = 0;  ///< stopping: the step under way.
  std::uint32_t ladder_count = 0;
  std::uint32_t memo_size = 0;
  wire::LadderStep ladder[wire::kMaxLadder] = {};
  std::uint8_t memo[wire::kMaxMemo] = {};
  std::uint8_t spare[140] = {};
  std::uint32_t crc = 0;  ///< CRC-32C of everything before it.
};
static_assert(sizeof(Record) == 1024 && std::is_trivially_copyable_v<Record>);

/// CRC-32C (Castagnoli).
std::uint32_t crc32c(const void* bytes, std::size_t size);

/// Sets magic, version and checksum: the last thing before a record is written.
void seal(Record& record);

/// Whether the bytes are a record of slot `slot` that a keeper of this version wrote on this
/// machine, with every field in its range. Any bytes may be asked; "no" means an empty slot.
bool is_valid(const Record& record, std::uint32_t slot, const Machine& machine);

}  // namespace supv
