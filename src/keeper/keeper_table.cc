#include <signal.h>

#include "base/check.h"
#include "keeper/keeper.h"
#include "keeper/keeper_slot.h"

/// The table of slots, and their records.
namespace supv {

Keeper::Slot& Keeper::slot_at(std::uint32_t index) {
  SUPV_CHECK(index < slots_);
  return table_[index];
}

const Keeper::Slot& Keeper::slot_at(std::uint32_t index) const {
  SUPV_CHECK(index < slots_);
  return table_[index];
}

std::uint32_t Keeper::index_of(const Slot& slot) const {
  return static_cast<std::uint32_t>(&slot - table_);
}

Keeper::Slot* Keeper::find(wire::Run run) {
  const std::uint32_t index = wire::slot_of(run);
  if (index == 0 || index >= high_) return nullptr;
  Slot& slot = table_[index];
  return slot.used() && slot.life.run == run ? &slot : nullptr;
}

std::uint32_t Keeper::slot_of_pid(std::int32_t pid) const {
  for (std::uint32_t i = 0; i < high_; ++i)
    if (table_[i].main_lives() && table_[i].life.pid == pid) return i;
  return Kernel::kNoSlot;
}

wire::Phase Keeper::phase(std::uint32_t slot) const { return slot_at(slot).phase; }
const Life& Keeper::life(std::uint32_t slot) const { return slot_at(slot).life; }

void Keeper::clear(Slot& slot) {
  if (slot.phase == wire::Phase::gone && !slot.is(wire::kGuest)) kernel_.remove_tree(slot.life);
  kernel_.release(index_of(slot));
  static_cast<void>(kernel_.save(index_of(slot), Record{}));
  no_wake(slot);
  slot = Slot{};
}

void Keeper::read_back(const Slot& slot, Record& record) {
  const std::uint32_t index = index_of(slot);
  if (kernel_.load(index, record) && is_valid(record, index, machine_) &&
      record.life.run == slot.life.run)
    return;
  // Somebody else wrote into our file. What runs is still ours; only its memo is lost.
  record = Record{};
  record.ladder_count = 1;
  record.ladder[0] = {SIGTERM, 10'000};
}

void Keeper::note(Slot& slot) {
  Record record;
  read_back(slot, record);
  static_cast<void>(note(slot, record));
}

int Keeper::note(Slot& slot, Record& record) {
  ++record.sequence;
  record.machine = machine_;
  record.life = slot.life;
  record.phase = slot.phase;
  record.after = slot.after;
  record.status = slot.status();
  record.step = slot.step;
  record.error = slot.error;
  record.started_monotonic_ns = slot.started_monotonic_ns;
  record.started_wall_ms = slot.started_wall_ms;
  record.kill_at_ns = slot.kill_at_ns;
  record.stage = static_cast<std::uint32_t>(slot.stage);
  record.ladder_step = slot.ladder_step;
  if (record.ladder_step > record.ladder_count) record.ladder_step = record.ladder_count;
  seal(record);
  return kernel_.save(index_of(slot), record);
}

void Keeper::wake_at(Slot& slot, std::int64_t when_ns) {
  if (slot.deadline_ns == 0) ++deadlines_;
  slot.deadline_ns = when_ns;
  if (when_ns < wake_ns_) wake_ns_ = when_ns;
}

/// With the last deadline the wake goes too: a keeper of quiet runs sleeps for good.
void Keeper::no_wake(Slot& slot) {
  if (slot.deadline_ns == 0) return;
  slot.deadline_ns = 0;
  if (--deadlines_ == 0) wake_ns_ = kNever;
}

}  // namespace supv
