#include "keeper/linux_kernel.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/check.h"
#include "keeper/linux_held.h"
#include "keeper/pidfd.h"
#include "keeper/proc.h"

namespace supv {
namespace {

constexpr std::uint64_t kChunk = 64 * sizeof(Record);

Machine this_machine() {
  Machine machine;
  char text[64] = {};
  if (proc::read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text, sizeof text) > 0) {
    int digits = 0;
    for (const char* at = text; *at != 0 && digits < 32; ++at) {
      const char* hex = "0123456789abcdef";
      const char* found = std::strchr(hex, *at);
      if (found == nullptr) continue;
      std::uint64_t& half = digits++ < 16 ? machine.boot_high : machine.boot_low;
      half = half << 4U | static_cast<std::uint64_t>(found - hex);
    }
  }
  struct stat space {};
  if (::stat("/proc/self/ns/pid", &space) == 0) machine.pid_namespace = space.st_ino;
  return machine;
}

TagSource this_process_tags() {
  rlimit limit{};
  check_sys(::getrlimit(RLIMIT_LOCKS, &limit), "getrlimit");
  std::uint64_t random = 0;
  if (::getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
    random = static_cast<std::uint64_t>(::getpid()) << 20U ^ static_cast<std::uint64_t>(::time({}));
  return {limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max, random};
}

bool oom_score_is_negative() {
  char text[16] = {};
  return proc::read_small(AT_FDCWD, "/proc/self/oom_score_adj", text, sizeof text) > 0 &&
         text[0] == '-';
}

}  // namespace

LinuxKernel::LinuxKernel(const Settings& settings)
    : settings_(settings),
      features_(enabled_features()),
      machine_(this_machine()),
      runtime_(check_sys(::open(settings.runtime_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                         settings.runtime_dir.c_str())),
      epoll_(check_sys(::epoll_create1(EPOLL_CLOEXEC), "epoll")),
      proc_(check_sys(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "/proc")),
      tags_(this_process_tags()),
      reset_oom_(oom_score_is_negative()) {
  ignore_nothing();
  open_records();
  trees_.start(runtime_, features_);
  void* zeros = ::mmap(nullptr, settings_.slots * sizeof(Held), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (zeros == MAP_FAILED) check_sys(-1, "mmap");
  table_ = static_cast<Held*>(zeros);
}

LinuxKernel::~LinuxKernel() {
  for (std::uint32_t i = 0; i < settings_.slots; ++i)
    if (table_[i].used()) release(i);
  ::munmap(table_, settings_.slots * sizeof(Held));
}

LinuxKernel::Held& LinuxKernel::held(const Life& life) {
  const std::uint32_t slot = wire::slot_of(life.run);
  SUPV_CHECK(slot < settings_.slots);
  return table_[slot];
}

Kernel::Clocks LinuxKernel::now() {
  timespec monotonic{}, wall{};
  ::clock_gettime(CLOCK_MONOTONIC, &monotonic);
  ::clock_gettime(CLOCK_REALTIME, &wall);
  return {monotonic.tv_sec * 1'000'000'000 + monotonic.tv_nsec,
          wall.tv_sec * 1'000 + wall.tv_nsec / 1'000'000};
}

void LinuxKernel::complain(const char* what, wire::Run run, int error) {
  char line[256];
  int size =
      std::snprintf(line, sizeof line, "supvd: keeper: slot %u: %s%s%s\n", wire::slot_of(run), what,
                    error != 0 ? ": " : "", error != 0 ? ::strerrordesc_np(error) : "");
  size = std::min(size, static_cast<int>(sizeof line) - 1);
  [[maybe_unused]] const ssize_t ignored = ::write(2, line, static_cast<std::size_t>(size));
}

// --- records ---------------------------------------------------------------------------------

void LinuxKernel::open_records() {
  records_ = Fd(check_sys(::openat(runtime_.get(), "records",
                                   O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600),
                          "records"));
  struct stat about {};
  check_sys(::fstat(records_.get(), &about), "records");
  if (!S_ISREG(about.st_mode) || about.st_uid != ::geteuid()) {
    errno = EPERM;
    check_sys(-1, "records: not a regular file of ours");
  }
  records_size_ = static_cast<std::uint64_t>(about.st_size);
}

std::uint32_t LinuxKernel::record_count() {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(records_size_ / sizeof(Record), wire::kMaxSlots));
}

bool LinuxKernel::load(std::uint32_t slot, Record& record) {
  if (slot >= record_count()) return false;
  ssize_t got;
  do
    got = ::pread(records_.get(), &record, sizeof record, static_cast<off_t>(slot * sizeof record));
  while (got < 0 && errno == EINTR);
  return got == sizeof record;
}

int LinuxKernel::save(std::uint32_t slot, const Record& record) {
  // Blocks are taken beforehand: a full tmpfs then refuses a start, never a change to what runs.
  const std::uint64_t end = (slot + 1) * sizeof(Record);
  if (end > records_size_) {
    const std::uint64_t size = (end + kChunk - 1) / kChunk * kChunk;
    const int error = ::posix_fallocate(records_.get(), static_cast<off_t>(records_size_),
                                        static_cast<off_t>(size - records_size_));
    if (error != 0) return error;
    records_size_ = size;
  }
  ssize_t put;
  do
    put =
        ::pwrite(records_.get(), &record, sizeof record, static_cast<off_t>(slot * sizeof record));
  while (put < 0 && errno == EINTR);
  if (put == sizeof record) return 0;
  return put < 0 ? errno : ENOSPC;
}

// --- descriptors -----------------------------------------------------------------------------

int LinuxKernel::store(std::uint32_t slot, const int* fds, std::uint32_t count) {
  SUPV_CHECK(slot < settings_.slots && count <= wire::kMaxStored);
  Held& held = table_[slot];
  for (std::uint32_t i = 0; i < count; ++i) {
    const int kept = ::fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
    if (kept < 0) return errno;
    held.stored[held.stored_count++] = kept;
  }
  return 0;
}

std::uint32_t LinuxKernel::stored(std::uint32_t slot) { return table_[slot].stored_count; }

std::uint32_t LinuxKernel::stored_fds(std::uint32_t slot, int* fds) const {
  std::copy_n(table_[slot].stored, table_[slot].stored_count, fds);
  return table_[slot].stored_count;
}

void LinuxKernel::restore_stored(std::uint32_t slot, const int* fds, std::uint32_t count) {
  SUPV_CHECK(slot < settings_.slots && count <= wire::kMaxStored);
  std::copy_n(fds, count, table_[slot].stored);
  table_[slot].stored_count = static_cast<std::uint8_t>(count);
}

void LinuxKernel::release(std::uint32_t slot) {
  SUPV_CHECK(slot < settings_.slots);
  Life life;
  life.run = slot;  // Only the slot counts.
  unwatch(life);
  Held& held = table_[slot];
  for (std::uint32_t i = 0; i < held.stored_count; ++i) ::close(held.stored[i]);
  held = Held{};
}

// --- epoll -----------------------------------------------------------------------------------

std::uint64_t LinuxKernel::key(Source::Kind kind, std::uint32_t slot, std::uint32_t serial) const {
  return static_cast<std::uint64_t>(kind) << 56U | static_cast<std::uint64_t>(slot) << 32U | serial;
}

void LinuxKernel::watch_other(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = key(Source::Kind::other, 0, 0);
  check_sys(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), "epoll");
}

bool LinuxKernel::source_of(std::uint64_t data, Source& source) const {
  source.kind = static_cast<Source::Kind>(data >> 56U);
  source.slot = static_cast<std::uint32_t>(data >> 32U) & 0xffffffU;
  const auto serial = static_cast<std::uint32_t>(data);
  switch (source.kind) {
    case Source::Kind::other:
      return true;
    case Source::Kind::channel:
      return channel_ && serial == channel_serial_;
    case Source::Kind::child:
    case Source::Kind::exec:
      return source.slot < settings_.slots && table_[source.slot].serial == serial;
  }
  return false;
}

bool LinuxKernel::watch(const Life& life, int pidfd) {
  Held& mine = held(life);
  mine.watched = true;
  mine.pidfd = pidfd + 1;
  mine.serial = ++serial_;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = key(Source::Kind::child, wire::slot_of(life.run), mine.serial);
  if (pidfd >= 0 && ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pidfd, &event) == 0) return true;
  ++unwatchable_;
  mine.polled = true;
  return false;
}

void LinuxKernel::unwatch(const Life& life) {
  Held& mine = held(life);
  drop_line(mine);
  // A child that has not reached exec may still hold a copy: then close() alone would leave the
  // pidfd in the epoll set, reporting for ever.
  if (mine.pidfd != 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, mine.pidfd - 1, nullptr);
    ::close(mine.pidfd - 1);
  }
  if (mine.polled) --unwatchable_;
  mine.pidfd = 0;
  mine.polled = false;
  mine.watched = false;
  mine.serial = 0;
}

void LinuxKernel::drop_line(Held& mine) {
  if (mine.line == 0) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, mine.line - 1, nullptr);
  ::close(mine.line - 1);
  mine.line = 0;
}

}  // namespace supv
