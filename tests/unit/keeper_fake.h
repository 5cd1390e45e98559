#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "keeper/kernel.h"

/// A machine in memory, small enough to see through. Tests change it as they like and read `log`.
namespace supv {

class FakeKernel : public Kernel {
 public:
  struct Process {
    wire::Run tree = 0;  ///< 0: in none.
    bool main = false;
    bool ended = false;
    bool unkillable = false;
    bool ignores_term = false;
    wire::Status status{};
  };

  // What the test arranges and looks at.
  std::int64_t clock = 1'000'000'000;
  std::vector<Record> saved;
  std::map<int, Process> processes;
  std::vector<std::string> log;  ///< Every effect that matters, in order.
  std::vector<std::vector<char>> sent;
  std::set<wire::Run> trees;
  std::vector<int> adopted;
  std::map<std::uint32_t, ExecOutcome> outcomes;
  int next_pid = 100;
  int fork_error = 0;
  int tree_error = 0;
  int save_error = 0;
  int saves_until_error = -1;
  int room = 1'000'000;  ///< For messages.
  int signals_to_strangers = 0;
  bool channel = false;

  template <typename Message>
  std::vector<Message> told(wire::Kind kind) const {
    std::vector<Message> found;
    for (const auto& bytes : sent) {
      if (bytes.size() != sizeof(Message)) continue;
      Message message;
      std::memcpy(&message, bytes.data(), sizeof message);
      if (message.kind == kind) found.push_back(message);
    }
    return found;
  }
  bool did(const std::string& what) const {
    return std::find(log.begin(), log.end(), what) != log.end();
  }
  void end(int pid, wire::Status status) {
    processes.at(pid).ended = true;
    processes.at(pid).status = status;
  }

  Clocks now() override { return {clock, clock / 1'000'000}; }
  Machine machine() override { return {1, 2, 3}; }
  std::uint32_t record_count() override { return static_cast<std::uint32_t>(saved.size()); }
  bool load(std::uint32_t slot, Record& record) override {
    if (slot >= saved.size()) return false;
    record = saved[slot];
    return true;
  }
  int save(std::uint32_t slot, const Record& record) override {
    if (saves_until_error == 0) return save_error;
    if (saves_until_error > 0) --saves_until_error;
    if (slot >= saved.size()) saved.resize(slot + 1);
    saved[slot] = record;
    say("save", slot, static_cast<int>(record.phase));
    return 0;
  }
  int make_tree(Life& life) override {
    if (tree_error != 0) return tree_error;
    life.tag = ++tag_;
    life.tree = 1;
    trees.insert(life.run);
    say("tree", wire::slot_of(life.run));
    return 0;
  }
  void remove_tree(const Life& life) override { trees.erase(life.run); }
  Left count_tree(const Life& life) override {
    Left left;
    for (const auto& [pid, process] : processes)
      if (process.tree == life.run && !process.ended) left = {left.count + 1, pid};
    return left;
  }
  void signal_tree(const Life& life, int signal) override {
    say("signal_tree", wire::slot_of(life.run), signal);
    for (auto& [pid, process] : processes)
      if (process.tree == life.run) deliver(process, signal);
  }
  void kill_tree(const Life& life) override {
    say("kill_tree", wire::slot_of(life.run));
    for (auto& [pid, process] : processes)
      if (process.tree == life.run) deliver(process, 9);
  }
  void sweep_unrecorded(Owned owned, const void* keeper) override {
    for (auto& [pid, process] : processes)
      if (process.tree != 0 && !owned(keeper, process.tree)) deliver(process, 9);
  }
  int fork_gated(Life& life, const Launch&) override {
    if (fork_error != 0) return fork_error;
    life.pid = next_pid++;
    life.start_time = static_cast<std::uint64_t>(clock / 10'000'000);
    if (life.since == 0) life.since = life.start_time;
    Process process;
    process.tree = life.host != 0 ? life.host : life.run;
    process.main = true;
    processes[life.pid] = process;
    if (life.run == 0) outcomes[0].what = ExecOutcome::What::done;
    say("fork", wire::slot_of(life.run));
    return 0;
  }
  int open_gate(const Life& life) override {
    say("gate", wire::slot_of(life.run));
    return 0;
  }
  void shut_gate(const Life& life) override {
    say("shut", wire::slot_of(life.run));
    end(life.pid, {1, 0, 0, 0});
  }
  ExecOutcome exec_outcome(const Life& life) override {
    ExecOutcome outcome = outcomes[wire::slot_of(life.run)];
    if (outcome.what == ExecOutcome::What::pending && processes.at(life.pid).ended)
      outcome.what = ExecOutcome::What::done;
    return outcome;
  }
  void signal_main(const Life& life, int signal) override {
    say("signal", wire::slot_of(life.run), signal);
    const auto found = processes.find(life.pid);
    if (found == processes.end()) {
      ++signals_to_strangers;
      return;
    }
    deliver(found->second, signal);
  }
  void signal_group(const Life& life, int signal) override {
    say("group", wire::slot_of(life.run), signal);
    if (const auto found = processes.find(life.pid); found != processes.end())
      deliver(found->second, signal);
  }
  bool has_ended(const Life& life) override {
    const auto found = processes.find(life.pid);
    return found == processes.end() || found->second.ended;
  }
  wire::Status reap(const Life& life) override {
    say("reap", wire::slot_of(life.run));
    const auto found = processes.find(life.pid);
    if (found == processes.end()) return {3, 0, 0, 0};
    const wire::Status status = found->second.status;
    processes.erase(found);
    return status;
  }
  Adoption adopt(const Life& life) override {
    Adoption adoption;
    adoption.status.how = 3;
    const auto found = processes.find(life.pid);
    if (found == processes.end() || !found->second.main) return adoption;
    adopted.push_back(life.pid);
    adoption.what = Adoption::What::same;
    return adoption;
  }
  int take(Life& life) override {
    const auto found = processes.find(life.pid);
    if (found == processes.end() || found->second.ended) return ESRCH;
    found->second.tree = life.run;
    found->second.main = true;
    say("take", wire::slot_of(life.run), life.pid);
    return 0;
  }
  int follow(Life& life, std::int32_t pid) override {
    const auto found = processes.find(pid);
    if (found == processes.end() || found->second.ended) return ESRCH;
    if (found->second.tree != life.run) return EPERM;
    life.pid = pid;
    found->second.main = true;
    return 0;
  }
  void unwatch(const Life&) override {}
  int store(std::uint32_t slot, const int*, std::uint32_t count) override {
    stored_[slot] = count;
    return 0;
  }
  std::uint32_t stored(std::uint32_t slot) override { return stored_[slot]; }
  void release(std::uint32_t slot) override {
    stored_.erase(slot);
    outcomes.erase(slot);
  }
  int open_channel(Launch&) override {
    channel = true;
    return 0;
  }
  void close_channel() override { channel = false; }
  Sent send(const void* message, std::size_t size, std::uint32_t) override {
    if (!channel) return Sent::broken;
    if (room <= 0) return Sent::full;
    --room;
    const auto* bytes = static_cast<const char*>(message);
    sent.emplace_back(bytes, bytes + size);
    return Sent::yes;
  }
  void complain(const char* what, wire::Run, int) override { log.emplace_back(what); }

 private:
  void say(const char* what, std::uint32_t slot, int value = -1) {
    log.push_back(std::string(what) + " " + std::to_string(slot) +
                  (value < 0 ? "" : " " + std::to_string(value)));
  }
  void deliver(Process& process, int signal) {
    if (process.ended || process.unkillable) return;
    if (signal == 15 && process.ignores_term) return;
    if (signal != 9 && signal != 15) return;
    process.ended = true;
    process.status = {2, signal, 0, 0};
  }

  std::uint64_t tag_ = 0;
  std::map<std::uint32_t, std::uint32_t> stored_;
};

}  // namespace supv
