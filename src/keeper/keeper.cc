#include "keeper/keeper.h"

#include <signal.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "keeper/keeper_slot.h"

namespace supv {
namespace {

constexpr std::int64_t kExecPatience = 10 * kSecond;  // Longer is a dead NFS, not a slow exec.

template <typename Message>
bool read_as(Message& message, const void* bytes, std::size_t size) {
  if (size != sizeof message) return false;
  std::memcpy(&message, bytes, sizeof message);
  return true;
}

bool well_formed(const wire::Spawn& spawn, std::size_t fd_count) {
  return spawn.ladder_count <= wire::kMaxLadder && spawn.memo_size <= wire::kMaxMemo &&
         spawn.stored_fds <= wire::kMaxStored && spawn.child_fds < wire::kMaxFds &&
         1 + spawn.child_fds + spawn.stored_fds == fd_count && spawn.flags < 2 * wire::kGuest;
}

}  // namespace

Keeper::Keeper(Kernel& kernel, std::uint32_t slots)
    : kernel_(kernel), slots_(slots), machine_(kernel.machine()) {
  static_assert(sizeof(Slot) <= 160, "the memory budget of a watch");
  SUPV_CHECK(slots_ >= 2 && slots_ <= wire::kMaxSlots);
  void* zeros = ::mmap(nullptr, slots_ * sizeof(Slot), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  SUPV_CHECK(zeros != MAP_FAILED);
  table_ = static_cast<Slot*>(zeros);
}

Keeper::~Keeper() { ::munmap(table_, slots_ * sizeof(Slot)); }

// --- messages ------------------------------------------------------------------------------

void Keeper::on_message(const void* bytes, std::size_t size, const int* fds, std::size_t fd_count) {
  wire::Kind kind;
  if (size < sizeof kind) return;
  end_heard_ = asked_to_end_ns_ != kNever;
  std::memcpy(&kind, bytes, sizeof kind);
  wire::Spawn spawn;
  wire::Stop stop;
  wire::Signal signal;
  wire::Follow follow;
  wire::Amend amend;
  wire::Take take;
  wire::Plain plain;
  wire::Finish end;
  if (kind == wire::Kind::hello && read_as(plain, bytes, size)) {
    on_hello();
  } else if (kind == wire::Kind::spawn && read_as(spawn, bytes, size)) {
    on_spawn(spawn, fds, fd_count);
  } else if (kind == wire::Kind::stop && read_as(stop, bytes, size)) {
    on_stop(stop);
  } else if (kind == wire::Kind::signal && read_as(signal, bytes, size)) {
    on_send_signal(signal);
  } else if (kind == wire::Kind::follow && read_as(follow, bytes, size)) {
    on_follow(follow);
  } else if (kind == wire::Kind::amend && read_as(amend, bytes, size)) {
    on_amend(amend);
  } else if (kind == wire::Kind::forget && read_as(plain, bytes, size)) {
    on_forget(plain.run);
  } else if (kind == wire::Kind::take && read_as(take, bytes, size)) {
    on_take(take);
  } else if (kind == wire::Kind::finish && read_as(end, bytes, size)) {
    finish(end.code);
  }
}

void Keeper::on_stop(const wire::Stop& stop) {
  Slot* slot = find(stop.run);
  if (slot == nullptr || slot->over()) return;
  slot->after = stop.after;
  switch (slot->phase) {
    case wire::Phase::launching:
    case wire::Phase::running:
    case wire::Phase::lingering:
      return stop.now != 0 ? begin_kill(*slot) : begin_stop(*slot);
    case wire::Phase::stopping:
      if (stop.now != 0 && slot->stage != Stage::kill) return begin_kill(*slot);
      return note(*slot);
    case wire::Phase::stuck:
      note(*slot);
      return kill_again(*slot);
    case wire::Phase::empty:
    case wire::Phase::intent:
    case wire::Phase::gone:
    case wire::Phase::failed:
      return;
  }
}

void Keeper::on_send_signal(const wire::Signal& signal) {
  const Slot* slot = find(signal.run);
  if (slot == nullptr || !slot->main_lives() || signal.signal < 1 || signal.signal > 64) return;
  if (slot->is(wire::kGroupSignal)) return kernel_.signal_group(slot->life, signal.signal);
  kernel_.signal_main(slot->life, signal.signal);
}

void Keeper::on_follow(const wire::Follow& follow) {
  Slot* slot = find(follow.run);
  if (slot == nullptr) return;
  const bool may_move = slot->phase == wire::Phase::running ||
                        slot->phase == wire::Phase::lingering || slot->stage == Stage::guests;
  Life moved = slot->life;
  slot->follow_error = EPERM;
  if (may_move && !slot->is(wire::kGuest) && follow.pid > 1)
    slot->follow_error = kernel_.follow(moved, follow.pid);
  if (slot->follow_error != 0) return tell(*slot, news::kNotFollowed);
  slot->life = moved;
  slot->phase = wire::Phase::running;
  slot->stage = Stage::none;
  slot->status_how = 0;
  slot->status_value = 0;
  slot->dumped_core = 0;
  no_wake(*slot);
  note(*slot);
  tell(*slot, news::kFollowed);
}

void Keeper::on_amend(const wire::Amend& amend) {
  Slot* slot = find(amend.run);
  if (slot == nullptr) return;
  if (amend.memo_size > wire::kMaxMemo || amend.ladder_count > wire::kMaxLadder) return;
  Record record;
  read_back(*slot, record);
  // A ladder that is being climbed keeps its steps: the record's position counts in them.
  if (slot->stage != Stage::ladder) {
    record.ladder_count = amend.ladder_count;
    std::memcpy(record.ladder, amend.ladder, sizeof record.ladder);
  }
  record.memo_size = amend.memo_size;
  std::memcpy(record.memo, amend.memo, sizeof record.memo);
  note(*slot, record);
}

void Keeper::on_forget(wire::Run run) {
  Slot* slot = find(run);
  if (slot != nullptr && slot->over()) clear(*slot);
}

// --- starting --------------------------------------------------------------------------------

void Keeper::on_spawn(const wire::Spawn& spawn, const int* fds, std::size_t fd_count) {
  const std::uint32_t index = wire::slot_of(spawn.run);
  if (index == 0 || index >= slots_ || spawn.run >> 16U == 0)
    return refuse(spawn.run, wire::Step::slot, ERANGE);
  if (!well_formed(spawn, fd_count)) return refuse(spawn.run, wire::Step::plan, EINVAL);
  if (shutting_down_ || finishing_) return refuse(spawn.run, wire::Step::slot, ESHUTDOWN);
  Slot& slot = slot_at(index);
  if (slot.used() && slot.life.run == spawn.run) return;  // It was asked for before.
  if (slot.used()) return refuse(spawn.run, wire::Step::slot, EEXIST);
  const bool guest = (spawn.flags & wire::kGuest) != 0;
  const Slot* host = guest ? find(spawn.host) : nullptr;
  if (guest &&
      (host == nullptr || host->over() || host->is(wire::kGuest) || host->stage == Stage::kill))
    return refuse(spawn.run, wire::Step::slot, ESRCH);

  slot = Slot{};
  slot.life.run = spawn.run;
  slot.life.flags = spawn.flags;
  if (guest) {
    slot.life.host = spawn.host;
    slot.life.tag = host->life.tag;
    slot.life.tree = host->life.tree;
  }
  if (index >= high_) high_ = index + 1;
  Record record;
  record.ladder_count = spawn.ladder_count;
  std::memcpy(record.ladder, spawn.ladder, sizeof record.ladder);
  record.memo_size = spawn.memo_size;
  std::memcpy(record.memo, spawn.memo, sizeof record.memo);
  slot.phase = wire::Phase::intent;
  if (spawn.stored_fds != 0) {
    const int error = kernel_.store(index, fds + 1 + spawn.child_fds, spawn.stored_fds);
    if (error != 0) return start_failed(slot, wire::Step::slot, error);
  }
  start(slot, record, {fds[0], fds + 1, spawn.child_fds});
}

/// Recorded before it is touched: a keeper that dies in between finds a run whose processes are not
/// all in its tree yet, never a tree whose processes nobody claims.
void Keeper::on_take(const wire::Take& take) {
  const std::uint32_t index = wire::slot_of(take.run);
  if (index == 0 || index >= slots_ || take.run >> 16U == 0)
    return refuse(take.run, wire::Step::slot, ERANGE);
  constexpr std::uint32_t kAllowed = wire::kDaemonises | wire::kGroupSignal | wire::kLeaveTree;
  if (take.ladder_count > wire::kMaxLadder || take.memo_size > wire::kMaxMemo || take.pid <= 1 ||
      (take.flags & ~kAllowed) != 0)
    return refuse(take.run, wire::Step::plan, EINVAL);
  if (shutting_down_ || finishing_) return refuse(take.run, wire::Step::slot, ESHUTDOWN);
  Slot& slot = slot_at(index);
  if (slot.used() && slot.life.run == take.run) return;  // It was asked for before.
  if (slot.used()) return refuse(take.run, wire::Step::slot, EEXIST);
  if (slot_of_pid(take.pid) != Kernel::kNoSlot) return refuse(take.run, wire::Step::take, EBUSY);
  slot = Slot{};
  slot.life.run = take.run;
  slot.life.flags = take.flags;
  slot.life.pid = take.pid;
  slot.life.start_time = take.start_time;
  slot.life.since = take.start_time;
  slot.started_monotonic_ns = take.started_monotonic_ns;
  slot.started_wall_ms = take.started_wall_ms;
  slot.adopted = 1;
  if (index >= high_) high_ = index + 1;
  Record record;
  record.ladder_count = take.ladder_count;
  std::memcpy(record.ladder, take.ladder, sizeof record.ladder);
  record.memo_size = take.memo_size;
  std::memcpy(record.memo, take.memo, sizeof record.memo);
  slot.phase = wire::Phase::running;
  int error = kernel_.make_tree(slot.life);
  if (error == 0) error = note(slot, record);
  if (error == 0) error = kernel_.take(slot.life);
  if (error != 0) {
    slot.life.pid = 0;
    return start_failed(slot, wire::Step::take, error);
  }
  static_cast<void>(note(slot, record));
  tell(slot, news::kLaunched);
}

/// The order is the whole point: at no instant is there a process that could run the user's program
/// and that no record names. A keeper that dies before the gate opens takes the child with it.
void Keeper::start(Slot& slot, Record& record, const Launch& launch) {
  if (!slot.is(wire::kGuest)) {
    const int error = kernel_.make_tree(slot.life);
    if (error != 0) return start_failed(slot, wire::Step::tree, error);
  }
  slot.phase = wire::Phase::intent;
  if (const int error = note(slot, record); error != 0)
    return start_failed(slot, wire::Step::record, error);
  if (const int error = kernel_.fork_gated(slot.life, launch); error != 0)
    return start_failed(slot, wire::Step::fork, error);
  const Kernel::Clocks now = kernel_.now();
  slot.started_monotonic_ns = now.monotonic_ns;
  slot.started_wall_ms = now.wall_ms;
  slot.phase = wire::Phase::launching;
  wake_at(slot, now.monotonic_ns + kExecPatience);
#ifdef SUPV_CANARY_NO_GATE
  static_cast<void>(kernel_.open_gate(slot.life));
#endif
  if (const int error = note(slot, record); error != 0) {
    slot.step = wire::Step::record;
    slot.error = error;
    return kernel_.shut_gate(slot.life);
  }
#ifndef SUPV_CANARY_NO_GATE
  // It fails only when the child is already dead, which on_child will hear of.
  static_cast<void>(kernel_.open_gate(slot.life));
#endif
}

void Keeper::start_failed(Slot& slot, wire::Step step, int error) {
  slot.phase = wire::Phase::failed;
  slot.stage = Stage::none;
  slot.step = step;
  slot.error = error;
  no_wake(slot);
  if (index_of(slot) == 0) return brain_not_started();
  if (!slot.is(wire::kGuest)) kernel_.remove_tree(slot.life);
  note(slot);
  tell(slot, news::kStartFailed);
  if (shutting_down_) shut_down_further();
}

void Keeper::on_exec(std::uint32_t index) {
  if (index < high_ && slot_at(index).main_lives()) settle_exec(slot_at(index));
}

void Keeper::settle_exec(Slot& slot) {
  const ExecOutcome outcome = kernel_.exec_outcome(slot.life);
  switch (outcome.what) {
    case ExecOutcome::What::pending:
      return;
    case ExecOutcome::What::failed:
      // Told when the child has ended too, which it is about to: nothing is left of it then.
      if (slot.step == wire::Step::none) {
        slot.step = outcome.step;
        slot.error = outcome.error;
      }
      return;
    case ExecOutcome::What::done:
      if (slot.phase != wire::Phase::launching || slot.step != wire::Step::none) return;
      slot.phase = wire::Phase::running;
      no_wake(slot);
      note(slot);
      return tell(slot, news::kLaunched);
  }
}

}  // namespace supv
