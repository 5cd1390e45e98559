#include "tests/sim/sim_kernel.h"

#include <fmt/format.h>
#include <signal.h>

#include <cerrno>
#include <type_traits>

namespace supv::sim {

SimKernel::SimKernel(Sim& sim, Computer& computer, Line& line, const std::vector<Plan>& plans,
                     std::uint64_t number, Ears ears)
    : sim_(sim),
      computer_(computer),
      line_(line),
      plans_(plans),
      number_(number),
      ears_(std::move(ears)) {}

void SimKernel::maybe_die() {
  if (sim_.dice.chance(sim_.menu.keeper_crash)) throw KeeperKilled{};
}

template <typename Deed>
auto SimKernel::boundary(Deed&& deed) {
  maybe_die();
  if constexpr (std::is_void_v<decltype(deed())>) {
    deed();
    maybe_die();
  } else {
    auto result = deed();
    maybe_die();
    return result;
  }
}

void SimKernel::on_ended(const Process& process) {
  for (const auto& [slot, held] : held_)
    if (held.serial == process.serial) ears_.child_ended(slot);
}

void SimKernel::on_exec_settled(const Process& process) {
  for (const auto& [slot, held] : held_)
    if (held.serial == process.serial && held.exec_line) ears_.exec_settled(slot);
}

Process* SimKernel::watched(const Life& life) {
  return held(life).serial == 0 ? nullptr : computer_.find(held(life).serial);
}

std::vector<std::uint64_t> SimKernel::members(std::uint64_t tag) {
  std::vector<std::uint64_t> serials;
  if (tag == 0) return serials;
  for (const auto& [serial, process] : computer_.processes())
    if (process.tag == tag && process.alive()) serials.push_back(serial);
  return serials;
}

void SimKernel::send_signal(std::uint64_t serial, int signal) {
  if (Process* process = computer_.find(serial)) computer_.signal(*process, signal);
}

Kernel::Clocks SimKernel::now() {
  return {sim_.agenda.now().time_since_epoch().count(), sim_.agenda.wall_ms()};
}

Machine SimKernel::machine() { return {computer_.boot(), 17, 1}; }

// --- records -----------------------------------------------------------------------------------

std::uint32_t SimKernel::record_count() {
  return static_cast<std::uint32_t>(computer_.records.size());
}

bool SimKernel::load(std::uint32_t slot, Record& record) {
  return boundary([&] {
    if (!computer_.records[slot]) return false;
    record = *computer_.records[slot];
    return true;
  });
}

int SimKernel::save(std::uint32_t slot, const Record& record) {
  return boundary([&] {
    // The page of a slot that was written before is there; only a new one has to be found.
    std::optional<Record>& page = computer_.records[slot];
    if (!page && sim_.dice.chance(sim_.menu.record_fails)) return ENOSPC;
    page = record;
    return 0;
  });
}

// --- trees -------------------------------------------------------------------------------------

int SimKernel::make_tree(Life& life) {
  return boundary([&] {
    if (sim_.dice.chance(sim_.menu.record_fails * 0.3)) return ENOSPC;
    life.tag = computer_.new_tag();
    life.tree = sim_.machinery.cgroups ? 1 : 0;
    return 0;
  });
}

void SimKernel::remove_tree(const Life&) {
  boundary([] {});
}

Left SimKernel::count_tree(const Life& life) {
  return boundary([&] {
    const auto serials = members(life.tag);
    Left left{static_cast<std::uint32_t>(serials.size()), 0};
    if (!serials.empty()) left.pid = computer_.find(serials.front())->pid;
    return left;
  });
}

void SimKernel::signal_tree(const Life& life, int signal) {
  boundary([&] {
    for (const std::uint64_t serial : members(life.tag)) send_signal(serial, signal);
  });
}

void SimKernel::kill_tree(const Life& life) { signal_tree(life, SIGKILL); }

void SimKernel::sweep_unrecorded(Owned owned, const void* keeper) {
  boundary([&] {
    if (!sim_.machinery.cgroups) return;
    std::vector<std::uint64_t> lost;
    for (const auto& [serial, process] : computer_.processes()) {
      const wire::Run run = process.plan.host != 0 ? process.plan.host : process.plan.run;
      if (run != 0 && process.plan.whole_tree && process.tag != 0 && process.alive() &&
          !owned(keeper, run))
        lost.push_back(serial);
    }
    for (const std::uint64_t serial : lost) send_signal(serial, SIGKILL);
  });
}

// --- processes ---------------------------------------------------------------------------------

int SimKernel::fork_gated(Life& life, const Launch& launch) {
  return boundary([&] {
    Process* child = nullptr;
    const int error =
        computer_.fork(plans_.at(static_cast<std::size_t>(launch.plan)), life.tag, number_, child);
    if (error != 0) return error;
    life.pid = child->pid;
    life.start_time = child->start_time;
    life.inode = child->inode;
    if (life.since == 0) life.since = child->start_time;
    held(life).serial = child->serial;
    held(life).exec_line = true;
    return 0;
  });
}

int SimKernel::open_gate(const Life& life) {
  return boundary([&] {
    const Process* child = watched(life);
    if (child == nullptr || !child->alive()) return EPIPE;
    computer_.open_gate(held(life).serial);
    return 0;
  });
}

void SimKernel::shut_gate(const Life& life) {
  boundary([&] { computer_.shut_gate(held(life).serial); });
}

ExecOutcome SimKernel::exec_outcome(const Life& life) {
  return boundary([&] {
    ExecOutcome outcome;
    outcome.what = ExecOutcome::What::done;
    if (!held(life).exec_line) return outcome;
    const Process* process = watched(life);
    if (process != nullptr && !process->exec_known) {
      outcome.what = ExecOutcome::What::pending;
      return outcome;
    }
    held(life).exec_line = false;
    if (process != nullptr && process->failed_step != wire::Step::none) {
      outcome.what = ExecOutcome::What::failed;
      outcome.step = process->failed_step;
      outcome.error = ENOENT;
    }
    return outcome;
  });
}

void SimKernel::signal_main(const Life& life, int signal) {
  boundary([&] { send_signal(held(life).serial, signal); });
}

void SimKernel::signal_group(const Life& life, int signal) {
  boundary([&] {
    const Process* main = watched(life);
    if (main == nullptr) return;
    if (main->group != main->pid) return send_signal(main->serial, signal);
    const int group = main->group;
    std::vector<std::uint64_t> serials;
    for (const auto& [serial, process] : computer_.processes())
      if (process.group == group && process.alive()) serials.push_back(serial);
    for (const std::uint64_t serial : serials) send_signal(serial, signal);
  });
}

bool SimKernel::has_ended(const Life& life) {
  return boundary([&] {
    const Process* process = watched(life);
    return process == nullptr || !process->alive();
  });
}

wire::Status SimKernel::reap(const Life& life) {
  return boundary([&] {
    const std::uint64_t serial = held(life).serial;
    const Process* process = computer_.find(serial);
    if (process != nullptr && !process->alive()) {
      const wire::Status status = process->status;
      computer_.reap(serial);
      return status;
    }
    if (sim_.machinery.sees_adopted_status) return computer_.obituary(serial);
    return wire::Status{3, 0, 0, 0};
  });
}

Adoption SimKernel::adopt(const Life& life) {
  return boundary([&] {
    Adoption adoption;
    adoption.status.how = 3;
    const Process* process = computer_.find_pid(life.pid);
    if (process == nullptr) return adoption;
    const bool same = life.inode != 0
                          ? process->inode == life.inode
                          : process->start_time == life.start_time && (process->tag == life.tag);
    adoption.what = same ? Adoption::What::same : Adoption::What::stranger;
    if (!same) return adoption;
    held(life).serial = process->serial;
    if (!process->alive()) ears_.child_ended(wire::slot_of(life.run));
    return adoption;
  });
}

int SimKernel::follow(Life& life, std::int32_t pid) {
  return boundary([&] {
    Process* process = computer_.find_pid(pid);
    if (process == nullptr || !process->alive()) return ESRCH;
    if (process->tag != life.tag) return EPERM;
    life.pid = pid;
    life.start_time = process->start_time;
    life.inode = process->inode;
    held(life).serial = process->serial;
    computer_.becomes_child(*process, number_);
    return 0;
  });
}

void SimKernel::unwatch(const Life& life) {
  boundary([&] {
    held(life).serial = 0;
    held(life).exec_line = false;
  });
}

// --- what is kept for the brain, and the line to it
// ------------------------------------------------

int SimKernel::store(std::uint32_t slot, const int*, std::uint32_t count) {
  return boundary([&] {
    held_[slot].stored = count;
    return 0;
  });
}

std::uint32_t SimKernel::stored(std::uint32_t slot) {
  return boundary([&] { return held_[slot].stored; });
}

void SimKernel::release(std::uint32_t slot) {
  boundary([&] { held_.erase(slot); });
}

int SimKernel::open_channel(Launch& launch) {
  return boundary([&] {
    if (sim_.dice.chance(sim_.menu.fork_fails)) return EMFILE;
    line_.renew();
    launch.plan = 0;
    return 0;
  });
}

void SimKernel::close_channel() {
  boundary([&] { line_.close(); });
}

Sent SimKernel::send(const void* message, std::size_t size, std::uint32_t with_stored) {
  return boundary([&] {
    if (!line_.open || line_.brain_gone) return Sent::broken;
    if (line_.to_brain.size() >= static_cast<std::size_t>(sim_.machinery.channel_room))
      return Sent::full;
    Packet packet;
    packet.bytes.assign(static_cast<const char*>(message), size);
    packet.stored = with_stored != kNoSlot;
    line_.to_brain.push_back(std::move(packet));
    ears_.sent();
    return Sent::yes;
  });
}

void SimKernel::complain(const char* what, wire::Run run, int error) {
  sim_.trace(fmt::format("keeper complains: {} {:x} {}", what, run, error));
}

}  // namespace supv::sim
