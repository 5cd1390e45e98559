#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/memo.h"
#include "keeper/record.h"
#include "tests/sim/sim.h"

namespace supv::sim {

/// What a spawn's plan says, as far as a simulated process can tell.
struct Plan {
  wire::Run run = 0;
  wire::Run host = 0;
  std::string watch;  ///< Empty: the brain.
  Purpose purpose = Purpose::main;
  bool notify = false;
  Duration watchdog{0};
  std::string pid_file;
  bool whole_tree = true;
};

/// One process. Dead ones are zombies while their parent is the keeper that made them.
struct Process {
  enum class Stage : std::uint8_t { gated, executing, live, zombie };
  int pid = 0;
  std::uint64_t serial = 0;  ///< Never used twice.
  std::uint64_t start_time = 0;
  std::uint64_t inode = 0;
  std::uint64_t parent = 0;  ///< Number of the keeper that is its parent; 0: init.
  std::uint64_t tag = 0;     ///< Its tree.
  int group = 0;
  bool leader = false;  ///< Made by the keeper: not by another process of the run.
  Stage stage = Stage::gated;
  wire::Status status{};
  wire::Step failed_step = wire::Step::none;  ///< exec failed there.
  bool exec_known = false;                    ///< exec happened, or failed, or it ended before.
  Plan plan;
  Time forked_at{};
  Time exec_at{};

  // Its script.
  bool ignores_term = false;
  Duration takes_term{0};
  Duration uninterruptible{0};
  bool dying = false;
  bool serving = false;
  bool alive() const { return stage != Stage::zombie; }
  bool stranger() const { return plan.run == 0 && !brain(); }
  bool brain() const { return leader && plan.watch.empty(); }
};

/// The machine under everything: processes and the records on its tmpfs. Survives every supvd.
class Computer {
 public:
  /// What others hear of.
  struct Ears {
    std::function<void(const Process&)> executed;  ///< The program's first instruction.
    std::function<void(const Process&)> ended;
    std::function<void(const Process&)> exec_settled;
    std::function<void(const Process&, int signal)> signalled;
    std::function<void(wire::Run run, bool ready)> notified;  ///< READY=1, else WATCHDOG=1.
  };
  Computer(Sim& sim, Ears ears) : sim_(sim), ears_(std::move(ears)) {}

  /// errno when it cannot be had.
  int fork(const Plan& plan, std::uint64_t tag, std::uint64_t keeper, Process*& made);
  void open_gate(std::uint64_t serial);
  void shut_gate(std::uint64_t serial);
  void signal(Process& process, int signal);
  /// kill -9 by fate: nobody is asked.
  void crash(Process& process);
  /// Takes a zombie away.
  void reap(std::uint64_t serial);
  /// How a process that is no more has ended.
  wire::Status obituary(std::uint64_t serial) const;
  /// An orphan of its tree falls to the keeper, which is a subreaper.
  void becomes_child(Process& process, std::uint64_t keeper);
  Process* find(std::uint64_t serial);
  Process* find_pid(int pid);
  const std::map<std::uint64_t, Process>& processes() const { return processes_; }
  std::map<std::uint64_t, Process>& processes() { return processes_; }
  std::uint64_t new_tag() { return ++last_tag_; }
  /// Whether something of the run serves (tcp, file).
  bool serving(wire::Run run) const;
  int pid_in_file(const std::string& path) const;

  /// kill -9 of the keeper: closed gates end their children, init adopts the rest.
  void keeper_died(std::uint64_t keeper);
  /// A child of a dead keeper still stands at its gate.
  bool gates_pending() const;
  /// Power cut.
  void reboot();
  std::uint64_t boot() const { return boot_; }

  /// A process of nobody: takes up a pid for a while.
  void stranger();

  /// The records, by slot.
  std::vector<std::optional<Record>> records = std::vector<std::optional<Record>>(128);

 private:
  int free_pid();
  Process& make(const Plan& plan, std::uint64_t tag);
  void exec(std::uint64_t serial);
  void live(std::uint64_t serial);
  void live_as_errand(Process& process);
  void live_as_daemon(std::uint64_t serial);
  void live_as_worker(Process& process, Duration ready);
  void keep_alive(std::uint64_t serial);
  void give_children(Process& process);
  void end_in(std::uint64_t serial, Duration delay, wire::Status status);
  void end(Process& process, wire::Status status);
  void draw_manners(Process& process);
  void restart_run(const Process& errand);

  Sim& sim_;
  Ears ears_;
  std::map<std::uint64_t, Process> processes_;
  std::map<std::string, int> pid_files_;
  std::map<std::uint64_t, wire::Status> obituaries_;
  std::uint64_t last_serial_ = 0;
  std::uint64_t last_tag_ = 0;
  std::uint64_t boot_ = 1;
  int last_pid_ = 1;
};

inline constexpr wire::Status exited(int code) { return {1, code, 0, 0}; }
inline constexpr wire::Status killed_by(int signal) { return {2, signal, 0, 0}; }
/// "3 exit 1" and the like, for traces.
std::string show(const Process& process);

}  // namespace supv::sim
