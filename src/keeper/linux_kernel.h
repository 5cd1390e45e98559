#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "keeper/cgroup_trees.h"
#include "keeper/exec_child.h"
#include "keeper/kernel.h"
#include "keeper/tag.h"

namespace supv {

/// The real machine. Allocates while it is being made; never afterwards.
class LinuxKernel final : public Kernel {
 public:
  struct Settings {
    std::string runtime_dir;
    int lock = -1;        ///< Closed in each child once its gate has opened.
    int listener = -1;    ///< The brain's descriptor 4.
    int brain_plan = -1;  ///< What the brain is launched with.
    std::uint32_t slots = 0;
    rlimit files{};  ///< For children: RLIMIT_NOFILE as supvd found it.
  };
  /// Throws std::system_error when the runtime directory cannot be used.
  explicit LinuxKernel(const Settings& settings);
  ~LinuxKernel() override;
  LinuxKernel(const LinuxKernel&) = delete;
  LinuxKernel& operator=(const LinuxKernel&) = delete;

  Clocks now() override;
  Machine machine() override { return machine_; }
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
  int take(Life& life) override;
  void unwatch(const Life& life) override;
  int store(std::uint32_t slot, const int* fds, std::uint32_t count) override;
  std::uint32_t stored(std::uint32_t slot) override;
  void release(std::uint32_t slot) override;
  int open_channel(Launch& launch) override;
  void close_channel() override;
  Sent send(const void* message, std::size_t size, std::uint32_t with_stored) override;
  void complain(const char* what, wire::Run run, int error) override;

  // --- for the loop ---
  /// What an epoll event is about.
  struct Source {
    enum class Kind : std::uint8_t { other, child, exec, channel };
    Kind kind = Kind::other;
    std::uint32_t slot = 0;
  };
  int epoll() const { return epoll_.get(); }
  /// Adds a descriptor of the loop's own; its events have kind `other`.
  void watch_other(int fd);
  /// What the event's data stands for; nothing if it is about something that is no more (an event
  /// may outlive its descriptor).
  bool source_of(std::uint64_t data, Source& source) const;
  /// Takes one packet from the channel. Size 0: the other end is closed; -1: nothing there.
  long receive(void* into, std::size_t size, int* fds, std::uint32_t& fd_count);
  /// Whether to look for packets, or for room.
  void channel_wants(bool reading, bool writing);
  /// Whether some main process can only be watched by looking at it now and then.
  bool must_poll() const { return unwatchable_ != 0; }
  /// For a re-execution: the numbers of a slot's stored descriptors, and giving them back.
  std::uint32_t stored_fds(std::uint32_t slot, int* fds) const;
  void restore_stored(std::uint32_t slot, const int* fds, std::uint32_t count);
  void leave_trees() const { trees_.leave(); }

 private:
  struct Held;
  struct Sweep;
  Held& held(const Life& life);
  void open_records();
  int spawn(Life& life, const ChildSetup& setup, int& pidfd);
  bool watch(const Life& life, int pidfd);
  void drop_line(Held& held);
  bool in_tree(const Life& life, std::int32_t pid) const;
  bool move_in(Life& life, std::int32_t pid) const;
  void each_of_tree(const Life& life, Sweep& sweep) const;
  std::uint64_t key(Source::Kind kind, std::uint32_t slot, std::uint32_t serial) const;

  const Settings settings_;
  const Features features_;
  Machine machine_;
  Fd runtime_;
  Fd records_;
  Fd epoll_;
  Fd proc_;
  CgroupTrees trees_;
  TagSource tags_;
  bool reset_oom_ = false;
  Held* table_ = nullptr;  ///< One for each slot; zero pages until used.
  std::uint64_t records_size_ = 0;
  std::uint32_t serial_ = 0;
  std::uint32_t unwatchable_ = 0;
  Fd channel_;
  Fd brain_end_;           ///< Between open_channel and fork_gated.
  int brain_fds_[2] = {};  ///< What the brain's Launch points to.
  std::uint32_t channel_serial_ = 0;
};

}  // namespace supv
