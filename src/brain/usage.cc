#include "brain/usage.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "brain/proc_file.h"

namespace supv {
namespace {

// Below this the clock tick (10 ms) is too coarse for a percentage.
constexpr auto kShortest = std::chrono::milliseconds(500);
/// Longer than most intervals of conditions.
constexpr auto kUnused = std::chrono::minutes(5);

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
    const auto before = last.find(pid);
    if (before != last.end() && before->second.started == process.started) {
      own += growth(before->second.own_ns, process.own_ns);
      inherited += growth(before->second.children_ns, process.children_ns);
    } else {
      own += process.own_ns + process.children_ns;
    }
  }
  for (const auto& [pid, process] : last) {
    const auto after = processes.find(pid);
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

const std::optional<Usage::Process>& Usage::process(int pid) {
  const auto [found, fresh] = seen_.try_emplace(pid);
  if (!fresh) return found->second;
  std::array<char, 1024> room;
  const auto stat = procfs::parse_stat(read_stat(pid, room));
  if (!stat) return found->second;
  found->second = Process{stat->started,
                          stat->own_ticks * tick_ns(),
                          stat->children_ticks * tick_ns(),
                          stat->rss_pages * page_size(),
                          stat->threads,
                          stat->state == 'Z' || stat->state == 'X'};
  return found->second;
}

std::string_view Usage::read_stat(int pid, std::span<char> room) {
  ++reads_;
  const auto kept = kept_.find(pid);
  if (kept != kept_.end()) {
    const ssize_t count = ::pread(kept->second.stat.get(), room.data(), room.size(), 0);
    kept->second.used = *now_;
    if (count > 0) return {room.data(), static_cast<std::size_t>(count)};
    kept_.erase(kept);
  }
  std::array<char, 64> path;
  std::snprintf(path.data(), path.size(), "%d/stat", pid);
  Fd fd(::openat(proc_fd_.get(), path.data(), O_RDONLY | O_CLOEXEC));
  const ssize_t count = fd ? ::pread(fd.get(), room.data(), room.size(), 0) : -1;
  if (count > 0 && kept_.size() < most_kept_) kept_[pid] = {std::move(fd), *now_};
  return {room.data(), count < 0 ? 0 : static_cast<std::size_t>(count)};
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

Usage::Processes Usage::members(Account& account, const RunTree& tree, supv_scope scope) {
  Processes found;
  const auto add = [&](int pid) {
    if (const std::optional<Process>& read = process(pid)) found.emplace(pid, *read);
  };
  if (tree.pid != 0) add(tree.pid);
  if (scope == SUPV_SCOPE_PROCESS) return found;
  if (!tree.cgroup.empty()) {
    if (!account.cgroup || account.cgroup_path != tree.cgroup) {
      account.cgroup.reset(::open(tree.cgroup.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      account.procs.reset(::openat(account.cgroup.get(), "cgroup.procs", O_RDONLY | O_CLOEXEC));
      account.cgroup_path = tree.cgroup;
    }
    for (const int pid : procfs::cgroup_pids(account.cgroup.get(), account.procs.get())) add(pid);
  } else if (tree.last_tag != 0) {
    const auto& all = tagged();
    auto at = std::lower_bound(all.begin(), all.end(), std::pair(tree.first_tag, 0));
    for (; at != all.end() && at->first <= tree.last_tag; ++at) add(at->second);
  }
  return found;
}

void Usage::look(Time now, const RunTree& tree, supv_scope scope, Account& account) {
  Processes processes = members(account, tree, scope);
  if (scope == SUPV_SCOPE_TREE) return account.tree.add(now, std::move(processes));
  Ledger& ledger = account.process;
  for (auto& [pid, process] : processes) {
    process.children_ns = 0;
    // Tracking moved to a process that had long been running: it starts from here.
    if (!ledger.last.empty() && !ledger.last.contains(pid)) ledger.last = {{pid, process}};
  }
  ledger.add(now, std::move(processes));
}

std::optional<supv_usage> Usage::read(Time now, RunId run, supv_scope scope, bool with_pss) {
  turn_to(now);
  const auto known = accounts_.find(run);
  const bool tree = scope == SUPV_SCOPE_TREE;
  if (known == accounts_.end() || (tree ? known->second.tree : known->second.process).at != now) {
    const std::optional<RunTree> found = tree_of_(run);
    if (!found) return std::nullopt;
    look(now, *found, scope, accounts_[run]);
  }
  const Account& account = accounts_[run];
  const Ledger& ledger = tree ? account.tree : account.process;
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

void Usage::forget(RunId run) { accounts_.erase(run); }

}  // namespace supv
