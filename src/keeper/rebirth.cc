#include "keeper/rebirth.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "base/units.h"
#include "keeper/record.h"
#include "keeper/run_keeper.h"

namespace supv {
namespace {

constexpr char kVariable[] = "SUPV_REEXEC";
constexpr std::uint32_t kMagic = 0x65707573;
constexpr std::uint32_t kVersion = 1;

struct Head {
  std::uint32_t magic;
  std::uint32_t version;
  std::int32_t lock;
  std::int32_t listener;
  std::uint64_t files_now;
  std::uint64_t files_most;
  std::uint32_t parts;
  std::uint32_t crc;  ///< Of everything before it.
};

struct Part {
  std::uint32_t slot;
  std::uint32_t count;
  std::int32_t fds[wire::kMaxStored];
  std::uint32_t crc;
};

bool read_at(int fd, void* into, std::size_t size, std::size_t at) {
  return ::pread(fd, into, size, static_cast<off_t>(at)) == static_cast<ssize_t>(size);
}

bool write_at(int fd, const void* from, std::size_t size, std::size_t at) {
  return ::pwrite(fd, from, size, static_cast<off_t>(at)) == static_cast<ssize_t>(size);
}

bool read_head(int fd, Head& head) {
  return read_at(fd, &head, sizeof head, 0) && head.magic == kMagic && head.version == kVersion &&
         head.crc == crc32c(&head, offsetof(Head, crc)) && head.parts <= wire::kMaxSlots;
}

void keep_at_exec(int fd, bool keep) {
  if (fd >= 0) ::fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

Fd take(int number) {
  // A number out of a message: ours only if it is open and none of the standard ones.
  if (number < 3 || ::fcntl(number, F_SETFD, FD_CLOEXEC) != 0) return {};
  return Fd(number);
}

}  // namespace

Rebirth::Rebirth(std::string path, std::vector<std::string> argv)
    : path_(std::move(path)), argv_text_(std::move(argv)) {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry)
    if (std::strncmp(*entry, kVariable, sizeof kVariable - 1) != 0) env_text_.emplace_back(*entry);
  for (std::string& text : argv_text_) argv_.push_back(text.data());
  for (std::string& text : env_text_) envp_.push_back(text.data());
  argv_.push_back(nullptr);
  envp_.push_back(variable_);
  envp_.push_back(nullptr);
}

int Rebirth::execute(const LinuxKernel& kernel, std::uint32_t slots, int lock, int listener,
                     const rlimit& files) {
  if (argv_text_.empty()) return EINVAL;
  const Fd state(::memfd_create("supv-rebirth", 0));
  if (!state) return errno;
  int error = write_state(state.get(), kernel, slots, lock, listener, files, true);
  if (error == 0) {
    std::snprintf(variable_, sizeof variable_, "%s=%d", kVariable, state.get());
    ::execve(path_.c_str(), argv_.data(), envp_.data());
    error = errno;
  }
  write_state(state.get(), kernel, slots, lock, listener, files, false);
  return error;
}

int Rebirth::write_state(int memfd, const LinuxKernel& kernel, std::uint32_t slots, int lock,
                         int listener, const rlimit& files, bool keep) const {
  Head head{kMagic, kVersion, lock, listener, files.rlim_cur, files.rlim_max, 0, 0};
  keep_at_exec(lock, keep);
  keep_at_exec(listener, keep);
  std::size_t at = sizeof head;
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    Part part{};
    part.slot = slot;
    part.count = kernel.stored_fds(slot, part.fds);
    if (part.count == 0) continue;
    for (std::uint32_t i = 0; i < part.count; ++i) keep_at_exec(part.fds[i], keep);
    part.crc = crc32c(&part, offsetof(Part, crc));
    if (!write_at(memfd, &part, sizeof part, at)) return errno;
    at += sizeof part;
    ++head.parts;
  }
  head.crc = crc32c(&head, offsetof(Head, crc));
  return write_at(memfd, &head, sizeof head, 0) ? 0 : errno;
}

bool Rebirth::original_files(const Fd& state, rlimit& files) {
  Head head{};
  if (!state || !read_head(state.get(), head)) return false;
  files = {head.files_now, head.files_most};
  return true;
}

void Rebirth::restore(const Fd& state, LinuxKernel& kernel, std::uint32_t slots) {
  Head head{};
  if (!state || !read_head(state.get(), head)) return;
  for (std::uint32_t i = 0; i < head.parts; ++i) {
    Part part{};
    if (!read_at(state.get(), &part, sizeof part, sizeof head + i * sizeof part)) return;
    if (part.crc != crc32c(&part, offsetof(Part, crc)) || part.slot >= slots ||
        part.count > wire::kMaxStored)
      return;
    bool all = true;
    for (std::uint32_t k = 0; k < part.count; ++k)
      all = all && part.fds[k] > 2 && ::fcntl(part.fds[k], F_SETFD, FD_CLOEXEC) == 0;
    if (all) kernel.restore_stored(part.slot, part.fds, part.count);
  }
}

std::optional<Reborn> reborn() {
  const char* text = ::geteuid() == ::getuid() ? std::getenv(kVariable) : nullptr;
  if (text == nullptr) return std::nullopt;
  const std::optional<std::uint64_t> number = parse_unsigned(text);
  ::unsetenv(kVariable);
  if (!number || *number > INT32_MAX) return std::nullopt;
  Head head{};
  Fd state = take(static_cast<int>(*number));
  if (!state || !read_head(state.get(), head)) return std::nullopt;
  Reborn found;
  found.lock = take(head.lock);
  found.listener = take(head.listener);
  found.state = std::move(state);
  if (!found.lock) return std::nullopt;
  return found;
}

}  // namespace supv
