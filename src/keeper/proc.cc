#include "keeper/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace supv::proc {
namespace {

struct Entry {  // linux_dirent64
  std::uint64_t inode;
  std::int64_t next;
  std::uint16_t size;
  std::uint8_t type;
  char name[1];
};

/// Calls `visit(entry)` for each entry until it returns false. readdir() would allocate.
template <typename VisitEntry>
void each_entry(int dir, VisitEntry visit) {
  alignas(Entry) char buffer[4096];
  while (true) {
    const long size = ::syscall(SYS_getdents64, dir, buffer, sizeof buffer);
    if (size <= 0) return;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
      if (!visit(entry->name, entry->type)) return;
      at += entry->size;
    }
  }
}

/// A name made only of digits, below 2^31; else -1.
std::int32_t number_of(const char* name) {
  std::int64_t value = 0;
  if (*name == 0) return -1;
  for (; *name != 0; ++name) {
    if (*name < '0' || *name > '9') return -1;
    value = value * 10 + (*name - '0');
    if (value > INT32_MAX) return -1;
  }
  return static_cast<std::int32_t>(value);
}

}  // namespace

long read_small(int dir, const char* path, char* into, std::size_t size) {
  const int fd = ::openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -1;
  std::size_t done = 0;
  while (done < size - 1) {
    const ssize_t got = ::read(fd, into + done, size - 1 - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      ::close(fd);
      return -1;
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  ::close(fd);
  into[done] = 0;
  return static_cast<long>(done);
}

bool parse_stat(const char* text, std::size_t size, Stat& stat) {
  // The second field is the program's own choice and may contain anything but its last ')'.
  const auto* end = static_cast<const char*>(::memrchr(text, ')', size));
  if (end == nullptr || end[1] != ' ' || end[2] == 0) return false;
  stat = Stat{};
  stat.state = end[2];
  const char* at = end + 3;
  for (int field = 4; field <= 52; ++field) {
    char* after = nullptr;
    errno = 0;
    const std::uint64_t value = std::strtoull(at, &after, 10);  // Takes negative numbers too.
    if (after == at) return field > 22;
    at = after;
    if (field == 4) stat.parent = static_cast<std::int32_t>(value);
    if (field == 5) stat.group = static_cast<std::int32_t>(value);
    if (field == 6) stat.session = static_cast<std::int32_t>(value);
    if (field == 22) stat.start_time = value;
    if (field == 52) stat.exit_code = static_cast<std::int32_t>(value);
  }
  return true;
}

bool read_stat(std::int32_t pid, Stat& stat) {
  char path[32];
  char text[2048];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const long size = read_small(AT_FDCWD, path, text, sizeof text);
  return size > 0 && parse_stat(text, static_cast<std::size_t>(size), stat);
}

bool hard_locks(std::int32_t pid, std::uint64_t& limit) {
  char path[32];
  char text[4096];
  std::snprintf(path, sizeof path, "/proc/%d/limits", pid);
  if (read_small(AT_FDCWD, path, text, sizeof text) <= 0) return false;
  const char* line = std::strstr(text, "\nMax file locks ");
  if (line == nullptr) return false;
  line += sizeof "\nMax file locks " - 1;
  line += std::strspn(line, " ");
  line += std::strcspn(line, " \n");  // The soft limit.
  line += std::strspn(line, " ");
  if (std::strncmp(line, "unlimited", 9) == 0) {
    limit = UINT64_MAX;
    return true;
  }
  char* after = nullptr;
  limit = std::strtoull(line, &after, 10);
  return after != line;
}

bool in_cgroup(std::int32_t pid, const char* part) {
  char path[32];
  char text[8192];
  std::snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
  if (read_small(AT_FDCWD, path, text, sizeof text) <= 0) return false;
  const char* line = std::strncmp(text, "0::", 3) == 0 ? text : std::strstr(text, "\n0::");
  if (line == nullptr) return false;
  if (*line == '\n') ++line;
  const char* end = std::strchr(line, '\n');
  const std::size_t length = std::strlen(part);
  const char* found = std::strstr(line, part);
  if (found == nullptr || (end != nullptr && found > end)) return false;
  return found[-1] == '/' && (found[length] == '/' || found[length] == '\n' || found[length] == 0);
}

wire::Status exit_status(std::int32_t raw) {
  const int signal = raw & 0x7f;
  if (signal == 0) return {1, (raw >> 8) & 0xff, 0, 0};
  return {2, signal, (raw & 0x80) != 0 ? 1 : 0, 0};
}

wire::Status zombie_status(std::int32_t pid, const Stat& stat) {
  constexpr wire::Status kUnseen{3, 0, 0, 0};
  if (!stat.dead()) return kUnseen;
  // To those who may not look the field says 0, which would be a lie about how it ended. Another
  // file asks for the same right: of a zombie it has nothing to show (ENOENT) to those who have it.
  char path[32];
  char ignored[8];
  std::snprintf(path, sizeof path, "/proc/%d/exe", pid);
  if (::readlink(path, ignored, sizeof ignored) >= 0 || errno != ENOENT) return kUnseen;
  Stat again;
  if (!read_stat(pid, again) || again.start_time != stat.start_time) return kUnseen;
  return exit_status(again.exit_code);
}

void each_number(int dir, Visit visit, void* context) {
  each_entry(dir, [&](const char* name, std::uint8_t) {
    const std::int32_t number = number_of(name);
    return number < 0 || visit(context, number);
  });
}

void each_directory(int dir, VisitDir visit, void* context) {
  each_entry(dir, [&](const char* name, std::uint8_t type) {
    const bool dots = std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0;
    if (type == DT_DIR && !dots) visit(context, dir, name);
    return true;
  });
}

}  // namespace supv::proc
