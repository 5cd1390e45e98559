#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "keeper/kernel.h"
#include "keeper/record.h"
#include "keeper/wire.h"

namespace supv {

/// Owns every process of this supvd: starts them behind a gate, watches them, runs their stop
/// ladders, keeps what is known of them until the brain forgets it, and keeps a brain alive.
/// A pure algorithm over Kernel: no clock, allocation, exception, thread or policy of its own, so
/// the simulator runs the same code and kills it between any two calls.
///
/// Use: construct, recover(), then one on_*() for each thing that happened, on_deadline() when
/// next_deadline() has come, until finished().
class Keeper {
 public:
  static constexpr std::int64_t kNever = INT64_MAX;

  /// Slots 1 .. `slots`-1 are the brain's to use; at most wire::kMaxSlots.
  Keeper(Kernel& kernel, std::uint32_t slots);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  /// Finds again what an earlier keeper recorded, ends what it left half done, then starts the
  /// brain (once an earlier one has ended). Called once, before anything else.
  void recover();

  /// One packet from the brain. Malformed ones are ignored. The descriptors stay the caller's.
  void on_message(const void* bytes, std::size_t size, const int* fds, std::size_t fd_count);
  /// There is room in the channel again; asked for by wants_write().
  void on_writable();
  /// The brain closed its end of the channel.
  void on_channel_closed();
  /// The exec outcome of the slot's process may be known.
  void on_exec(std::uint32_t slot);
  /// The slot's main process may have ended. Spurious calls do no harm.
  void on_child(std::uint32_t slot);
  /// supvd got `signal`.
  void on_signal(int signal);
  /// Time has passed.
  void on_deadline();

  /// Monotonic nanoseconds; kNever: nothing is planned.
  std::int64_t next_deadline() const;
  /// News wait for room in the channel: call on_writable(), and read nothing from it meanwhile.
  bool wants_write() const { return choked_; }
  /// USR2 came, and no process is between gate and exec: re-execute now (the records say the rest).
  bool wants_reexec() const;
  /// The re-execution failed: goes on as if nobody had asked.
  void reexec_failed() { reexec_ = false; }
  /// The exit code, once supvd is to end.
  std::optional<int> finished() const { return finished_; }

  /// The used slot whose live main process is `pid`; kNoSlot: none.
  std::uint32_t slot_of_pid(std::int32_t pid) const;
  /// For tests and for the loop: what a slot holds.
  wire::Phase phase(std::uint32_t slot) const;
  const Life& life(std::uint32_t slot) const;
  /// Slots from here on were never used.
  std::uint32_t used_slots() const { return high_; }

 private:
  /// What `stopping` and `stuck` are waiting for; stored in records.
  enum class Stage : std::uint8_t {
    none,
    ladder,  ///< Main lives; signals by the ladder.
    guests,  ///< Main ended by itself; guests of the tree still run and are waited for.
    rest,    ///< Main is dead; the rest of the tree got TERM and has until kill_at.
    kill,    ///< Everything got KILL at kill_at.
  };
  struct Slot;
  static_assert(static_cast<int>(Stage::kill) == 4, "recorded");

  // keeper.cc: messages and starting
  void on_spawn(const wire::Spawn& spawn, const int* fds, std::size_t fd_count);
  void start(Slot& slot, Record& record, const Launch& launch);
  void start_failed(Slot& slot, wire::Step step, int error);
  void refuse(wire::Run run, wire::Step step, int error);
  void on_stop(const wire::Stop& stop);
  void on_send_signal(const wire::Signal& signal);
  void on_follow(const wire::Follow& follow);
  void on_take(const wire::Take& take);
  void on_amend(const wire::Amend& amend);
  void on_forget(wire::Run run);
  void on_hello();
  void settle_exec(Slot& slot);

  // keeper_end.cc: stopping and ending
  void begin_stop(Slot& slot);
  void climb(Slot& slot);
  void main_ended(Slot& slot, const wire::Status& status);
  void begin_rest(Slot& slot, std::int64_t patience_ns);
  void begin_kill(Slot& slot);
  void kill_again(Slot& slot);
  void look_again(Slot& slot);
  void nothing_left(Slot& slot, std::uint16_t untold);
  Left left_of(const Slot& slot);
  bool has_guests(const Slot& slot) const;
  void slot_deadline(Slot& slot);

  // keeper_recover.cc
  void recall(std::uint32_t index, const Record& record);
  void recover_slot(Slot& slot);
  void recover_main(Slot& slot);
  void recover_intent(Slot& slot);
  void resume(Slot& slot);

  // keeper_brain.cc: the brain, news, shutdown
  void start_brain();
  void brain_not_started();
  void brain_ended();
  void lose_brain();
  void shut_down(bool now);
  void shut_down_further();
  void finish(int code);
  void tell(Slot& slot, std::uint16_t what);
  void tell_rest(Slot& slot);
  Sent send_news(const Slot& slot, std::uint16_t what);
  Sent send_slot(const Slot& slot);
  void flush();
  std::int64_t give_up_ns() const;

  // records and table
  Slot* find(wire::Run run);
  Slot& slot_at(std::uint32_t index);
  const Slot& slot_at(std::uint32_t index) const;
  std::uint32_t index_of(const Slot& slot) const;
  void clear(Slot& slot);
  void note(Slot& slot);
  int note(Slot& slot, Record& record);
  void read_back(const Slot& slot, Record& record);
  void wake_at(Slot& slot, std::int64_t when_ns);
  void no_wake(Slot& slot);
  std::int64_t now_ns() { return kernel_.now().monotonic_ns; }

  Kernel& kernel_;
  const std::uint32_t slots_;
  Slot* table_;  ///< Reserved, zero pages until used.
  std::uint32_t high_ = 1;
  Machine machine_;
  std::int64_t wake_ns_ = kNever;  ///< No slot's deadline is earlier.
  std::uint32_t deadlines_ = 0;    ///< How many slots have one.

  bool greeted_ = false;  ///< The brain has said hello.
  bool dumping_ = false;  ///< It has not been told everything yet.
  bool choked_ = false;
  std::optional<wire::News> refused_;  ///< The one refusal that found the channel full.
  std::uint64_t signals_ = 0;          ///< Bit n: signal n is still to be told.

  std::int64_t brain_due_ns_ = kNever;  ///< When the next brain is started.
  bool end_heard_ = false;  ///< The brain has said something since supvd was asked to end.
  std::int64_t brain_kill_ns_ = kNever;    ///< When a brain that lost its channel is killed.
  std::int64_t brain_since_ns_ = 0;        ///< When the last one was started.
  std::int64_t deaf_since_ns_ = 0;         ///< Since when no brain has listened (greeted_ false).
  std::int64_t asked_to_end_ns_ = kNever;  ///< When TERM or INT came.
  std::uint64_t end_signals_ = 0;          ///< Which of them: told to every new brain.
  std::int64_t finish_by_ns_ = kNever;     ///< When the end no longer waits for the brain.
  bool shutting_down_ = false;             ///< The keeper itself ends every run.
  bool finishing_ = false;
  bool reexec_ = false;
  int brain_error_ = 0;  ///< Why the last brain could not be started, once said.
  int exit_code_ = 0;
  std::optional<int> finished_;
};

}  // namespace supv
