#include "host/instance.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>

#include "base/fd.h"

namespace supv::host {
namespace {

std::int64_t nanoseconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

/// What a plugin hands over may be anything; at least it is not read without end.
std::string text_of(const char* text, std::size_t most) {
  return text == nullptr ? std::string() : std::string(text, ::strnlen(text, most));
}

}  // namespace

Instance::Instance(const supv_condition_descriptor* descriptor, Make make, Line* line)
    : descriptor_(descriptor), make_(std::move(make)), line_(line) {
  host_ = {sizeof host_, this, option, watch_name, pid,    usage,
           conclude,     http, run,    read,       cgroup, pids};
}

Instance::~Instance() {
  if (self_ != nullptr) descriptor_->destroy(self_);
}

void Instance::make() {
  if (self_ != nullptr || !failure_.empty()) return;
  if (descriptor_ == nullptr) {
    failure_ = "there is no condition " + make_.name;
    return;
  }
  std::array<char, 256> error{};
  try {
    self_ = descriptor_->create(&host_, error.data(), error.size());
  } catch (const std::exception& thrown) {
    failure_ = text_of(thrown.what(), kMaxReason);
  } catch (...) {
    failure_ = "it threw something";
  }
  error.back() = '\0';
  if (self_ == nullptr && failure_.empty())
    failure_ = error[0] == '\0' ? "it could not be made" : error.data();
}

const std::string& Instance::begin() {
  make();
  if (self_ == nullptr || (descriptor_->flags & SUPV_BASELINE) == 0) return failure_;
  supv_event event{};
  event.size = sizeof event;
  event.kind = SUPV_TICK;
  event.monotonic_ns = nanoseconds(CLOCK_MONOTONIC);
  event.wall_ns = nanoseconds(CLOCK_REALTIME);
  event.armed_wall_ns = event.wall_ns;
  Said ignored;
  call(event, ignored);
  return failure_;
}

void Instance::write(const supv_verdict& verdict, Said& said) {
  said.reason = text_of(verdict.reason, kMaxReason);
  said.metrics = text_of(verdict.metrics, kMaxMetrics);
  // Half a number is another number.
  if (said.metrics.size() == kMaxMetrics)
    said.metrics.resize(std::min(said.metrics.rfind(' '), said.metrics.size()));
  switch (verdict.outcome) {
    case SUPV_OK:
    case SUPV_FIRE:
    case SUPV_UNKNOWN:
    case SUPV_PENDING:
      said.outcome = verdict.outcome;
      return;
  }
  said.outcome = SUPV_UNKNOWN;
  said.reason =
      fmt::format("it answered {}, which is no verdict", static_cast<int>(verdict.outcome));
}

void Instance::call(const supv_event& event, Said& said) {
  concluded_.reset();
  supv_verdict verdict{};
  verdict.size = sizeof verdict;
  verdict.outcome = SUPV_UNKNOWN;
  try {
    descriptor_->on_event(self_, &event, &verdict);
    write(verdict, said);
  } catch (const std::exception& thrown) {
    said.reason = "it threw: " + text_of(thrown.what(), kMaxReason);
  } catch (...) {
    said.reason = "it threw something";
  }
}

bool Instance::ask(const Ask& ask, const Reply* reply, Said& said) {
  pid_ = ask.pid;
  make();
  if (self_ == nullptr) {
    said.reason = failure_;
    return true;
  }
  supv_reply answer{};
  supv_event event{};
  event.size = sizeof event;
  event.kind = static_cast<supv_event_kind>(ask.kind);
  event.monotonic_ns = ask.monotonic_ns;
  event.wall_ns = ask.wall_ns;
  event.armed_wall_ns = ask.armed_wall_ns;
  event.exit_code = ask.exit_code;
  event.exit_signal = ask.exit_signal;
  if (reply != nullptr) {
    asked_ = false;
    answer.size = sizeof answer;
    answer.error = reply->failed ? reply->error.c_str() : nullptr;
    answer.status = reply->status;
    answer.signal = reply->signal;
    answer.text = reply->text.data();
    answer.text_size = reply->text.size();
    event.reply = &answer;
  }
  call(event, said);
  if (said.outcome != SUPV_PENDING) return true;
  if (concluded_) {
    said.outcome = concluded_->outcome;
    said.reason = std::move(concluded_->reason);
    said.metrics = std::move(concluded_->metrics);
    return true;
  }
  if (asked_) return false;
  said.outcome = SUPV_UNKNOWN;
  said.reason = "it wants to answer later, but has asked for nothing";
  return true;
}

const char* Instance::option(void* context, const char* name) {
  for (const auto& [known, value] : static_cast<Instance*>(context)->make_.options) {
    if (known == name) return value.c_str();
  }
  return nullptr;
}

const char* Instance::watch_name(void* context) {
  return static_cast<Instance*>(context)->make_.watch.c_str();
}

std::int32_t Instance::pid(void* context) { return static_cast<Instance*>(context)->pid_; }

int Instance::usage(void* context, supv_scope scope, int with_pss, supv_usage* usage) {
  auto* self = static_cast<Instance*>(context);
  if (self->line_ == nullptr) return -1;
  const Got got = self->line_->ask(
      {self->make_.id, 0, Want::What::usage, static_cast<std::uint32_t>(scope), with_pss != 0});
  if (got.result != 0 || got.bytes.size() != sizeof(supv_usage)) return -1;
  // The other side may know a shorter struct.
  const std::size_t size = std::min<std::size_t>(usage->size, sizeof(supv_usage));
  std::memcpy(usage, got.bytes.data(), size);
  usage->size = static_cast<std::uint32_t>(size);
  return 0;
}

void Instance::conclude(void* context, const supv_verdict* verdict) {
  Said said;
  // A condition that knows a shorter struct leaves the rest empty.
  supv_verdict whole{};
  std::memcpy(&whole, verdict, std::min<std::size_t>(verdict->size, sizeof whole));
  write(whole, said);
  static_cast<Instance*>(context)->concluded_ = std::move(said);
}

int Instance::http(void* context, const supv_http_request* request) {
  auto* self = static_cast<Instance*>(context);
  if (self->line_ == nullptr || self->asked_) return -1;
  supv_http_request whole{};
  std::memcpy(&whole, request, std::min<std::size_t>(request->size, sizeof whole));
  constexpr std::size_t kMost = std::size_t{64} * 1024;
  Fetch fetch;
  fetch.id = self->make_.id;
  fetch.method = text_of(whole.method, kMost);
  fetch.url = text_of(whole.url, kMost);
  fetch.headers = text_of(whole.headers, kMost);
  fetch.body = text_of(whole.body, kMost);
  fetch.unix_socket = text_of(whole.unix_socket, kMost);
  fetch.ca_file = text_of(whole.ca_file, kMost);
  fetch.client_cert = text_of(whole.client_cert, kMost);
  fetch.client_key = text_of(whole.client_key, kMost);
  fetch.server_name = text_of(whole.tls_server_name, kMost);
  fetch.insecure = whole.insecure != 0;
  fetch.redirects = whole.redirects;
  fetch.timeout_ms = whole.timeout_ms;
  if (encode(fetch).size() > kMaxPacket) return -1;
  self->asked_ = true;
  self->line_->send(fetch);
  return 0;
}

int Instance::run(void* context, const char* command, std::int64_t timeout_ms) {
  auto* self = static_cast<Instance*>(context);
  if (self->line_ == nullptr || self->asked_) return -1;
  constexpr std::size_t kMost = std::size_t{64} * 1024;
  self->asked_ = true;
  self->line_->send(Run{self->make_.id, text_of(command, kMost), timeout_ms});
  return 0;
}

/// Here and not in the brain, which may read more than a plugin may.
std::int64_t Instance::read(void* context, const char* path, char* bytes, std::size_t room) {
  if (static_cast<Instance*>(context)->line_ == nullptr) return -ENOTSUP;
  const std::string_view name = path == nullptr ? "" : path;
  if (!name.starts_with("/proc/") && !name.starts_with("/sys/")) return -EINVAL;
  const Fd file(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return -errno;
  std::size_t size = 0;
  while (size < room) {
    const ssize_t count = ::read(file.get(), bytes + size, room - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -errno;
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  return static_cast<std::int64_t>(size);
}

const char* Instance::cgroup(void* context) {
  auto* self = static_cast<Instance*>(context);
  if (self->line_ == nullptr) return nullptr;
  Got got = self->want(Want::What::cgroup);
  if (got.result != 0) return nullptr;
  self->cgroup_ = std::move(got.bytes);
  return self->cgroup_.c_str();
}

std::size_t Instance::pids(void* context, supv_scope scope, std::int32_t* pids, std::size_t room) {
  auto* self = static_cast<Instance*>(context);
  if (self->line_ == nullptr) return 0;
  const Got got = self->line_->ask(
      {self->make_.id, 0, Want::What::pids, static_cast<std::uint32_t>(scope), false});
  if (got.result <= 0) return 0;
  const std::size_t count = got.bytes.size() / sizeof(std::int32_t);
  std::memcpy(pids, got.bytes.data(), std::min(room, count) * sizeof(std::int32_t));
  return count;
}

}  // namespace supv::host
