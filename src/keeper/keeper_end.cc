#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "base/check.h"
#include "keeper/keeper.h"
#include "keeper/keeper_slot.h"

/// How runs end: ladder, rest of the tree, KILL, and looking until nothing is left.
namespace supv {
namespace {

constexpr std::int64_t kRestPatience = 1 * kSecond;  // For leftovers of an unexpected death.
constexpr std::int64_t kKillPatience = 5 * kSecond;  // KILL takes milliseconds, or for ever.
constexpr std::int64_t kGuestLook = 100 * kMillisecond;
constexpr std::int64_t kLingerLook = 100 * kMillisecond;
constexpr std::int64_t kStuckLongest = 30 * kSecond;

std::int64_t look_pause(std::uint8_t looks) {
  constexpr std::int64_t kPauses[] = {1, 2, 5, 10, 20, 50, 100};
  return kPauses[std::min<std::size_t>(looks, std::size(kPauses) - 1)] * kMillisecond;
}

std::int64_t stuck_pause(std::uint8_t looks) {
  return looks >= 5 ? kStuckLongest : kSecond << looks;
}

bool asks_to_end(int signal) {
  return signal == SIGTERM || signal == SIGINT || signal == SIGQUIT || signal == SIGHUP;
}

std::int64_t time_before_kill(const Record& record) {
  std::int64_t sum = 0;
  for (std::uint32_t i = 0; i < record.ladder_count && record.ladder[i].signal != SIGKILL; ++i)
    sum += record.ladder[i].wait_ms * kMillisecond;
  return sum;
}

}  // namespace

void Keeper::begin_stop(Slot& slot) {
  Record record;
  read_back(slot, record);
  const std::int64_t patience = time_before_kill(record);
  if (!slot.main_lives()) return begin_rest(slot, patience);
  slot.phase = wire::Phase::stopping;
  slot.stage = Stage::ladder;
  slot.ladder_step = 0;
  slot.kill_at_ns = now_ns() + patience;
  climb(slot);
}

/// Does the step that is due, and those that follow it at once.
void Keeper::climb(Slot& slot) {
  if (!slot.main_lives()) return begin_rest(slot, slot.kill_at_ns - now_ns());
  Record record;
  read_back(slot, record);
  while (slot.ladder_step < record.ladder_count) {
    const wire::LadderStep step = record.ladder[slot.ladder_step];
    if (step.signal == SIGKILL) break;
    static_cast<void>(note(slot, record));
    const bool group = slot.is(wire::kGroupSignal);
    const auto send = [&](int signal) {
      group ? kernel_.signal_group(slot.life, signal) : kernel_.signal_main(slot.life, signal);
    };
    if (step.signal >= 1 && step.signal <= 64) send(step.signal);
    // A stopped process would sleep through it.
    if (asks_to_end(step.signal)) send(SIGCONT);
    if (step.wait_ms != 0) return wake_at(slot, now_ns() + step.wait_ms * kMillisecond);
    ++slot.ladder_step;
  }
  begin_kill(slot);
}

void Keeper::on_child(std::uint32_t index) {
  if (index >= high_) return;
  Slot& slot = slot_at(index);
  if (!slot.main_lives() || !kernel_.has_ended(slot.life)) return;
  settle_exec(slot);
  // While the dead leader is not reaped its number cannot be anybody else's: the last chance to
  // name the group safely.
  const bool stopped_guest = slot.is(wire::kGuest) && slot.stage == Stage::ladder;
  const bool killed = slot.stage == Stage::kill && !slot.is(wire::kLeaveTree);
  if (index == 0 || stopped_guest || killed) kernel_.signal_group(slot.life, SIGKILL);
  const wire::Status status = kernel_.reap(slot.life);
  kernel_.unwatch(slot.life);
  main_ended(slot, status);
}

void Keeper::main_ended(Slot& slot, const wire::Status& status) {
  slot.set_status(status);
  no_wake(slot);
  if (index_of(slot) == 0)
    return slot.step != wire::Step::none ? brain_not_started() : brain_ended();
  const Left left = left_of(slot);
  slot.left = left.count;
  if (slot.step != wire::Step::none) {
    if (left.count == 0) return start_failed(slot, slot.step, slot.error);
    return begin_kill(slot);
  }
  if (left.count == 0) return nothing_left(slot, news::kExited);
  switch (slot.stage) {
    case Stage::none:
      if (slot.is(wire::kDaemonises)) {
        slot.phase = wire::Phase::lingering;
        wake_at(slot, now_ns() + kLingerLook);
      } else if (has_guests(slot)) {
        slot.phase = wire::Phase::stopping;
        slot.stage = Stage::guests;
        wake_at(slot, now_ns() + kGuestLook);
      } else {
        tell(slot, news::kExited);
        return begin_rest(slot, kRestPatience);
      }
      note(slot);
      return tell(slot, news::kExited);
    case Stage::ladder:
      tell(slot, news::kExited);
      return begin_rest(slot, slot.kill_at_ns - now_ns());
    case Stage::kill:
      slot.looks = 0;
      wake_at(slot, now_ns() + look_pause(0));
      note(slot);
      return tell(slot, news::kExited);
    case Stage::guests:
    case Stage::rest:
      // Main ended earlier than these began; only a damaged record can claim otherwise.
      tell(slot, news::kExited);
      return begin_rest(slot, kRestPatience);
  }
}

/// What main left behind is asked to end, and has `patience_ns` to do so.
void Keeper::begin_rest(Slot& slot, std::int64_t patience_ns) {
  if (patience_ns <= 0) return begin_kill(slot);
  const std::int64_t now = now_ns();
  slot.phase = wire::Phase::stopping;
  slot.stage = Stage::rest;
  slot.kill_at_ns = now + patience_ns;
  slot.looks = 0;
  note(slot);
  // A guest has its host's tree: what the guest left in it is not ours to end.
  if (!slot.is(wire::kLeaveTree | wire::kGuest)) {
    kernel_.signal_tree(slot.life, SIGTERM);
    kernel_.signal_tree(slot.life, SIGCONT);
  }
  wake_at(slot, std::min(slot.kill_at_ns, now + look_pause(0)));
}

void Keeper::begin_kill(Slot& slot) {
  const std::int64_t now = now_ns();
  slot.phase = wire::Phase::stopping;
  slot.stage = Stage::kill;
  slot.kill_at_ns = now;
  slot.looks = 0;
  note(slot);
  kill_again(slot);
  wake_at(slot, now + look_pause(0));
}

void Keeper::kill_again(Slot& slot) {
  if (slot.main_lives()) {
    kernel_.signal_main(slot.life, SIGKILL);
    if (!slot.is(wire::kLeaveTree)) kernel_.signal_group(slot.life, SIGKILL);
  }
  if (!slot.is(wire::kLeaveTree | wire::kGuest)) kernel_.kill_tree(slot.life);
}

Left Keeper::left_of(const Slot& slot) {
  const Left main_alone{slot.main_lives() ? 1U : 0U, slot.main_lives() ? slot.life.pid : 0};
  // The start command of a daemon has ended: what it left is to be found by its pid file.
  const bool lingers = slot.is(wire::kDaemonises) && slot.stage == Stage::none;
  if (slot.is(wire::kGuest) || (slot.is(wire::kLeaveTree) && !lingers)) return main_alone;
  const Left left = kernel_.count_tree(slot.life);
  return left.count == 0 ? main_alone : left;
}

bool Keeper::has_guests(const Slot& slot) const {
  for (std::uint32_t i = 1; i < high_; ++i)
    if (table_[i].main_lives() && table_[i].is(wire::kGuest) &&
        table_[i].life.host == slot.life.run)
      return true;
  return false;
}

/// Is anything left, and what is to be done about it now?
void Keeper::look_again(Slot& slot) {
  const Left left = left_of(slot);
  if (left.count == 0) {
    if (slot.step != wire::Step::none) return start_failed(slot, slot.step, slot.error);
    return nothing_left(slot, 0);
  }
  const std::int64_t now = now_ns();
  switch (slot.stage) {
    case Stage::none:
      return wake_at(slot, now + kLingerLook);
    case Stage::guests:
      if (!has_guests(slot)) return begin_rest(slot, kRestPatience);
      return wake_at(slot, now + kGuestLook);
    case Stage::rest:
      if (now >= slot.kill_at_ns) return begin_kill(slot);
      if (slot.looks < 255) ++slot.looks;
      return wake_at(slot, std::min(slot.kill_at_ns, now + look_pause(slot.looks)));
    case Stage::kill:
      break;
    case Stage::ladder:
      return;
  }
  kill_again(slot);
  if (slot.looks < 255) ++slot.looks;
  if (slot.phase == wire::Phase::stuck) return wake_at(slot, now + stuck_pause(slot.looks));
  if (now - slot.kill_at_ns < kKillPatience) return wake_at(slot, now + look_pause(slot.looks));
  slot.phase = wire::Phase::stuck;
  slot.left = left.count;
  slot.stuck_pid = left.pid;
  slot.looks = 0;
  wake_at(slot, now + stuck_pause(0));
  note(slot);
  tell(slot, news::kStuck);
  if (shutting_down_) shut_down_further();
}

/// `untold`: what else the brain has not heard of this run. The empty tree stays until the slot is
/// cleared: taking it away now would keep the next run waiting.
void Keeper::nothing_left(Slot& slot, std::uint16_t untold) {
  slot.phase = wire::Phase::gone;
  slot.stage = Stage::none;
  no_wake(slot);
  slot.left = 0;
  note(slot);
  tell(slot, static_cast<std::uint16_t>(untold | news::kGone));
  Slot* host = slot.is(wire::kGuest) ? find(slot.life.host) : nullptr;
  if (host != nullptr && host->stage == Stage::guests) look_again(*host);
  if (shutting_down_) shut_down_further();
}

void Keeper::slot_deadline(Slot& slot) {
  no_wake(slot);
  switch (slot.phase) {
    case wire::Phase::launching:
      if (slot.step == wire::Step::none) {
        slot.step = wire::Step::exec;
        slot.error = ETIMEDOUT;
      }
      return begin_kill(slot);
    case wire::Phase::stopping:
    case wire::Phase::stuck:
    case wire::Phase::lingering:
      if (slot.stage != Stage::ladder) return look_again(slot);
      ++slot.ladder_step;
      return climb(slot);
    case wire::Phase::empty:
    case wire::Phase::intent:
    case wire::Phase::running:
    case wire::Phase::gone:
    case wire::Phase::failed:
      return;
  }
}

}  // namespace supv
