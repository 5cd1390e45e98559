#pragma once

#include <doctest/doctest.h>
#include <supv/condition.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "conditions/catalog.h"

namespace supv::test {

inline constexpr std::int64_t kSecond = 1'000'000'000;
inline constexpr std::uint64_t kMiB = 1024 * 1024;
/// 2026-03-01 12:00:00.25 UTC, a Sunday.
inline constexpr std::int64_t kWall = 1'772'366'400 * kSecond + kSecond / 4;

/// What a script sees in these tests, and what it asked for.
struct FakeHost {
  std::map<std::string, std::string> options;
  std::map<std::string, std::string> files = {{"/proc/loadavg", "0.5 0.4 0.3 1/200 4711\n"}};
  std::vector<std::int32_t> processes = {80, 81};
  supv_usage used{};
  supv_usage used_by_one{};
  bool gone = false;
  bool busy = false;
  // What was asked for last.
  std::string command;
  std::int64_t timeout_ms = -1;
  std::map<std::string, std::string> request;
  int redirects = -1;
  int insecure = -1;

  static FakeHost& self(void* context) { return *static_cast<FakeHost*>(context); }
  static std::string text_of(const char* text) { return text == nullptr ? "" : text; }
  static const char* option(void* context, const char* name) {
    const auto found = self(context).options.find(name);
    return found == self(context).options.end() ? nullptr : found->second.c_str();
  }
  static const char* watch_name(void*) { return "web"; }
  static std::int32_t pid(void* context) { return self(context).gone ? 0 : 80; }
  static int usage(void* context, supv_scope scope, int with_pss, supv_usage* usage) {
    FakeHost& host = self(context);
    if (host.gone) return -1;
    *usage = scope == SUPV_SCOPE_TREE ? host.used : host.used_by_one;
    if (with_pss == 0) usage->pss_bytes = 0;
    return 0;
  }
  static void conclude(void*, const supv_verdict*) { FAIL("nothing of ours concludes by itself"); }
  static int http(void* context, const supv_http_request* asked) {
    FakeHost& host = self(context);
    if (host.busy) return -1;
    host.request = {{"method", text_of(asked->method)},
                    {"url", text_of(asked->url)},
                    {"headers", text_of(asked->headers)},
                    {"body", text_of(asked->body)},
                    {"unix_socket", text_of(asked->unix_socket)},
                    {"ca_file", text_of(asked->ca_file)},
                    {"client_cert", text_of(asked->client_cert)},
                    {"client_key", text_of(asked->client_key)},
                    {"tls_server_name", text_of(asked->tls_server_name)}};
    host.redirects = asked->redirects;
    host.insecure = asked->insecure;
    host.timeout_ms = asked->timeout_ms;
    return 0;
  }
  static int run(void* context, const char* command, std::int64_t timeout_ms) {
    if (self(context).busy) return -1;
    self(context).command = command;
    self(context).timeout_ms = timeout_ms;
    return 0;
  }
  static std::int64_t read(void* context, const char* path, char* bytes, std::size_t room) {
    const auto found = self(context).files.find(path);
    if (found == self(context).files.end()) return -ENOENT;
    const std::size_t size = std::min(room, found->second.size());
    std::memcpy(bytes, found->second.data(), size);
    return static_cast<std::int64_t>(size);
  }
  static const char* cgroup(void*) { return nullptr; }
  static std::size_t pids(void* context, supv_scope scope, std::int32_t* pids, std::size_t room) {
    if (self(context).gone) return 0;
    auto all = self(context).processes;
    if (scope == SUPV_SCOPE_PROCESS) all.resize(1);
    std::copy_n(all.begin(), std::min(room, all.size()), pids);
    return all.size();
  }
  supv_host host{sizeof(supv_host), this, option, watch_name, pid,    usage,
                 conclude,          http, run,    read,       cgroup, pids};
};

inline const supv_condition_descriptor& lua() {
  for (const auto* known : builtin_conditions()) {
    if (std::string(known->name) == "lua") return *known;
  }
  FAIL("there is no lua");
  return *builtin_conditions().front();
}

struct Script {
  explicit Script(const std::string& text, std::map<std::string, std::string> options = {}) {
    host.options = std::move(options);
    host.options["script"] = text;
    host.used = {sizeof(supv_usage), 2, 400 * kMiB, 300 * kMiB, 0, 12, 90 * kSecond};
    host.used_by_one = {sizeof(supv_usage), 1, 100 * kMiB, 90 * kMiB, 0, 5, 90 * kSecond};
    std::array<char, 256> message{};
    self = lua().create(&host.host, message.data(), message.size());
    error = message.data();
  }
  ~Script() {
    if (self != nullptr) lua().destroy(self);
  }
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;

  supv_outcome say(supv_event event) {
    REQUIRE_MESSAGE(self != nullptr, error);
    event.size = sizeof event;
    supv_verdict verdict{};
    verdict.size = sizeof verdict;
    verdict.outcome = SUPV_OK;
    lua().on_event(self, &event, &verdict);
    reason = verdict.reason ? verdict.reason : "";
    metrics = verdict.metrics ? verdict.metrics : "";
    return verdict.outcome;
  }
  supv_outcome poll(std::int64_t at_ns = 0) {
    supv_event event{};
    event.monotonic_ns = at_ns;
    event.wall_ns = kWall + at_ns;
    return say(event);
  }
  supv_outcome answer(int status, const std::string& text = "", int signal = 0) {
    supv_reply reply{};
    reply.size = sizeof reply;
    reply.status = signal == 0 ? status : -1;
    reply.signal = signal;
    reply.text = text.data();
    reply.text_size = text.size();
    return answer(reply);
  }
  supv_outcome failed(const char* why) {
    supv_reply reply{};
    reply.size = sizeof reply;
    reply.error = why;
    return answer(reply);
  }
  supv_outcome answer(const supv_reply& reply) {
    supv_event event{};
    event.kind = SUPV_REPLY;
    event.reply = &reply;
    return say(event);
  }

  FakeHost host;
  void* self = nullptr;
  std::string error;
  std::string reason;
  std::string metrics;
};

inline std::string refusal(const std::string& text,
                           std::map<std::string, std::string> options = {}) {
  const Script script(text, std::move(options));
  return script.self == nullptr ? script.error : "accepted";
}

/// Outcome and reason of the first poll: "fire: why".
inline std::string said(const std::string& text) {
  Script script(text);
  constexpr std::array<const char*, 4> kOutcomes = {"ok", "fire", "unknown", "pending"};
  const supv_outcome outcome = script.poll();
  return std::string(kOutcomes.at(outcome)) + ": " + script.reason;
}

/// Expressions that hold.
inline void hold(const std::vector<std::string>& expressions) {
  for (const std::string& expression : expressions) {
    CAPTURE(expression);
    // A reason shows the beginning of an expression.
    CHECK(said(expression) ==
          "fire: " + (expression.size() > 80 ? expression.substr(0, 80) + "..." : expression));
  }
}

inline std::string repeated(const std::string& text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

}  // namespace supv::test
