#pragma once

#include <cstddef>
#include <cstdint>

#include "keeper/record.h"
#include "keeper/wire.h"

namespace supv {

/// What goes into a new process besides its Life. The descriptors stay the caller's.
struct Launch {
  int plan = -1;
  const int* child_fds = nullptr;  ///< Become 3, 4, ... in the child.
  std::uint32_t child_fd_count = 0;
};

/// What became of the way from gate to exec.
struct ExecOutcome {
  enum class What : std::uint8_t { pending, done, failed };
  What what = What::pending;
  wire::Step step = wire::Step::none;  ///< failed
  std::int32_t error = 0;              ///< failed: errno
};

/// How many live processes a tree has (zombies are not counted), and one of them.
struct Left {
  std::uint32_t count = 0;
  std::int32_t pid = 0;
};

/// What a recorded main process is now.
struct Adoption {
  enum class What : std::uint8_t {
    same,      ///< It is there (or is an unreaped zombie); it is being watched now.
    dead,      ///< It is not; `status` says how it ended, or "nobody could see".
    stranger,  ///< Its pid belongs to somebody else now: not to be touched. Else like dead.
  };
  What what = What::dead;
  bool child = false;  ///< same: this process is its parent and will see its status.
  wire::Status status{};
};

/// What happened to a message for the brain.
enum class Sent : std::uint8_t {
  yes,
  full,    ///< Later: the channel will become writable.
  broken,  ///< Never: there is no brain at the other end.
};

/// Everything the keeper does to the machine. Each call is one effect boundary: the keeper may be
/// killed before and after it, never in the middle of a promise. No call blocks for long, throws
/// or allocates; a result of type int is 0 or an errno.
///
/// Slots are named by `wire::slot_of(life.run)`; the brain is run 0 in slot 0. What the kernel side
/// holds for a slot (pidfd, gate, stored descriptors) lives until `release`.
class Kernel {
 public:
  struct Clocks {
    std::int64_t monotonic_ns;
    std::int64_t wall_ms;
  };
  static constexpr std::uint32_t kNoSlot = 0xffffffff;

  virtual ~Kernel() = default;
  virtual Clocks now() = 0;
  virtual Machine machine() = 0;

  // --- records: survive this process, not the machine ---
  /// How many slots a record may have been saved for (an upper bound).
  virtual std::uint32_t record_count() = 0;
  /// The bytes last saved, unchecked; false if there are none.
  virtual bool load(std::uint32_t slot, Record& record) = 0;
  virtual int save(std::uint32_t slot, const Record& record) = 0;

  // --- trees ---
  /// Prepares a fresh tree: sets `tag` and `tree` of the life.
  virtual int make_tree(Life& life) = 0;
  /// Takes an empty tree away (what is not empty stays).
  virtual void remove_tree(const Life& life) = 0;
  virtual Left count_tree(const Life& life) = 0;
  virtual void signal_tree(const Life& life, int signal) = 0;
  /// SIGKILL to everything in the tree. May have to be repeated until count_tree says 0.
  virtual void kill_tree(const Life& life) = 0;
  /// KILLs and removes every tree of this instance that `owned` does not know: what remains of
  /// runs whose record was lost. Trees of kLeaveTree runs are only removed when empty.
  using Owned = bool (*)(const void* keeper, wire::Run run);
  virtual void sweep_unrecorded(Owned owned, const void* keeper) = 0;

  // --- processes ---
  /// Makes the main process, blocked on its gate in its tree: sets pid, start_time, inode and (if
  /// it is 0) since. If this process dies before open_gate, the child exits without exec.
  virtual int fork_gated(Life& life, const Launch& launch) = 0;
  virtual int open_gate(const Life& life) = 0;
  /// Closes the gate unopened: the child exits.
  virtual void shut_gate(const Life& life) = 0;
  /// What is known by now; settles once. When the process has ended it is never pending.
  virtual ExecOutcome exec_outcome(const Life& life) = 0;
  /// Through the pidfd; a dead or replaced process gets nothing.
  virtual void signal_main(const Life& life, int signal) = 0;
  /// The main process's own group; only asked while main is alive or unreaped.
  virtual void signal_group(const Life& life, int signal) = 0;
  /// Whether the main process has ended. Does not reap it.
  virtual bool has_ended(const Life& life) = 0;
  /// Reaps an ended main process; how == 3 if its status cannot be seen.
  virtual wire::Status reap(const Life& life) = 0;
  /// Finds a recorded main process again.
  virtual Adoption adopt(const Life& life) = 0;
  /// Makes `pid` the main process of `life` if it is a live member of its tree: changes pid,
  /// start_time and inode. ESRCH: no such process; EPERM: not of this tree.
  virtual int follow(Life& life, std::int32_t pid) = 0;
  /// Makes `life.pid`, which somebody else started at `life.start_time`, the main process of `life`
  /// and moves it and its descendants into the tree: sets inode. ESRCH: it is not there any more.
  virtual int take(Life& life) = 0;
  /// Stops watching the main process, which has been reaped.
  virtual void unwatch(const Life& life) = 0;

  // --- descriptors kept for the brain ---
  virtual int store(std::uint32_t slot, const int* fds, std::uint32_t count) = 0;
  virtual std::uint32_t stored(std::uint32_t slot) = 0;
  /// The slot is free: drops everything held for it.
  virtual void release(std::uint32_t slot) = 0;

  // --- the brain ---
  /// Makes a fresh channel and says what the next brain is launched with; valid until the next
  /// fork_gated has returned.
  virtual int open_channel(Launch& launch) = 0;
  virtual void close_channel() = 0;
  /// `with_stored`: the slot whose stored descriptors go along, or kNoSlot.
  virtual Sent send(const void* message, std::size_t size, std::uint32_t with_stored) = 0;
  /// One line for people, when something is wrong that no brain may ever tell.
  virtual void complain(const char* what, wire::Run run, int error) = 0;
};

}  // namespace supv
