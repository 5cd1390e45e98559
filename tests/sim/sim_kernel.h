#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "keeper/kernel.h"
#include "tests/sim/computer.h"
#include "tests/sim/line.h"

namespace supv::sim {

/// What one keeper holds of the computer: its children's handles, gates, and the brain's line. Dies
/// with it; every call may be its last (KeeperKilled), before or after its effect.
class SimKernel final : public Kernel {
 public:
  struct Ears {
    std::function<void(std::uint32_t slot)> child_ended;   ///< To be told to the keeper, later.
    std::function<void(std::uint32_t slot)> exec_settled;  ///< The same.
    std::function<void()> sent;                            ///< Something lies in the line.
  };
  SimKernel(Sim& sim, Computer& computer, Line& line, const std::vector<Plan>& plans,
            std::uint64_t number, Ears ears);

  /// News of the computer: if it is about a watched process, the keeper is to be told.
  void on_ended(const Process& process);
  void on_exec_settled(const Process& process);
  std::uint64_t number() const { return number_; }

  Clocks now() override;
  Machine machine() override;
  std::uint32_t record_count() override;
  bool load(std::uint32_t slot, Record& record) override;
  int save(std::uint32_t slot, const Record& record) override;
  int make_tree(Life& life) override;
  void remove_tree(const Life& life) override;
  Left count_tree(const Life& life) override;
  void signal_tree(const Life& life, int signal) override;
  void kill_tree(const Life& life) override;
  void sweep_unrecorded(Owned owned, const void* keeper) override;
  int fork_gated(Life& life, const Launch& launch) override;
  int open_gate(const Life& life) override;
  void shut_gate(const Life& life) override;
  ExecOutcome exec_outcome(const Life& life) override;
  void signal_main(const Life& life, int signal) override;
  void signal_group(const Life& life, int signal) override;
  bool has_ended(const Life& life) override;
  wire::Status reap(const Life& life) override;
  Adoption adopt(const Life& life) override;
  int follow(Life& life, std::int32_t pid) override;
  int take(Life&) override { return ESRCH; }  ///< Nobody else starts anything here.
  void unwatch(const Life& life) override;
  int store(std::uint32_t slot, const int* fds, std::uint32_t count) override;
  std::uint32_t stored(std::uint32_t slot) override;
  void release(std::uint32_t slot) override;
  int open_channel(Launch& launch) override;
  void close_channel() override;
  Sent send(const void* message, std::size_t size, std::uint32_t with_stored) override;
  void complain(const char* what, wire::Run run, int error) override;

 private:
  struct Held {
    std::uint64_t serial = 0;  ///< The watched process; 0: none.
    bool exec_line = false;    ///< This keeper hears how exec went.
    std::uint32_t stored = 0;
  };
  /// One effect boundary: the keeper may die before `deed`, or after it.
  template <typename Deed>
  auto boundary(Deed&& deed);
  void maybe_die();
  Held& held(const Life& life) { return held_[wire::slot_of(life.run)]; }
  Process* watched(const Life& life);
  std::vector<std::uint64_t> members(std::uint64_t tag);
  void send_signal(std::uint64_t serial, int signal);

  Sim& sim_;
  Computer& computer_;
  Line& line_;
  const std::vector<Plan>& plans_;
  std::uint64_t number_;
  Ears ears_;
  std::map<std::uint32_t, Held> held_;
};

}  // namespace supv::sim
