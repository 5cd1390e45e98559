#include "brain/usage.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "brain/proc_file.h"

namespace supv {
namespace {

// Below this the clock tick (10 ms) is too coarse for a percentage.
constexpr auto kShortest = std::chrono::milliseconds(500);
/// Longer than most intervals of conditions.
constexpr auto kUnused = std::chrono::minutes(5);
/// So long a cgroup is not listed again while nobody in it runs.
constexpr auto kTrusted = std::chrono::seconds(10);
constexpr int kMostPaused = 15;

/// So many descriptors may be kept: a part of those that we may have.
std::size_t most_kept() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<std::size_t>(limit.rlim_cur / 4) : 0;
}

std::uint64_t tick_ns() {
  static const long kPerSecond = ::sysconf(_SC_CLK_TCK);
  return 1'000'000'000ULL / static_cast<std::uint64_t>(kPerSecond > 0 ? kPerSecond : 100);
}

std::uint64_t page_size() {
  static const long kBytes = ::sysconf(_SC_PAGESIZE);
  return static_cast<std::uint64_t>(kBytes > 0 ? kBytes : 4096);
}

std::uint64_t growth(std::uint64_t before, std::uint64_t now) {
  return now > before ? now - before : 0;
}

template <typename Entries>
auto entry_of(Entries& entries, int pid) {
  const auto at =
      std::lower_bound(entries.begin(), entries.end(), pid,
                       [](const auto& entry, int wanted) { return entry.first < wanted; });
  return at != entries.end() && at->first == pid ? at : entries.end();
}

}  // namespace

Usage::Usage(TreeOf tree_of, std::string proc)
    : tree_of_(std::move(tree_of)),
      proc_(std::move(proc)),
      proc_fd_(::open(proc_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
      // Only the kernel's own files say by an error that their process is gone.
      most_kept_(proc_ == "/proc" ? most_kept() : 0) {}

/// What a process that ended had used moves into its parent's `children_ns` if that waited for it;
/// how much of that was counted while it lived is `vanished`. So nothing counts twice, a child that
/// lived between two readings counts whole, and one that somebody outside waited for counts as far
/// as it was seen.
void Usage::Ledger::add(Time now, Processes processes) {
  std::uint64_t own = 0;
  std::uint64_t inherited = 0;
  std::uint64_t vanished = 0;
  for (const auto& [pid, process] : processes) {
    const auto before = entry_of(last, pid);
    if (before != last.end() && before->second.started == process.started) {
      own += growth(before->second.own_ns, process.own_ns);
      inherited += growth(before->second.children_ns, process.children_ns);
    } else {
      own += process.own_ns + process.children_ns;
    }
  }
  for (const auto& [pid, process] : last) {
    const auto after = entry_of(processes, pid);
    if (after == processes.end() || after->second.started != process.started) {
      vanished += process.own_ns + process.children_ns;
    }
  }
  total_ns += own + growth(vanished, inherited);
  last = std::move(processes);
  at = now;
}

void Usage::turn_to(Time now) {
  if (now_ == now) return;
  now_ = now;
  drop_unused(now);
  seen_.clear();
  pss_.clear();
  tagged_.clear();
  walked_ = false;
}

std::optional<Usage::Process> Usage::parse(std::string_view text) {
  const auto stat = procfs::parse_stat(text);
  if (!stat) return std::nullopt;
  return Process{stat->started,
                 stat->own_ticks * tick_ns(),
                 stat->children_ticks * tick_ns(),
                 stat->rss_pages * page_size(),
                 stat->threads,
                 stat->state == 'Z' || stat->state == 'X'};
}

/// Null: no descriptor is kept, or its process is gone.
const std::optional<Usage::Process>* Usage::kept_process(int pid) {
  const auto kept = kept_.find(pid);
  if (kept == kept_.end()) return nullptr;
  Kept& entry = kept->second;
  if (entry.used == *now_) return &entry.read;
  ++reads_;
  std::array<char, 1024> room;
  const ssize_t count = ::pread(entry.stat.get(), room.data(), room.size(), 0);
  if (count <= 0) {
    kept_.erase(kept);
    return nullptr;
  }
  entry.used = *now_;
  entry.read = parse({room.data(), static_cast<std::size_t>(count)});
  return &entry.read;
}

const std::optional<Usage::Process>& Usage::process(int pid) {
  if (const std::optional<Process>* read = kept_process(pid)) return *read;
  const auto [found, fresh] = seen_.try_emplace(pid);
  if (!fresh) return found->second;
  ++reads_;
  std::array<char, 1024> room;
  std::array<char, 64> path;
  std::snprintf(path.data(), path.size(), "%d/stat", pid);
  Fd fd(::openat(proc_fd_.get(), path.data(), O_RDONLY | O_CLOEXEC));
  const ssize_t count = fd ? ::pread(fd.get(), room.data(), room.size(), 0) : -1;
  if (count <= 0) return found->second;
  found->second = parse({room.data(), static_cast<std::size_t>(count)});
  if (kept_.size() < most_kept_) kept_[pid] = {std::move(fd), *now_, found->second};
  return found->second;
}

/// Those of processes that nobody has asked about for a while.
void Usage::drop_unused(Time now) {
  if (now - dropped_ < kUnused) return;
  dropped_ = now;
  std::erase_if(kept_, [now](const auto& entry) { return now - entry.second.used > kUnused; });
}

std::string_view Usage::read_of(int pid, const char* name, std::span<char> room) {
  ++reads_;
  std::array<char, 64> path;
  std::snprintf(path.data(), path.size(), "%d/%s", pid, name);
  return procfs::read_at(proc_fd_.get(), path.data(), room);
}

/// Where it may not be read the resident size stands in: it is never less.
std::uint64_t Usage::pss_of(int pid, const Process& process) {
  const auto [found, fresh] = pss_.try_emplace(pid, process.rss);
  if (!fresh || process.rss == 0) return found->second;
  std::array<char, 2048> room;
  if (const auto pss = procfs::parse_pss(read_of(pid, "smaps_rollup", room))) found->second = *pss;
  return found->second;
}

std::optional<std::uint64_t> Usage::tag_of(int pid) {
  const auto known = known_.find(pid);
  if (known != known_.end()) {
    // Its numbers are wanted anyway; the start says whether it is still the same process.
    const std::optional<Process>& now = process(pid);
    const bool same = now && now->started == known->second.started;
    if (same && known->second.sure) return known->second.tag;
    if (!same) known_.erase(known);
  }
  std::array<char, 2048> room;
  const auto tag = procfs::parse_lock_limit(read_of(pid, "limits", room));
  if (!tag) return std::nullopt;
  if (const std::optional<Process>& now = process(pid)) {
    Tagged& entry = known_[pid];
    entry = {*tag, now->started, entry.tag == *tag && entry.started == now->started};
  }
  return tag;
}

const std::vector<std::pair<std::uint64_t, int>>& Usage::tagged() {
  if (walked_) return tagged_;
  walked_ = true;
  procfs::each_pid(proc_, [this](int pid) {
    if (const auto tag = tag_of(pid)) tagged_.emplace_back(*tag, pid);
  });
  std::sort(tagged_.begin(), tagged_.end());
  if (known_.size() > 2 * tagged_.size() + 64) {
    std::erase_if(known_, [this](const auto& entry) {
      return !std::binary_search(tagged_.begin(), tagged_.end(),
                                 std::pair(entry.second.tag, entry.first));
    });
  }
  return tagged_;
}

/// CPU time of each, in nanoseconds, as the scheduler counts it; none when one of them is gone.
std::optional<Usage::Clocks> Usage::clocks_of(const std::vector<int>& pids) {
  Clocks clocks{};
  if (pids.empty() || pids.size() > clocks.size()) return std::nullopt;
  for (std::size_t i = 0; i < pids.size(); ++i) {
    // What clock_getcpuclockid() makes, which asks the kernel whether it may.
    const auto clock = static_cast<clockid_t>((~static_cast<unsigned>(pids[i]) << 3U) | 2U);
    timespec used{};
    if (::clock_gettime(clock, &used) != 0) return std::nullopt;
    clocks[i] = static_cast<std::int64_t>(used.tv_sec) * 1'000'000'000 + used.tv_nsec;
  }
  return clocks;
}

/// Nobody of them has run since before they were listed. A tree that does not rest, or is large, is
/// listed without asking.
bool Usage::rests(Listing& listing, const std::optional<Clocks>& clocks) const {
  if (!clocks || !listing.clocks) return false;
  if (clocks != listing.clocks) {
    listing.paused = static_cast<std::uint8_t>(std::min(2 * listing.paused + 1, kMostPaused));
    listing.pause = listing.paused;
    return false;
  }
  listing.paused = 0;
  // From outside only root can put a process in: it is seen then at the latest.
  return listing.guests == 0 && *now_ - listing.at < kTrusted;
}

const std::vector<int>& Usage::list(Listing& listing, const std::string& cgroup) const {
  if (!listing.cgroup || listing.path != cgroup) {
    listing.cgroup.reset(::open(cgroup.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    listing.procs.reset(::openat(listing.cgroup.get(), "cgroup.procs", O_RDONLY | O_CLOEXEC));
    listing.path = cgroup;
    listing.pids.clear();
    listing.clocks.reset();
  }
  std::optional<Clocks> clocks;
  if (listing.pause > 0) {
    --listing.pause;
  } else if (most_kept_ > 0) {
    clocks = clocks_of(listing.pids);
  }
  if (rests(listing, clocks)) return listing.pids;
  std::vector<int> pids = procfs::cgroup_pids(listing.cgroup.get(), listing.procs.get());
  // The clocks of others than those would be from after the listing.
  if (pids != listing.pids) clocks.reset();
  listing.pids = std::move(pids);
  listing.clocks = clocks;
  listing.at = *now_;
  return listing.pids;
}

Usage::Processes Usage::members(Account& account, const RunTree& tree, supv_scope scope) {
  Processes found;
  const auto add = [&](int pid) {
    if (const std::optional<Process>& read = process(pid)) found.emplace_back(pid, *read);
  };
  if (tree.pid != 0) add(tree.pid);
  if (scope == SUPV_SCOPE_PROCESS) return found;
  if (!tree.cgroup.empty()) {
    for (const int pid : list(account.listing, tree.cgroup))
      if (pid != tree.pid) add(pid);
  } else if (tree.last_tag != 0) {
    const auto& all = tagged();
    auto at = std::lower_bound(all.begin(), all.end(), std::pair(tree.first_tag, 0));
    for (; at != all.end() && at->first <= tree.last_tag; ++at)
      if (at->second != tree.pid) add(at->second);
  }
  if (found.size() < 2) return found;
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  // One that moves from one cgroup below to another may be listed in both.
  found.erase(std::unique(found.begin(), found.end(),
                          [](const auto& a, const auto& b) { return a.first == b.first; }),
              found.end());
  return found;
}

/// How long ago the process began; of 0, or one that is gone, 0.
std::uint64_t Usage::age_of(const Processes& processes, int pid) {
  const auto found = entry_of(processes, pid);
  if (found == processes.end()) return 0;
  timespec since_boot{};
  ::clock_gettime(CLOCK_BOOTTIME, &since_boot);
  const auto now = static_cast<std::uint64_t>(since_boot.tv_sec) * 1'000'000'000 +
                   static_cast<std::uint64_t>(since_boot.tv_nsec);
  return growth(found->second.started * tick_ns(), now);
}

void Usage::look(Time now, const RunTree& tree, supv_scope scope, Account& account) {
  Processes processes = members(account, tree, scope);
  if (scope == SUPV_SCOPE_TREE) return account.tree.add(now, std::move(processes));
  Ledger& ledger = account.process;
  for (auto& [pid, process] : processes) {
    process.children_ns = 0;
    // Tracking moved to a process that had long been running: it starts from here.
    if (!ledger.last.empty() && entry_of(ledger.last, pid) == ledger.last.end())
      ledger.last = {{pid, process}};
  }
  ledger.add(now, std::move(processes));
}

std::optional<supv_usage> Usage::read(Time now, RunId run, supv_scope scope, bool with_pss) {
  turn_to(now);
  auto known = accounts_.find(run);
  const bool tree = scope == SUPV_SCOPE_TREE;
  if (known == accounts_.end() || (tree ? known->second.tree : known->second.process).at != now) {
    const RunTree* found = tree_of_(run);
    if (found == nullptr) return std::nullopt;
    if (known == accounts_.end()) known = accounts_.try_emplace(run).first;
    look(now, *found, scope, known->second);
  }
  const Ledger& ledger = tree ? known->second.tree : known->second.process;
  supv_usage usage{};
  usage.size = sizeof usage;
  usage.cpu_ns = ledger.total_ns;
  for (const auto& [pid, process] : ledger.last) {
    if (process.zombie) continue;
    ++usage.processes;
    usage.rss_bytes += process.rss;
    usage.threads += process.threads;
    if (with_pss) usage.pss_bytes += pss_of(pid, process);
  }
  if (usage.processes == 0) return std::nullopt;
  if (const RunTree* found = tree_of_(run)) usage.age_ns = age_of(ledger.last, found->pid);
  return usage;
}

std::vector<int> Usage::pids(Time now, RunId run, supv_scope scope) {
  std::vector<int> found;
  if (!read(now, run, scope, false)) return found;
  const Account& account = accounts_[run];
  const Ledger& ledger = scope == SUPV_SCOPE_TREE ? account.tree : account.process;
  for (const auto& [pid, process] : ledger.last) {
    if (!process.zombie) found.push_back(pid);
  }
  return found;
}

protocol::Used Usage::used(Time now, RunId run) {
  const std::optional<supv_usage> usage = read(now, run, SUPV_SCOPE_TREE, false);
  if (!usage) return {};
  Account& account = accounts_[run];
  if (!account.sampled || now - *account.sampled >= kShortest) {
    if (account.sampled) {
      const auto used = static_cast<double>(usage->cpu_ns - account.sampled_ns);
      const auto passed = static_cast<double>((now - *account.sampled).count());
      account.percent = 100.0 * used / passed;
    }
    account.sampled = now;
    account.sampled_ns = usage->cpu_ns;
  }
  return {usage->rss_bytes, account.percent};
}

void Usage::expect(RunId guest, RunId host) {
  if (guests_.try_emplace(guest, host).second) ++accounts_[host].listing.guests;
}

void Usage::forget(RunId run) {
  accounts_.erase(run);
  const auto guest = guests_.extract(run);
  if (guest.empty()) return;
  const auto host = accounts_.find(guest.mapped());
  if (host == accounts_.end()) return;
  --host->second.listing.guests;
  host->second.listing.clocks.reset();  // What it leaves behind is not in the listing.
}

}  // namespace supv
