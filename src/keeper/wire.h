#pragma once

#include <cstddef>
#include <cstdint>

/// What keeper and brain say to each other over one SOCK_SEQPACKET pair: fixed-size structs of
/// plain integers, one per packet, checked for their exact length. Descriptors travel beside them.
///
/// Everything the keeper knows about a run stays in its slot until the brain says `forget`, so
/// there is nothing to acknowledge: a brain that died simply asks again (`hello`) and is told every
/// slot as it is now.
namespace supv::wire {

/// A run's number: generation << 16 | slot. The brain chooses a free slot and a generation higher
/// than any it has seen. 0 is no run; generation 0 is the keeper's own (the brain, slot 0).
using Run = std::uint64_t;

inline constexpr std::size_t kMaxMemo = 640;  ///< Opaque bytes kept with a run for the brain.
inline constexpr std::size_t kMaxLadder = 8;  ///< Steps of a stop ladder.
inline constexpr std::size_t kMaxFds = 8;     ///< Descriptors beside one message.
inline constexpr std::size_t kMaxStored = 2;  ///< Descriptors the keeper keeps for the brain.
inline constexpr std::uint32_t kMaxSlots = 16384;
constexpr std::uint32_t slot_of(Run run) { return static_cast<std::uint32_t>(run & 0xffff); }

/// Why a message was sent; the first field of each.
enum class Kind : std::uint32_t {
  // brain -> keeper
  hello = 1,
  spawn,
  stop,
  signal,
  follow,
  amend,
  forget,
  finish,
  take,
  // keeper -> brain
  slot = 64,
  dumped,
  launched,
  start_failed,
  exited,
  gone,
  stuck,
  followed,
  not_followed,
  signalled,
};

/// What a step between fork and exec was called when it failed; the text is step_name().
enum class Step : std::uint32_t {
  none,
  record,  ///< The run could not be recorded (tmpfs full).
  fork,
  tree,  ///< Its cgroup could not be entered.
  plan,  ///< The spawn plan is malformed.
  session,
  group_list,  ///< setgroups
  gid,
  uid,
  verify,  ///< Privileges could be regained.
  chroot,
  dir,
  out,  ///< Standard output could not be opened.
  err,
  limit,
  exec,
  slot,  ///< The slot is taken, or there is none.
  take,  ///< The process that was to be taken over is not there, or is not the one.
};
const char* step_name(Step step);

/// A slot as the keeper sees it.
enum class Phase : std::uint32_t {
  empty,
  intent,     ///< Recorded before fork; never seen by a brain.
  launching,  ///< Forked and released; exec has not been confirmed.
  running,
  stopping,   ///< The ladder is under way (brain's `stop`, or leftovers of an ended main process).
  lingering,  ///< The main process of a `daemonises` run has ended; what is left was not touched.
  stuck,      ///< KILL was sent and something is still there; retried.
  gone,       ///< Nothing is left of the tree. Waits for `forget`.
  failed,     ///< Never reached exec: `step` and `error` say why. Waits for `forget`.
};

struct LadderStep {
  std::int32_t signal;
  std::uint32_t wait_ms;
};

/// Flags of a run.
enum : std::uint32_t {
  kDaemonises = 1,   ///< pid_file: when main exits the tree is left alone until told (lingering).
  kGroupSignal = 2,  ///< Signals go to the main process's group (main is our own shell).
  kLeaveTree = 4,    ///< `kill: process`: only the main process is ever signalled.
  kRole = 8,         ///< One of supvd's own roles: not counted, not named to users.
  kGuest = 16,       ///< Runs inside another run's tree. Only its main process and, when it is
                     ///< stopped, that one's group are signalled; what it leaves is its host's.
};

/// Exit status of a main process.
struct Status {
  std::int32_t how;  ///< 0: none yet, 1: exited with `value`, 2: killed by signal `value`,
                     ///< 3: ended, nobody could see how
  std::int32_t value;
  std::int32_t dumped_core;
  std::int32_t reserved;
};

struct Spawn {
  Kind kind;
  std::uint32_t flags;
  Run run;
  Run host;  ///< kGuest: the run whose tree it joins.
  std::uint32_t ladder_count;
  std::uint32_t memo_size;
  /// Beside the message: 1 plan memfd, then `child_fds` that become 3, 4, ... in the child, then
  /// `stored_fds` that the keeper keeps and hands to each new brain with the slot.
  std::uint32_t child_fds;
  std::uint32_t stored_fds;
  LadderStep ladder[kMaxLadder];
  std::uint8_t memo[kMaxMemo];
};

/// Makes a process that another supervisor started the main process of a new run, and brings it and
/// its descendants into a tree of the run's own: answers `launched` or `start_failed`.
struct Take {
  Kind kind;
  std::uint32_t flags;
  Run run;
  std::int32_t pid;
  std::uint32_t ladder_count;
  std::uint64_t start_time;  ///< Of the process that is meant; another one is not touched.
  std::int64_t started_monotonic_ns;
  std::int64_t started_wall_ms;
  std::uint32_t memo_size;
  std::uint32_t reserved;
  LadderStep ladder[kMaxLadder];
  std::uint8_t memo[kMaxMemo];
};

/// No message to the keeper is larger.
inline constexpr std::size_t kLargestOrder = sizeof(Take) > sizeof(Spawn) ? sizeof(Take)
                                                                          : sizeof(Spawn);

/// Ends a run: ladder, then the whole tree, then `gone`. Sent again it changes only `after`.
/// `now` jumps to KILL.
struct Stop {
  Kind kind;
  std::uint32_t after;  ///< Opaque; comes back in `slot`, so that a new brain knows what follows.
  Run run;
  std::uint32_t now;
  std::uint32_t reserved;
};

struct Signal {
  Kind kind;
  std::int32_t signal;
  Run run;
};

/// Makes `pid` the main process if it is of the run's tree: answers `followed` or `not_followed`.
struct Follow {
  Kind kind;
  std::int32_t pid;
  Run run;
};

/// Replaces memo and ladder of a run (the next stop uses it).
struct Amend {
  Kind kind;
  std::uint32_t memo_size;
  Run run;
  std::uint32_t ladder_count;
  std::uint32_t reserved;
  LadderStep ladder[kMaxLadder];
  std::uint8_t memo[kMaxMemo];
};

/// hello (run = 0) and forget.
struct Plain {
  Kind kind;
  std::uint32_t reserved;
  Run run;
};

/// supvd ends with `code`. Runs that live are left alone and stay recorded.
struct Finish {
  Kind kind;
  std::int32_t code;
};

/// One used slot (not the brain's own), beside it its stored descriptors.
struct Slot {
  Kind kind;
  Phase phase;
  Run run;
  std::uint32_t flags;
  std::int32_t pid;
  Status status;
  Step step;
  std::int32_t error;
  std::uint32_t after;
  std::uint32_t adopted;  ///< 1: this keeper is not its parent.
  std::int64_t started_monotonic_ns;
  std::int64_t started_wall_ms;
  std::uint32_t memo_size;
  std::uint32_t stored_fds;
  std::uint8_t memo[kMaxMemo];
};

/// Every other piece of news about a run.
///
/// Of each run the brain hears launched or start_failed, then exited, then gone, whichever apply
/// (stuck may come before gone); a run stopped on its way to exec is not said to be launched. After
/// start_failed or gone the slot waits for `forget`, except that a spawn refused because its
/// message was malformed or its slot was not free never took one; `forget` of such a run does no
/// harm. TERM and INT are told again to each new brain after `dumped`: a request to end outlives
/// brains.
struct News {
  Kind kind;
  std::int32_t pid;  ///< launched, followed: the main process; stuck: one that cannot be killed.
  Run run;
  Status status;        ///< exited, and gone (the same status again).
  Step step;            ///< start_failed
  std::int32_t error;   ///< start_failed, not_followed: errno
  std::uint32_t left;   ///< exited: processes left in the tree (0: gone follows at once); stuck
  std::int32_t signal;  ///< signalled: the signal supvd got
  std::int64_t started_monotonic_ns;  ///< launched
  std::int64_t started_wall_ms;       ///< launched
};

/// A spawn plan, written by the brain into a sealed memfd and mapped privately in the child only.
/// All offsets count from its first byte; every text ends in NUL; the last byte of the plan is NUL.
struct Plan {
  std::uint32_t magic;                ///< kPlanMagic
  std::uint32_t size;                 ///< Of the whole plan.
  std::uint32_t paths, path_count;    ///< Array of 8-byte cells holding offsets: programs to try.
  std::uint32_t argv, argc;           ///< The same; the cell after the last one is 0.
  std::uint32_t envp, envc;           ///< The same.
  std::uint32_t dir, chroot;          ///< Offsets, 0: none.
  std::uint32_t out, err;             ///< Paths opened read-write (FIFOs); 0: out: inherited
                                      ///< (kInherit) or /dev/null; err 0: same as out.
  std::uint32_t groups, group_count;  ///< Array of uint32.
  std::uint32_t uid, gid;             ///< kKeep: unchanged.
  std::uint32_t umask;                ///< kKeep: 022.
  std::uint32_t flags;                ///< kInherit, kStandard
};
inline constexpr std::uint32_t kPlanMagic = 0x76707573;
inline constexpr std::uint32_t kKeep = 0xffffffff;
inline constexpr std::uint32_t kInherit = 1;
inline constexpr std::uint32_t kStandard =
    2;  ///< `child_fds` become 0, 1, 2, ... instead of 3, ...
inline constexpr std::uint32_t kMaxPlan = 4U << 20;

}  // namespace supv::wire
