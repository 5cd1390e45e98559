#include <algorithm>

#include "keeper/keeper.h"
#include "keeper/keeper_slot.h"

/// What an earlier keeper left: read, verified, and taken over or ended. Nothing is started before
/// this is finished.
namespace supv {
namespace {

constexpr std::int64_t kOldBrainPatience = 500 * kMillisecond;

}  // namespace

void Keeper::recover() {
  const std::uint32_t count = std::min(kernel_.record_count(), slots_);
  Record record;
  for (std::uint32_t i = 0; i < count; ++i)
    if (kernel_.load(i, record) && is_valid(record, i, machine_)) recall(i, record);
  // Only now: whether a dead main's rest is waited for depends on the guests in other slots.
  for (std::uint32_t i = 0; i < high_; ++i)
    if (table_[i].used()) recover_slot(table_[i]);
  const auto owned = [](const void* keeper, wire::Run run) {
    const auto* self = static_cast<const Keeper*>(keeper);
    const std::uint32_t index = wire::slot_of(run);
    return index < self->high_ && self->table_[index].used() && self->table_[index].life.run == run;
  };
  kernel_.sweep_unrecorded(owned, this);
  deaf_since_ns_ = now_ns();
  if (!slot_at(0).used()) start_brain();
}

void Keeper::recall(std::uint32_t index, const Record& record) {
  Slot& slot = slot_at(index);
  slot = Slot{};
  slot.life = record.life;
  slot.started_monotonic_ns = record.started_monotonic_ns;
  slot.started_wall_ms = record.started_wall_ms;
  slot.kill_at_ns = record.kill_at_ns;
  slot.phase = record.phase;
  slot.step = record.step;
  slot.error = record.error;
  slot.after = record.after;
  // Outside of an end the stage means nothing, whatever the bytes say.
  if (slot.phase == wire::Phase::stopping || slot.phase == wire::Phase::stuck)
    slot.stage = static_cast<Stage>(record.stage);
  slot.ladder_step = static_cast<std::uint8_t>(record.ladder_step);
  if (record.status.how != 0) slot.set_status(record.status);
  if (index >= high_) high_ = index + 1;
}

void Keeper::recover_slot(Slot& slot) {
  if (index_of(slot) == 0 && !slot.main_lives()) return clear(slot);
  if (slot.over()) return;
  if (slot.phase == wire::Phase::intent) return recover_intent(slot);
  if (slot.main_lives()) return recover_main(slot);
  resume(slot);
}

/// Recorded, but no gate was opened: there is no main process, and never was.
void Keeper::recover_intent(Slot& slot) {
  if (slot.is(wire::kGuest)) return clear(slot);
  kernel_.kill_tree(slot.life);
  if (kernel_.count_tree(slot.life).count != 0) {
    slot.set_status({3, 0, 0, 0});
    return begin_kill(slot);
  }
  kernel_.remove_tree(slot.life);
  clear(slot);
}

void Keeper::recover_main(Slot& slot) {
  const Adoption adoption = kernel_.adopt(slot.life);
  if (adoption.what != Adoption::What::same) {
    if (adoption.what == Adoption::What::stranger)
      kernel_.complain("its pid belongs to another process now; counted as ended", slot.life.run,
                       0);
    return main_ended(slot, adoption.status);
  }
  slot.adopted = adoption.child ? 0 : 1;
  if (index_of(slot) == 0) {
    // It lost its channel with the keeper that made it; it ends by itself, or is ended.
    slot.phase = wire::Phase::running;
    brain_kill_ns_ = now_ns() + kOldBrainPatience;
    return;
  }
  resume(slot);
}

/// Goes on where the record says the run was.
void Keeper::resume(Slot& slot) {
  const std::int64_t now = now_ns();
  switch (slot.phase) {
    case wire::Phase::launching:
      if (!slot.main_lives()) return main_ended(slot, slot.status());
      // Past its gate; how exec went was told to the keeper that died. It runs until it ends.
      slot.phase = wire::Phase::running;
      return note(slot);
    case wire::Phase::running:
      if (!slot.main_lives()) return main_ended(slot, slot.status());
      return;
    case wire::Phase::lingering:
      return wake_at(slot, now);
    case wire::Phase::stopping:
    case wire::Phase::stuck:
      break;
    case wire::Phase::empty:
    case wire::Phase::intent:
    case wire::Phase::gone:
    case wire::Phase::failed:
      return;
  }
  if (slot.main_lives() && slot.stage == Stage::ladder) return climb(slot);
  if (slot.stage == Stage::kill) {
    kill_again(slot);
    return wake_at(slot, now);
  }
  if (slot.main_lives()) return begin_stop(slot);
  if (slot.stage == Stage::guests) return wake_at(slot, now);
  begin_rest(slot, slot.kill_at_ns - now);
}

}  // namespace supv
