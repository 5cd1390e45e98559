#pragma once

#include <supv/condition.h>

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "core/messages.h"
#include "core/protocol.h"

namespace supv {

/// How to find the processes of a run.
struct RunTree {
  int pid = 0;         ///< The tracked process; 0: none any more.
  std::string cgroup;  ///< Its cgroup's directory; empty: it has none, the tag is looked for.
  /// Hard RLIMIT_LOCKS that processes of this run carry: first <= limit <= last. 0, 0: no tag.
  std::uint64_t first_tag = 0;
  std::uint64_t last_tag = 0;
};

/// Memory and CPU of runs, from /proc. Each process is read once per instant, however many
/// conditions ask; runs without a cgroup share one walk over /proc.
class Usage {
 public:
  using TreeOf = std::function<const RunTree*(RunId run)>;
  /// `tree_of` knows the runs (null: not this one); `proc` is another directory only in tests.
  explicit Usage(TreeOf tree_of, std::string proc = "/proc");

  /// What a run's tree or its tracked process uses at `now`; empty when there is none. `now` is
  /// World::now: what was read at the same instant is not read again.
  std::optional<supv_usage> read(Time now, RunId run, supv_scope scope, bool with_pss);
  /// The processes of a run's tree, or its tracked one, at `now`; sorted, without zombies.
  std::vector<int> pids(Time now, RunId run, supv_scope scope);
  /// For status. The CPU is that since the sample before, at least half a second ago.
  protocol::Used used(Time now, RunId run);
  /// `guest` is about to be put into the tree of `host`, by nobody who is in it.
  void expect(RunId guest, RunId host);
  /// The run, or the guest, has ended.
  void forget(RunId run);
  /// Files of processes read so far: what a poll costs.
  std::uint64_t reads() const { return reads_; }

 private:
  struct Process {
    std::uint64_t started = 0;
    std::uint64_t own_ns = 0;       // user + system
    std::uint64_t children_ns = 0;  // of its children that have ended and were waited for
    std::uint64_t rss = 0;
    std::uint64_t threads = 0;
    bool zombie = false;
  };
  using Processes = std::vector<std::pair<int, Process>>;  // Sorted by pid.
  /// CPU time that never goes back, although processes come and go.
  struct Ledger {
    std::optional<Time> at;
    Processes last;
    std::uint64_t total_ns = 0;
    void add(Time now, Processes processes);
  };
  /// Who is in a cgroup. Only those who are in it add to it, and nobody does who has not run since
  /// before it was listed: asking a process's clock costs a quarter of a listing.
  using Clocks = std::array<std::int64_t, 2>;  // More cost as much as a listing.
  struct Listing {
    Fd cgroup;  // Kept, with its cgroup.procs: most of what a look costs is the way to a file.
    Fd procs;
    std::string path;
    std::vector<int> pids;
    std::optional<Clocks> clocks;  // Of pids, from before they were listed.
    Time at{};
    int guests = 0;           // Runs that are put in from outside.
    std::uint8_t pause = 0;   // Looks at which clocks are not asked: it never rests.
    std::uint8_t paused = 0;  // How many there were the last time.
  };
  struct Account {
    Ledger tree;
    Ledger process;
    Listing listing;
    std::optional<Time> sampled;
    std::uint64_t sampled_ns = 0;
    std::optional<double> percent;
  };

  void turn_to(Time now);
  const std::optional<Process>& process(int pid);
  const std::optional<Process>* kept_process(int pid);
  static std::optional<Process> parse(std::string_view stat);
  std::string_view read_of(int pid, const char* name, std::span<char> room);
  void drop_unused(Time now);
  std::uint64_t pss_of(int pid, const Process& process);
  void look(Time now, const RunTree& tree, supv_scope scope, Account& account);
  static std::uint64_t age_of(const Processes& processes, int pid);
  Processes members(Account& account, const RunTree& tree, supv_scope scope);
  const std::vector<int>& list(Listing& listing, const std::string& cgroup) const;
  bool rests(Listing& listing, const std::optional<Clocks>& clocks) const;
  static std::optional<Clocks> clocks_of(const std::vector<int>& pids);
  const std::vector<std::pair<std::uint64_t, int>>& tagged();
  std::optional<std::uint64_t> tag_of(int pid);

  TreeOf tree_of_;
  std::string proc_;
  Fd proc_fd_;
  std::uint64_t reads_ = 0;
  /// Descriptors of /proc/PID/stat. One that was kept belongs to its process for good: once that
  /// is gone nothing can be read from it, whoever has the pid.
  struct Kept {
    Fd stat;
    Time used{};
    std::optional<Process> read;  // At `used`.
  };
  std::unordered_map<int, Kept> kept_;
  std::size_t most_kept_ = 0;
  Time dropped_{};
  std::optional<Time> now_;
  // What was read at now_; of processes whose descriptor is not kept.
  std::unordered_map<int, std::optional<Process>> seen_;
  std::unordered_map<int, std::uint64_t> pss_;
  std::vector<std::pair<std::uint64_t, int>> tagged_;  // Tag and pid, sorted.
  bool walked_ = false;
  /// A tag cannot be dropped: who had one at an earlier walk has it as long as it lives.
  struct Tagged {
    std::uint64_t tag = 0;
    std::uint64_t started = 0;
    bool sure = false;  ///< Seen at two walks: at the first it may not have had its own tag yet.
  };
  std::unordered_map<int, Tagged> known_;

  std::unordered_map<RunId, Account> accounts_;
  std::unordered_map<RunId, RunId> guests_;  // And whose tree they are in.
};

}  // namespace supv
