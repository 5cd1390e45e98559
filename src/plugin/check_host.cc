#include "plugin/check_host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/fd.h"

namespace supv {
namespace {

using namespace std::string_view_literals;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kBoot = 1000 * kSecond;
constexpr std::int64_t kNewYear = 1'767'225'600 * kSecond;  // 2026-01-01
/// What a later supvd may have appended.
constexpr std::size_t kAppended = 256;

bool is_kernels(std::string_view path) {
  const bool below = path.starts_with("/proc/") || path.starts_with("/sys/");
  return below && (std::string(path) + "/").find("/../") == std::string::npos;
}

}  // namespace

FakeHost::FakeHost(const PluginOptions& options, bool longer)
    : options_(options),
      longer_(longer),
      memory_(sizeof(supv_host) + kAppended),
      reply_memory_(sizeof(supv_reply) + kAppended),
      text_memory_(4096) {
  const std::size_t size = sizeof(supv_host) + (longer ? kAppended : 0);
  std::memset(memory_.last(size), 0xA5, size);
  const supv_host made{static_cast<std::uint32_t>(size),
                       this,
                       option,
                       watch_name,
                       pid,
                       usage,
                       conclude,
                       http,
                       run,
                       read,
                       cgroup,
                       pids};
  std::memcpy(memory_.last(size), &made, sizeof made);
  host_ = reinterpret_cast<const supv_host*>(memory_.last(size));
}

std::int64_t FakeHost::monotonic_ns() const { return kBoot + second_ * kSecond; }
std::int64_t FakeHost::wall_ns() const { return kNewYear + second_ * kSecond; }

Awaited FakeHost::take_awaited() { return std::exchange(awaited_, Awaited::nothing); }
bool FakeHost::take_concluded() { return std::exchange(concluded_, false); }

const supv_reply* FakeHost::reply(Awaited what) {
  struct Canned {
    const char* error;
    int http_status, exit_code, signal;
    std::string_view text;
  };
  static constexpr Canned kCanned[] = {
      {nullptr, 200, 0, 0, "OK - all is well | load=0.5;1;2;0 'free space'=12GB\n"},
      {nullptr, 200, 0, 0, ""},
      {"connection refused", 0, -1, 0, ""},
      {nullptr, 503, 2, 0, "CRITICAL - it is not\nsecond line\n"},
      {nullptr, 404, 1, 0, "\xff\xfe\0 no text at all \x1b[31m"sv},
      {nullptr, 301, -1, 9, "{\"ready\": true, \"queue\": 17}"},
  };
  const Canned& canned = kCanned[replies_++ % std::size(kCanned)];
  const std::size_t size = sizeof(supv_reply) + (longer_ ? kAppended : 0);
  const std::string_view text = text_memory_.put(canned.text);
  std::memset(reply_memory_.last(size), 0xA5, size);
  const supv_reply reply{static_cast<std::uint32_t>(size),
                         canned.error,
                         what == Awaited::http ? canned.http_status : canned.exit_code,
                         what == Awaited::http ? 0 : canned.signal,
                         text.data(),
                         text.size()};
  std::memcpy(reply_memory_.last(size), &reply, sizeof reply);
  return reinterpret_cast<const supv_reply*>(reply_memory_.last(size));
}

const char* FakeHost::option(void* context, const char* name) {
  for (const auto& [known, value] : self(context).options_)
    if (name != nullptr && known == name) return value.c_str();
  return nullptr;
}

const char* FakeHost::watch_name(void*) { return "check"; }

std::int32_t FakeHost::pid(void* context) { return self(context).gone() ? 0 : ::getpid(); }

int FakeHost::usage(void* context, supv_scope scope, int with_pss, supv_usage* usage) {
  const FakeHost& host = self(context);
  if (host.gone()) return -1;
  const auto second = static_cast<std::uint64_t>(host.second_);
  const std::uint64_t part = scope == SUPV_SCOPE_TREE ? 2 : 1;
  supv_usage whole{};
  whole.processes = static_cast<std::uint32_t>(part);
  whole.rss_bytes = part * ((100 + second % 500) << 20);
  whole.pss_bytes = with_pss != 0 ? whole.rss_bytes / 2 : 0;
  whole.cpu_ns = part * second * 300'000'000;
  whole.threads = part * (4 + second % 40);
  whole.age_ns = second * static_cast<std::uint64_t>(kSecond);
  // The other side may know a shorter struct.
  const std::uint32_t size = std::min<std::uint32_t>(usage->size, sizeof whole);
  std::memcpy(usage, &whole, size);
  usage->size = size;
  return 0;
}

void FakeHost::conclude(void* context, const supv_verdict*) { self(context).concluded_ = true; }

int FakeHost::http(void* context, const supv_http_request* request) {
  FakeHost& host = self(context);
  if (host.awaited_ != Awaited::nothing || request == nullptr) return -1;
  host.awaited_ = Awaited::http;
  return 0;
}

int FakeHost::run(void* context, const char* command, std::int64_t) {
  FakeHost& host = self(context);
  if (host.awaited_ != Awaited::nothing || command == nullptr) return -1;
  host.awaited_ = Awaited::run;
  return 0;
}

std::int64_t FakeHost::read(void* context, const char* path, char* bytes, std::size_t room) {
  if (!is_kernels(path)) {
    self(context).foreign_path_ = path;
    return -EACCES;
  }
  const Fd file(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  struct stat about {};
  if (!file || ::fstat(file.get(), &about) < 0) return -errno;
  if (!S_ISREG(about.st_mode)) return -EACCES;
  std::size_t size = 0;
  while (size < room) {
    const ssize_t count = ::read(file.get(), bytes + size, room - size);
    if (count < 0) return -errno;
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  return static_cast<std::int64_t>(size);
}

const char* FakeHost::cgroup(void* context) {
  return self(context).gone() ? nullptr : "/sys/fs/cgroup";
}

std::size_t FakeHost::pids(void* context, supv_scope, std::int32_t* pids, std::size_t room) {
  if (self(context).gone()) return 0;
  if (room > 0) *pids = ::getpid();
  return 1;
}

}  // namespace supv
