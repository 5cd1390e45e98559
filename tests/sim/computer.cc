#include "tests/sim/computer.h"

#include <fmt/format.h>
#include <signal.h>

#include <cerrno>

namespace supv::sim {

std::string show(const Process& process) {
  if (process.stranger()) return fmt::format("stranger {}", process.pid);
  if (process.brain()) return fmt::format("brain {}", process.pid);
  return fmt::format("{}/{:x} {}{} pid {}", process.plan.watch, process.plan.run,
                     process.leader ? "" : "child of ",
                     process.plan.purpose == Purpose::main ? "main" : "errand", process.pid);
}

// --- pids --------------------------------------------------------------------------------------

int Computer::free_pid() {
  for (int tries = 0; tries < sim_.machinery.last_pid; ++tries) {
    last_pid_ = last_pid_ >= sim_.machinery.last_pid ? 2 : last_pid_ + 1;
    if (find_pid(last_pid_) == nullptr) return last_pid_;
  }
  return 0;
}

Process& Computer::make(const Plan& plan, std::uint64_t tag) {
  Process& process = processes_[++last_serial_];
  process.serial = last_serial_;
  process.pid = free_pid();
  process.start_time =
      static_cast<std::uint64_t>(sim_.agenda.now().time_since_epoch().count() / 10'000'000);
  process.inode = sim_.machinery.pidfs ? last_serial_ : 0;
  process.tag = tag;
  process.plan = plan;
  process.group = process.pid;
  process.forked_at = sim_.agenda.now();
  return process;
}

int Computer::fork(const Plan& plan, std::uint64_t tag, std::uint64_t keeper, Process*& made) {
  if (sim_.dice.chance(sim_.menu.fork_fails)) return EAGAIN;
  if (processes_.size() + 8 > static_cast<std::size_t>(sim_.machinery.last_pid)) return EAGAIN;
  made = &make(plan, tag);
  made->leader = true;
  made->parent = keeper;
  return 0;
}

void Computer::stranger() {
  if (processes_.size() + 20 > static_cast<std::size_t>(sim_.machinery.last_pid)) return;
  Process& process = make(Plan{}, 0);
  process.stage = Process::Stage::live;
  end_in(process.serial, sim_.dice.time(milliseconds(1), minutes(1)), exited(0));
}

Process* Computer::find(std::uint64_t serial) {
  const auto found = processes_.find(serial);
  return found == processes_.end() ? nullptr : &found->second;
}

Process* Computer::find_pid(int pid) {
  for (auto& [serial, process] : processes_)
    if (process.pid == pid) return &process;
  return nullptr;
}

bool Computer::serving(wire::Run run) const {
  for (const auto& [serial, process] : processes_)
    if (process.plan.run == run && process.alive() && process.serving) return true;
  return false;
}

int Computer::pid_in_file(const std::string& path) const {
  const auto found = pid_files_.find(path);
  return found == pid_files_.end() ? 0 : found->second;
}

// --- from gate to end --------------------------------------------------------------------------

void Computer::open_gate(std::uint64_t serial) {
  Process* process = find(serial);
  if (process == nullptr || process->stage != Process::Stage::gated || process->dying) return;
  process->stage = Process::Stage::executing;
  const bool slow = sim_.dice.chance(sim_.menu.slow_exec);
  sim_.agenda.in(slow ? sim_.dice.time(milliseconds(50), seconds(12))
                      : sim_.dice.time(milliseconds(0), milliseconds(3)),
                 [this, serial] { exec(serial); });
}

void Computer::shut_gate(std::uint64_t serial) {
  if (Process* process = find(serial);
      process != nullptr && process->stage == Process::Stage::gated)
    end_in(serial, sim_.dice.time(milliseconds(0), milliseconds(2)), exited(125));
}

void Computer::exec(std::uint64_t serial) {
  Process* process = find(serial);
  if (process == nullptr || process->stage != Process::Stage::executing) return;
  if (!process->brain() && sim_.dice.chance(sim_.menu.exec_fails)) {
    process->failed_step = sim_.dice.pick({wire::Step::exec, wire::Step::dir, wire::Step::out});
    process->exec_known = true;
    ears_.exec_settled(*process);
    return end_in(serial, sim_.dice.time(milliseconds(0), milliseconds(2)), exited(127));
  }
  process->stage = Process::Stage::live;
  process->exec_known = true;
  process->exec_at = sim_.agenda.now();
  ears_.executed(*process);
  ears_.exec_settled(*process);
  live(serial);
}

void Computer::end_in(std::uint64_t serial, Duration delay, wire::Status status) {
  sim_.agenda.in(delay, [this, serial, status] {
    if (Process* process = find(serial)) end(*process, status);
  });
}

void Computer::end(Process& process, wire::Status status) {
  if (!process.alive()) return;
  if (process.stage == Process::Stage::gated && process.parent == 0) status = exited(125);
  sim_.trace(fmt::format("machine: {} ends: {} {}", show(process),
                         status.how == 1 ? "exit" : "signal", status.value));
  process.stage = Process::Stage::zombie;
  process.status = status;
  obituaries_[process.serial] = status;
  process.serving = false;
  process.exec_known = true;
  const std::uint64_t serial = process.serial;
  ears_.ended(process);
  Process* still = find(serial);
  if (still != nullptr && (still->parent == 0 || !still->leader)) processes_.erase(serial);
}

void Computer::reap(std::uint64_t serial) { processes_.erase(serial); }

wire::Status Computer::obituary(std::uint64_t serial) const {
  const auto found = obituaries_.find(serial);
  return found == obituaries_.end() ? wire::Status{3, 0, 0, 0} : found->second;
}

void Computer::becomes_child(Process& process, std::uint64_t keeper) {
  process.parent = keeper;
  process.leader = true;
}

void Computer::signal(Process& process, int signal) {
  ears_.signalled(process, signal);
  if (!process.alive()) return;
  if (signal == SIGKILL) {
    if (process.dying && process.uninterruptible.count() > 0) return;
    process.dying = true;
    if (process.uninterruptible.count() == 0) return end(process, killed_by(SIGKILL));
    return end_in(process.serial, process.uninterruptible, killed_by(SIGKILL));
  }
  if (signal != SIGTERM && signal != SIGINT && signal != SIGQUIT) return;
  if (process.stage != Process::Stage::live) return end(process, killed_by(signal));
  if (process.ignores_term || process.brain()) return;
  const wire::Status status = sim_.dice.chance(0.5) ? exited(0) : killed_by(signal);
  end_in(process.serial, process.takes_term, status);
}

void Computer::crash(Process& process) { end(process, killed_by(SIGKILL)); }

// --- the ends of keepers and machines ------------------------------------------------------------

void Computer::keeper_died(std::uint64_t keeper) {
  std::vector<std::uint64_t> orphans;
  for (auto& [serial, process] : processes_)
    if (process.parent == keeper) orphans.push_back(serial);
  for (const std::uint64_t serial : orphans) {
    Process& process = processes_.at(serial);
    process.parent = 0;
    if (process.stage == Process::Stage::zombie) {
      processes_.erase(serial);
    } else if (process.stage == Process::Stage::gated) {
      end_in(serial, sim_.dice.time(milliseconds(0), milliseconds(20)), exited(125));
    }
  }
}

bool Computer::gates_pending() const {
  for (const auto& [serial, process] : processes_)
    if (process.parent == 0 && process.stage == Process::Stage::gated) return true;
  return false;
}

void Computer::reboot() {
  processes_.clear();
  pid_files_.clear();
  ++boot_;
  last_pid_ = 1;
  // The runtime directory may lie on a disk after all: then the records are still there.
  if (sim_.dice.chance(0.5)) records.assign(records.size(), std::nullopt);
}

}  // namespace supv::sim
