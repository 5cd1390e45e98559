#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Readers of /proc and of cgroup directories. Whatever the files contain, or if they are gone by
/// now: an empty answer, never an error.
namespace supv::procfs {

/// A small file whole (at most 64 KiB); empty when it cannot be read.
std::optional<std::string> read_file(const std::string& path);

/// The beginning of a file below the directory `at`, by one system call beside open and close.
/// The text lies in `room`; empty when it cannot be read.
std::string_view read_at(int at, const char* path, std::span<char> room);

/// What /proc/PID/stat says. A command's name may contain spaces and parentheses.
struct Stat {
  char state = '?';
  std::uint64_t own_ticks = 0;       ///< utime + stime
  std::uint64_t children_ticks = 0;  ///< cutime + cstime
  std::uint64_t threads = 0;
  std::uint64_t started = 0;  ///< Ticks since boot.
  std::uint64_t rss_pages = 0;
};
std::optional<Stat> parse_stat(std::string_view text);
/// Bytes, of /proc/PID/smaps_rollup.
std::optional<std::uint64_t> parse_pss(std::string_view text);
/// The hard limit of file locks, of /proc/PID/limits; empty when it is unlimited.
std::optional<std::uint64_t> parse_lock_limit(std::string_view text);

/// Calls `take` for each entry of a directory that is a number.
void each_pid(const std::string& proc, const std::function<void(int pid)>& take);
/// The processes of a cgroup and of those below it, by descriptors of its directory and of the
/// cgroup.procs in it.
std::vector<int> cgroup_pids(int directory, int procs);

}  // namespace supv::procfs
