#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/fd.h"
#include "base/units.h"
#include "plugin/check_subject.h"

namespace supv {
namespace {

using Level = Finding::Level;

constexpr std::chrono::milliseconds kSlow{50};
constexpr std::size_t kMostCopied = std::size_t{64} << 10;
constexpr std::size_t kMostPrinted = std::size_t{1} << 20;
/// Just below what supvd gives it.
constexpr std::size_t kMostMemory = std::size_t{240} << 20;

std::int64_t clock_ns(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

/// How often this thread has gone to sleep by itself: then a long call was not only kept waiting
/// for the processor.
long sleeps() {
  rusage usage{};
  ::getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

std::size_t read_text(const char* path, char* bytes, std::size_t room) {
  const Fd file(::open(path, O_RDONLY | O_CLOEXEC));
  const ssize_t count = file ? ::read(file.get(), bytes, room - 1) : -1;
  bytes[count < 0 ? 0 : count] = '\0';
  return count < 0 ? 0 : static_cast<std::size_t>(count);
}

/// Children that this process has, and those that have run away from it to the one that watches.
bool has_children() {
  siginfo_t found{};
  if (::waitid(P_ALL, 0, &found, WEXITED | WNOHANG | WNOWAIT) == 0) return true;
  std::array<char, 64> path;
  const int parent = ::getppid();
  std::snprintf(path.data(), path.size(), "/proc/%d/task/%d/children", parent, parent);
  std::array<char, 256> text;
  const std::size_t size = read_text(path.data(), text.data(), text.size());
  return std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size), ' ') > 1;
}

std::size_t private_bytes() {
  std::array<char, 128> text;
  read_text("/proc/self/statm", text.data(), text.size());
  unsigned long data = 0;
  if (std::sscanf(text.data(), "%*u %*u %*u %*u %*u %lu", &data) != 1) return 0;
  return data * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

int entries(const char* directory) {
  DIR* open = ::opendir(directory);
  if (open == nullptr) return -1;
  int count = 0;
  while (const dirent* entry = ::readdir(open)) count += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(open);
  return count;
}

/// Where the last words go. One check, one process.
Sheet*& last_sheet() {
  static Sheet* sheet = nullptr;
  return sheet;
}

}  // namespace

void leave_with_last_words(const char* text) {
  if (Sheet* sheet = last_sheet()) {
    std::array<char, 256> line;
    std::snprintf(line.data(), line.size(), "%s in %s", text, sheet->spot().c_str());
    sheet->note(Level::wrong, line.data());
    sheet->finish();
  }
  ::_exit(1);
}

void note_last_words(Sheet& sheet) {
  last_sheet() = &sheet;
  // An exception of the plugin is thrown by another copy of the unwinder than ours, and can only be
  // caught here when ours has been used before.
  try {
    throw 0;
  } catch (int) {
  }
  std::set_new_handler([] {
    std::set_new_handler(nullptr);
    ::malloc_trim(0);
    leave_with_last_words("uses all the memory that supvd gives it (256 MiB)");
  });
}

// What lies in this thread's cache of free memory counts as allocated: it is filled up first, so
// that it is always the same.
std::size_t allocated_bytes() {
  constexpr std::size_t kSizes = 64;
  constexpr std::size_t kOfEach = 7;
  std::array<void* volatile, kSizes * kOfEach> blocks;
  for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = std::malloc(24 + 16 * (i / kOfEach));
  for (void* block : blocks) std::free(block);
  const struct mallinfo2 now = ::mallinfo2();
  return now.uordblks + now.hblkhd;
}

int open_descriptors() {
  const int count = entries("/proc/self/fd");
  return count < 0 ? -1 : count - 1;
}

int live_threads() { return entries("/proc/self/task"); }

CallWatch::CallWatch(Sheet& sheet, const supv_condition_descriptor& descriptor)
    : sheet_(sheet), descriptor_(descriptor), self_(::getpid()) {
  copied_.reserve(kMostCopied);
}

std::string_view CallWatch::copy(const char* text, std::size_t most) {
  copied_.assign(text, ::strnlen(text, std::min(most, kMostCopied)));
  return copied_;
}

void CallWatch::once(Level level, const char* kind, std::string_view text) {
  if (said_.find(std::string_view(kind)) != said_.end()) return;
  said_.insert(kind);
  sheet_.note(level, text);
}

void CallWatch::before(Spot spot) {
  sheet_.at(spot, spot == Spot::create || spot == Spot::destroy ? 0 : ++calls_);
  cpu_ns_ = clock_ns(CLOCK_THREAD_CPUTIME_ID);
  slept_ = sleeps();
  began_ns_ = clock_ns(CLOCK_MONOTONIC);
}

void CallWatch::after(const char* function) {
  const std::chrono::nanoseconds took(clock_ns(CLOCK_MONOTONIC) - began_ns_);
  times_.sum += took;
  times_.longest = std::max(times_.longest, took);
  ++times_.calls;
  const std::chrono::nanoseconds cpu(clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns_);
  if (!waits() && took > kSlow && (cpu > kSlow || sleeps() > slept_))
    once(Level::warning, "slow",
         fmt::format("{} took {} ms; more than {} ms delay all watches that use it, unless it has "
                     "SUPV_WAITS",
                     function, std::chrono::duration_cast<std::chrono::milliseconds>(took).count(),
                     kSlow.count()));
  look(function);
  sheet_.at(Spot::nothing);
}

void CallWatch::after_loading() {
  look("loading it");
  sheet_.at(Spot::nothing);
}

void CallWatch::look(const char* where) {
  if (::getpid() != self_) ::_exit(0);  // A child of the plugin that came back.
  const auto stop = [&](const std::string& text) {
    sheet_.note(Level::wrong, text);
    throw TrialOver{};
  };
  if (has_children())
    stop(fmt::format("{} leaves a child process behind, which supvd kills with the plugin", where));
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) < 0)
      stop(fmt::format("{} closes descriptor {}, which is not its own", where, fd));
  if (sheet_.printed() > kMostPrinted)
    stop(fmt::format("{} prints more than {} bytes", where, kMostPrinted));
  if (const std::size_t bytes = private_bytes(); bytes > kMostMemory)
    stop(fmt::format(
        "{} has taken {}{}; supvd gives a plugin 256MiB in all", where, format_size(bytes),
        live_threads() > 1 ? fmt::format(", stacks of {} threads included", live_threads()) : ""));
}

CallWatch::Times CallWatch::take_times() {
  const Times times = times_;
  times_ = {};
  return times;
}

}  // namespace supv
