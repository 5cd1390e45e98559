#include "brain/proc_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/fd.h"
#include "base/units.h"

namespace supv::procfs {
namespace {

constexpr std::size_t kMaxFile = 64 * 1024;
constexpr int kMaxDepth = 16;  // Of cgroups below a run's own.

struct CloseDir {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDir>;

std::string_view next_word(std::string_view& text) {
  // By hand: find_first_of() asks memchr() about every character.
  const auto is_blank = [](char one) { return one == ' ' || one == '\t'; };
  std::size_t begin = 0;
  while (begin < text.size() && is_blank(text[begin])) ++begin;
  std::size_t end = begin;
  while (end < text.size() && !is_blank(text[end]) && text[end] != '\n') ++end;
  const std::string_view word = text.substr(begin, end - begin);
  text.remove_prefix(end);
  return word;
}

/// What stands behind `name` at the beginning of a line.
std::optional<std::string_view> after(std::string_view text, std::string_view name) {
  std::size_t at = 0;
  while ((at = text.find(name, at)) != std::string_view::npos) {
    if (at == 0 || text[at - 1] == '\n') return text.substr(at + name.size());
    ++at;
  }
  return std::nullopt;
}

std::optional<int> as_pid(std::string_view name) {
  const std::optional<std::uint64_t> pid = parse_unsigned(name);
  return pid && *pid > 0 && *pid <= 0x7fffffff ? std::optional<int>(static_cast<int>(*pid))
                                               : std::nullopt;
}

void add_pids(std::string_view text, std::vector<int>& pids) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (const auto pid = as_pid(text.substr(0, end))) pids.push_back(*pid);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void add_cgroup(int directory, int procs, int depth, std::vector<int>& pids) {
  // Longer than any other file here: read in pieces.
  std::array<char, 4096> bytes;
  std::string text;
  ssize_t count = 0;
  while ((count = ::pread(procs, bytes.data(), bytes.size(), static_cast<off_t>(text.size()))) >
         0) {
    text.append(bytes.data(), static_cast<std::size_t>(count));
    // Nearly always all of it; one question less. The kernel hands out whole lines up to a page.
    if (count < 2048) break;
  }
  add_pids(text, pids);
  // A directory has a link for each one in it, which is cheaper to ask than to list them.
  struct stat about {};
  if (depth >= kMaxDepth || ::fstat(directory, &about) < 0 || about.st_nlink == 2) return;
  Fd again(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Directory listing(again ? ::fdopendir(again.get()) : nullptr);
  if (!listing) return;
  again.release();
  while (const dirent* entry = ::readdir(listing.get())) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    const Fd below(::openat(directory, entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC));
    const Fd list(::openat(below.get(), "cgroup.procs", O_RDONLY | O_CLOEXEC));
    if (below && list) add_cgroup(below.get(), list.get(), depth + 1, pids);
  }
}

}  // namespace

std::optional<std::string> read_file(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  std::array<char, 4096> bytes;
  std::string text;
  ssize_t count = 0;
  while (text.size() < kMaxFile && (count = ::read(fd.get(), bytes.data(), bytes.size())) > 0) {
    text.append(bytes.data(), static_cast<std::size_t>(count));
  }
  // A process that has just ended: ESRCH.
  if (count < 0) return std::nullopt;
  return text;
}

std::string_view read_at(int at, const char* path, std::span<char> room) {
  const Fd fd(::openat(at, path, O_RDONLY | O_CLOEXEC));
  const ssize_t count = fd ? ::read(fd.get(), room.data(), room.size()) : -1;
  return {room.data(), count < 0 ? 0 : static_cast<std::size_t>(count)};
}

std::optional<Stat> parse_stat(std::string_view text) {
  // The name is the process's own choice; the last parenthesis ends it.
  const std::size_t end = text.rfind(')');
  if (end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(end + 1);
  std::array<std::string_view, 22> fields;  // From field 3 (state) to field 24 (rss).
  for (std::string_view& field : fields) field = next_word(text);
  const auto field = [&fields](std::size_t number) { return parse_unsigned(fields[number - 3]); };
  const auto user = field(14);
  const auto system = field(15);
  const auto started = field(22);
  if (fields[0].size() != 1 || !user || !system || !started) return std::nullopt;
  // The times of children are signed in the kernel's eyes and never below zero.
  return Stat{fields[0][0],          *user + *system, field(16).value_or(0) + field(17).value_or(0),
              field(20).value_or(0), *started,        field(24).value_or(0)};
}

std::optional<std::uint64_t> parse_pss(std::string_view text) {
  auto rest = after(text, "Pss:");
  if (!rest) return std::nullopt;
  const auto kilobytes = parse_unsigned(next_word(*rest));
  if (!kilobytes) return std::nullopt;
  return *kilobytes * 1024;
}

std::optional<std::uint64_t> parse_lock_limit(std::string_view text) {
  auto rest = after(text, "Max file locks");
  if (!rest) return std::nullopt;
  next_word(*rest);  // The soft limit.
  return parse_unsigned(next_word(*rest));
}

void each_pid(const std::string& proc, const std::function<void(int pid)>& take) {
  const Directory listing(::opendir(proc.c_str()));
  while (const dirent* entry = listing ? ::readdir(listing.get()) : nullptr) {
    if (const auto pid = as_pid(entry->d_name)) take(*pid);
  }
}

std::vector<int> cgroup_pids(int directory, int procs) {
  std::vector<int> pids;
  add_cgroup(directory, procs, 0, pids);
  return pids;
}

}  // namespace supv::procfs
