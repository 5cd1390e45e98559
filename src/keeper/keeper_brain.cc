#include <signal.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "keeper/keeper.h"
#include "keeper/keeper_slot.h"

/// The brain: keeping one alive, telling it what is, and doing without it when supvd is to end.
namespace supv {
namespace {

constexpr std::int64_t kBrainPause = 100 * kMillisecond;
constexpr std::int64_t kBrainPatience = 1 * kSecond;   // To end after it closed its channel.
constexpr std::int64_t kFinishPatience = 2 * kSecond;  // To end after `finish`.
constexpr std::int64_t kDeafPatience = 5 * kSecond;    // Without a brain, after TERM.

constexpr std::uint64_t bit_of(int signal) { return 1ULL << static_cast<unsigned>(signal); }
constexpr std::uint64_t kEndSignals = (1ULL << SIGTERM) | (1ULL << SIGINT);

}  // namespace

// --- keeping one alive -----------------------------------------------------------------------

void Keeper::start_brain() {
  brain_due_ns_ = kNever;
  brain_kill_ns_ = kNever;
  brain_since_ns_ = now_ns();
  Slot& slot = slot_at(0);
  no_wake(slot);
  slot = Slot{};
  slot.life.flags = wire::kRole | wire::kGuest;
  slot.phase = wire::Phase::intent;
  Launch launch;
  const int error = kernel_.open_channel(launch);
  if (error != 0) return start_failed(slot, wire::Step::slot, error);
  Record record;
  start(slot, record, launch);
}

void Keeper::brain_not_started() {
  Slot& slot = slot_at(0);
  if (slot.error != brain_error_)
    kernel_.complain(wire::step_name(slot.step), slot.life.run, slot.error);
  brain_error_ = slot.error;  // It is tried ten times a second: said once.
  brain_ended();
}

void Keeper::brain_ended() {
  clear(slot_at(0));
  lose_brain();
  brain_kill_ns_ = kNever;
  if (finishing_) {
    finished_ = exit_code_;
  } else if (!shutting_down_) {
    // Never from here: a brain that cannot even be forked would make this a recursion.
    brain_due_ns_ = std::max(now_ns(), brain_since_ns_ + kBrainPause);
  }
}

void Keeper::lose_brain() {
  kernel_.close_channel();
  if (greeted_) deaf_since_ns_ = now_ns();
  greeted_ = false;
  end_heard_ = false;
  dumping_ = false;
  choked_ = false;
  refused_.reset();
}

void Keeper::on_channel_closed() {
  lose_brain();
  if (slot_at(0).main_lives() && brain_kill_ns_ == kNever)
    brain_kill_ns_ = now_ns() + kBrainPatience;
}

// --- telling it ------------------------------------------------------------------------------

void Keeper::on_hello() {
  greeted_ = true;
  dumping_ = true;
  brain_error_ = 0;
  if (asked_to_end_ns_ != kNever) signals_ |= end_signals_;
  for (std::uint32_t i = 1; i < high_; ++i)
    if (table_[i].used()) table_[i].news = news::kSlot;
  flush();
}

void Keeper::on_writable() {
  choked_ = false;
  flush();
}

void Keeper::flush() {
  const auto got_through = [this](Sent sent) {
    choked_ = choked_ || sent == Sent::full;
    return sent != Sent::full;
  };
  if (refused_ && got_through(kernel_.send(&*refused_, sizeof *refused_, Kernel::kNoSlot)))
    refused_.reset();
  if (!greeted_) return;
  for (std::uint32_t i = 1; i < high_ && !choked_; ++i)
    if (table_[i].news != 0) tell_rest(table_[i]);
  if (choked_) return;
  if (dumping_) {
    const wire::Plain dumped{wire::Kind::dumped, 0, 0};
    if (!got_through(kernel_.send(&dumped, sizeof dumped, Kernel::kNoSlot))) return;
    dumping_ = false;
  }
  while (signals_ != 0) {
    wire::News told{};
    told.kind = wire::Kind::signalled;
    told.signal = std::countr_zero(signals_);
    if (!got_through(kernel_.send(&told, sizeof told, Kernel::kNoSlot))) return;
    signals_ &= signals_ - 1;
  }
}

void Keeper::tell(Slot& slot, std::uint16_t what) {
  // To a brain that has not said hello, or not been told of this slot yet, the slot says it all.
  if (!greeted_ || index_of(slot) == 0 || (slot.news & news::kSlot) != 0) return;
  slot.news = static_cast<std::uint16_t>(slot.news | what);
  if (!choked_) tell_rest(slot);
}

void Keeper::tell_rest(Slot& slot) {
  while (slot.news != 0) {
    const auto first = static_cast<std::uint16_t>(slot.news & -slot.news);
    const Sent sent = first == news::kSlot ? send_slot(slot) : send_news(slot, first);
    if (sent == Sent::full) {
      choked_ = true;
      return;
    }
    slot.news = static_cast<std::uint16_t>(slot.news & ~first);
  }
}

Sent Keeper::send_news(const Slot& slot, std::uint16_t what) {
  wire::News told{};
  told.run = slot.life.run;
  told.pid = slot.life.pid;
  told.started_monotonic_ns = slot.started_monotonic_ns;
  told.started_wall_ms = slot.started_wall_ms;
  told.status = slot.status();
  told.left = slot.left;
  if (what == news::kLaunched) {
    told.kind = wire::Kind::launched;
  } else if (what == news::kStartFailed) {
    told.kind = wire::Kind::start_failed;
    told.step = slot.step;
    told.error = slot.error;
  } else if (what == news::kFollowed) {
    told.kind = wire::Kind::followed;
  } else if (what == news::kNotFollowed) {
    told.kind = wire::Kind::not_followed;
    told.error = slot.follow_error;
  } else if (what == news::kExited) {
    told.kind = wire::Kind::exited;
  } else if (what == news::kStuck) {
    told.kind = wire::Kind::stuck;
    told.pid = slot.stuck_pid;
  } else {
    told.kind = wire::Kind::gone;
  }
  return kernel_.send(&told, sizeof told, Kernel::kNoSlot);
}

Sent Keeper::send_slot(const Slot& slot) {
  Record record;
  read_back(slot, record);
  wire::Slot told{};
  told.kind = wire::Kind::slot;
  told.phase = slot.phase;
  told.run = slot.life.run;
  told.flags = slot.life.flags;
  told.pid = slot.life.pid;
  told.status = slot.status();
  told.step = slot.step;
  told.error = slot.error;
  told.after = slot.after;
  told.adopted = slot.adopted;
  told.started_monotonic_ns = slot.started_monotonic_ns;
  told.started_wall_ms = slot.started_wall_ms;
  told.memo_size = record.memo_size;
  std::memcpy(told.memo, record.memo, sizeof told.memo);
  told.stored_fds = kernel_.stored(index_of(slot));
  return kernel_.send(&told, sizeof told, told.stored_fds != 0 ? index_of(slot) : Kernel::kNoSlot);
}

void Keeper::refuse(wire::Run run, wire::Step step, int error) {
  wire::News told{};
  told.kind = wire::Kind::start_failed;
  told.run = run;
  told.step = step;
  told.error = error;
  if (kernel_.send(&told, sizeof told, Kernel::kNoSlot) != Sent::full) return;
  refused_ = told;
  choked_ = true;
}

// --- signals and the end -----------------------------------------------------------------------

void Keeper::on_signal(int signal) {
  if (signal < 1 || signal > 63) return;
  if (signal == SIGUSR2) reexec_ = true;
  if ((bit_of(signal) & kEndSignals) != 0) {
    const bool again = asked_to_end_ns_ != kNever;
    end_signals_ |= bit_of(signal);
    if (!again) asked_to_end_ns_ = now_ns();
    if (again && !greeted_) return shut_down(true);
  }
  signals_ |= bit_of(signal);
  if (greeted_ && !dumping_ && !choked_) flush();
}

/// Ends every run without a brain: by its own ladder, or at once.
void Keeper::shut_down(bool now) {
  if (finishing_) return;
  shutting_down_ = true;
  brain_due_ns_ = kNever;
  if (slot_at(0).main_lives()) kernel_.signal_main(slot_at(0).life, SIGKILL);
  for (std::uint32_t i = 1; i < high_; ++i) {
    Slot& slot = table_[i];
    if (!slot.used() || slot.over() || slot.is(wire::kRole)) continue;
    if (now ? slot.stage != Stage::kill : slot.stage == Stage::none)
      now ? begin_kill(slot) : begin_stop(slot);
  }
  shut_down_further();
}

/// The roles last: the scribe writes what the others still say.
void Keeper::shut_down_further() {
  for (const bool roles : {false, true}) {
    bool waiting = false;
    for (std::uint32_t i = 1; i < high_; ++i) {
      Slot& slot = table_[i];
      if (!slot.used() || slot.over() || slot.is(wire::kRole) != roles) continue;
      if (slot.stage == Stage::none) begin_stop(slot);
      waiting = waiting || (slot.used() && !slot.over() && slot.phase != wire::Phase::stuck);
    }
    if (waiting) return;
  }
  finish(0);
}

void Keeper::finish(int code) {
  if (finishing_) return;
  finishing_ = true;
  exit_code_ = code;
  brain_due_ns_ = kNever;
  lose_brain();
  if (!slot_at(0).main_lives()) {
    finished_ = code;
    return;
  }
  const std::int64_t now = now_ns();
  brain_kill_ns_ = now + kFinishPatience;
  finish_by_ns_ = now + 2 * kFinishPatience;
}

bool Keeper::wants_reexec() const {
  if (!reexec_ || finishing_ || shutting_down_ || asked_to_end_ns_ != kNever) return false;
  for (std::uint32_t i = 0; i < high_; ++i)
    if (table_[i].phase == wire::Phase::launching) return false;
  return true;
}

// --- time ----------------------------------------------------------------------------------

std::int64_t Keeper::give_up_ns() const {
  if (shutting_down_ || finishing_ || asked_to_end_ns_ == kNever) return kNever;
  // A brain that says nothing at all to the request is as good as none.
  if (greeted_) return end_heard_ ? kNever : asked_to_end_ns_ + kDeafPatience;
  return std::max(asked_to_end_ns_, deaf_since_ns_) + kDeafPatience;
}

std::int64_t Keeper::next_deadline() const {
  return std::min({wake_ns_, brain_due_ns_, brain_kill_ns_, finish_by_ns_, give_up_ns()});
}

void Keeper::on_deadline() {
  const std::int64_t now = now_ns();
  if (wake_ns_ <= now) {
    for (std::uint32_t i = 0; i < high_; ++i)
      if (table_[i].deadline_ns != 0 && table_[i].deadline_ns <= now) slot_deadline(table_[i]);
    wake_ns_ = kNever;
    for (std::uint32_t i = 0; i < high_; ++i)
      if (table_[i].deadline_ns != 0) wake_ns_ = std::min(wake_ns_, table_[i].deadline_ns);
  }
  if (brain_kill_ns_ <= now) {
    brain_kill_ns_ = now + kBrainPatience;
    kernel_.signal_main(slot_at(0).life, SIGKILL);
  }
  if (finish_by_ns_ <= now && !finished_) finished_ = exit_code_;
  if (brain_due_ns_ <= now) start_brain();
  if (give_up_ns() <= now) shut_down(false);
}

}  // namespace supv
