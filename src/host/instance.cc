#include "host/instance.h"

#include <time.h>

#include <array>
#include <cerrno>

namespace supv::host {
namespace {

std::int64_t nanoseconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

// What a condition in a host cannot use: all of it is about processes, which the brain knows.
std::int32_t no_pid(void*) { return 0; }
int no_usage(void*, supv_scope, int, supv_usage*) { return -1; }
void no_conclude(void*, const supv_verdict*) {}
int no_http(void*, const supv_http_request*) { return -1; }
int no_run(void*, const char*, std::int64_t) { return -1; }
std::int64_t no_read(void*, const char*, char*, std::size_t) { return -ENOTSUP; }
const char* no_cgroup(void*) { return nullptr; }
std::size_t no_pids(void*, supv_scope, std::int32_t*, std::size_t) { return 0; }

}  // namespace

Instance::Instance(const supv_condition_descriptor* descriptor, Make make)
    : descriptor_(descriptor), make_(std::move(make)) {
  host_ = {sizeof host_, this,    option, watch_name, no_pid,    no_usage,
           no_conclude,  no_http, no_run, no_read,    no_cgroup, no_pids};
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
  self_ = descriptor_->create(&host_, error.data(), error.size());
  error.back() = '\0';
  if (self_ == nullptr) failure_ = error[0] == '\0' ? "it could not be made" : error.data();
}

void Instance::begin() {
  make();
  if (self_ == nullptr || (descriptor_->flags & SUPV_BASELINE) == 0) return;
  supv_event event{};
  event.size = sizeof event;
  event.kind = SUPV_TICK;
  event.monotonic_ns = nanoseconds(CLOCK_MONOTONIC);
  event.wall_ns = nanoseconds(CLOCK_REALTIME);
  supv_verdict ignored{};
  ignored.size = sizeof ignored;
  descriptor_->on_event(self_, &event, &ignored);
}

void Instance::ask(const Ask& ask, Said& said) {
  make();
  if (self_ == nullptr) {
    said.reason = failure_;
    return;
  }
  supv_event event{};
  event.size = sizeof event;
  event.kind = static_cast<supv_event_kind>(ask.kind);
  event.monotonic_ns = ask.monotonic_ns;
  event.wall_ns = ask.wall_ns;
  event.exit_code = ask.exit_code;
  event.exit_signal = ask.exit_signal;
  supv_verdict verdict{};
  verdict.size = sizeof verdict;
  verdict.outcome = SUPV_UNKNOWN;
  descriptor_->on_event(self_, &event, &verdict);
  if (verdict.outcome == SUPV_PENDING) {
    said.reason = "it wants to answer later, which a condition that waits need not";
    return;
  }
  said.outcome = verdict.outcome;
  if (verdict.reason != nullptr) said.reason = verdict.reason;
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

}  // namespace supv::host
