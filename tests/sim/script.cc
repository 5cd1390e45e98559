// What simulated programs do once they run.
#include <fmt/format.h>
#include <signal.h>

#include "tests/sim/computer.h"

namespace supv::sim {

void Computer::draw_manners(Process& process) {
  process.ignores_term = sim_.dice.chance(sim_.menu.ignores_term);
  process.takes_term = sim_.dice.time(milliseconds(0), seconds(2));
  if (sim_.dice.chance(sim_.menu.sleeps_uninterruptibly))
    process.uninterruptible = sim_.dice.time(milliseconds(10), seconds(20));
}

void Computer::live(std::uint64_t serial) {
  Process& process = *find(serial);
  if (process.brain()) return;
  draw_manners(process);
  if (process.plan.purpose != Purpose::main) return live_as_errand(process);
  if (!process.plan.pid_file.empty()) return live_as_daemon(serial);
  const Duration ready = sim_.dice.time(milliseconds(5), seconds(3));
  give_children(process);
  live_as_worker(process, ready);
}

void Computer::live_as_worker(Process& process, Duration ready) {
  const std::uint64_t serial = process.serial;
  const bool comes_up = !sim_.dice.chance(sim_.menu.never_ready);
  if (comes_up)
    sim_.agenda.in(ready, [this, serial] {
      Process* one = find(serial);
      if (one == nullptr || one->stage != Process::Stage::live) return;
      one->serving = true;
      if (one->plan.notify) ears_.notified(one->plan.run, true);
      if (one->plan.watchdog.count() > 0) keep_alive(serial);
    });
  Duration life{0};
  if (sim_.dice.chance(sim_.menu.dies_young))
    life = sim_.dice.time(milliseconds(0), milliseconds(800));
  else if (sim_.dice.chance(sim_.menu.dies))
    life = sim_.dice.time(seconds(1), minutes(5));
  if (life.count() == 0) return;
  const int signal = sim_.dice.pick({SIGSEGV, SIGABRT, SIGKILL});
  end_in(serial, life,
         sim_.dice.chance(0.3) ? killed_by(signal)
                               : exited(static_cast<int>(sim_.dice.pick({0, 1, 3}))));
}

void Computer::keep_alive(std::uint64_t serial) {
  Process* process = find(serial);
  if (process == nullptr || process->stage != Process::Stage::live) return;
  ears_.notified(process->plan.run, false);
  // Now and then it hangs: no more keep-alives.
  if (sim_.dice.chance(sim_.menu.never_ready * 0.05)) return;
  sim_.agenda.in(process->plan.watchdog / 2, [this, serial] { keep_alive(serial); });
}

void Computer::give_children(Process& parent) {
  if (!sim_.dice.chance(sim_.menu.has_children)) return;
  const auto count = sim_.dice.between(1, 3);
  const std::uint64_t serial = parent.serial;
  for (std::int64_t i = 0; i < count; ++i) {
    sim_.agenda.in(sim_.dice.time(milliseconds(0), seconds(5)), [this, serial] {
      const Process* leader = find(serial);
      if (leader == nullptr || leader->stage != Process::Stage::live) return;
      if (processes_.size() + 8 > static_cast<std::size_t>(sim_.machinery.last_pid)) return;
      const Plan plan = leader->plan;
      const std::uint64_t tag = leader->tag;
      const int group = leader->group;
      Process& child = make(plan, tag);
      if (sim_.dice.chance(0.5)) child.group = group;  // else: setsid
      child.stage = Process::Stage::live;
      child.exec_at = sim_.agenda.now();
      draw_manners(child);
      const bool outlives = sim_.dice.chance(sim_.menu.children_outlive);
      if (!outlives) end_in(child.serial, sim_.dice.time(milliseconds(1), minutes(1)), exited(0));
    });
  }
}

/// start: forks the real one, writes its pid file, ends. In every order, or not at all.
void Computer::live_as_daemon(std::uint64_t serial) {
  Process& launcher = *find(serial);
  if (sim_.dice.chance(sim_.menu.never_ready)) return live_as_worker(launcher, seconds(1));
  const std::string path = launcher.plan.pid_file;
  sim_.agenda.in(sim_.dice.time(milliseconds(1), milliseconds(500)), [this, serial, path] {
    Process* parent = find(serial);
    if (parent == nullptr || parent->stage != Process::Stage::live) return;
    Process& daemon = make(Plan(parent->plan), parent->tag);
    daemon.stage = Process::Stage::live;
    daemon.exec_at = sim_.agenda.now();
    draw_manners(daemon);
    const std::uint64_t child = daemon.serial;
    live_as_worker(daemon, sim_.dice.time(milliseconds(5), seconds(1)));
    const int pid = find(child)->pid;
    const bool wrong = sim_.dice.chance(sim_.menu.exec_fails);
    sim_.agenda.in(sim_.dice.time(milliseconds(0), milliseconds(300)), [this, path, pid, wrong] {
      pid_files_[path] = wrong ? static_cast<int>(sim_.dice.between(2, 99)) : pid;
    });
    const bool well = !sim_.dice.chance(sim_.menu.exec_fails);
    end_in(serial, sim_.dice.time(milliseconds(0), milliseconds(400)), exited(well ? 0 : 1));
  });
}

void Computer::live_as_errand(Process& process) {
  const std::uint64_t serial = process.serial;
  if (sim_.dice.chance(sim_.menu.errand_hangs)) return;
  const bool well = !sim_.dice.chance(sim_.menu.errand_fails);
  const Duration takes = sim_.dice.time(milliseconds(0), milliseconds(700));
  if (well && process.plan.host != 0) {
    sim_.agenda.in(takes / 2, [this, serial] {
      const Process* errand = find(serial);
      if (errand != nullptr && errand->stage == Process::Stage::live) restart_run(*errand);
    });
  }
  end_in(serial, takes, exited(well ? 0 : 1));
}

/// What the stop and restart commands of a watch do to it.
void Computer::restart_run(const Process& errand) {
  if (errand.plan.purpose != Purpose::stop && errand.plan.purpose != Purpose::restart) return;
  std::vector<std::uint64_t> mains;
  for (const auto& [serial, process] : processes_)
    if (process.plan.run == errand.plan.host && process.stage == Process::Stage::live)
      mains.push_back(serial);
  const bool replace = errand.plan.purpose == Purpose::restart && sim_.dice.chance(0.5);
  if (errand.plan.purpose == Purpose::restart && !replace) return;
  if (mains.empty()) return;
  if (replace) {
    const Process& old = processes_.at(mains.front());
    Process& successor = make(Plan(old.plan), old.tag);
    successor.stage = Process::Stage::live;
    successor.exec_at = sim_.agenda.now();
    draw_manners(successor);
    const std::uint64_t serial = successor.serial;
    live_as_worker(successor, milliseconds(50));
    if (const std::string& path = find(serial)->plan.pid_file; !path.empty())
      pid_files_[path] = find(serial)->pid;
  }
  for (const std::uint64_t serial : mains)
    end_in(serial, sim_.dice.time(milliseconds(1), seconds(1)), exited(0));
}

}  // namespace supv::sim
