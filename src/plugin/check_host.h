#pragma once

#include <supv/condition.h>

#include <cstdint>
#include <string>

#include "plugin/ask.h"
#include "plugin/check_edge.h"

namespace supv {

/// What a condition asked for, and waits for.
enum class Awaited : std::uint8_t { nothing, http, run };

/// A host with an invented process, whose clock is moved by hand. What it hands out ends where
/// memory ends, so a plugin that reads more than it was given is found out.
class FakeHost {
 public:
  /// `longer`: its structs are larger than this header knows, as those of a later supvd.
  FakeHost(const PluginOptions& options, bool longer);

  const supv_host* host() const { return host_; }
  /// The next second. In some of them the process is gone.
  void step() { ++second_; }
  std::int64_t monotonic_ns() const;
  std::int64_t wall_ns() const;
  bool longer() const { return longer_; }

  Awaited take_awaited();
  /// The answer to what was awaited: mostly good, sometimes bad, sometimes none.
  const supv_reply* reply(Awaited what);
  /// A path that read() was asked for and must not be, or empty.
  const std::string& foreign_path() const { return foreign_path_; }
  /// True once a verdict was said through conclude(), which needs a pending one.
  bool take_concluded();

 private:
  static FakeHost& self(void* context) { return *static_cast<FakeHost*>(context); }
  static const char* option(void* context, const char* name);
  static const char* watch_name(void* context);
  static std::int32_t pid(void* context);
  static int usage(void* context, supv_scope scope, int with_pss, supv_usage* usage);
  static void conclude(void* context, const supv_verdict* verdict);
  static int http(void* context, const supv_http_request* request);
  static int run(void* context, const char* command, std::int64_t timeout_ms);
  static std::int64_t read(void* context, const char* path, char* bytes, std::size_t room);
  static const char* cgroup(void* context);
  static std::size_t pids(void* context, supv_scope scope, std::int32_t* pids, std::size_t room);
  bool gone() const { return second_ % 100 >= 97; }

  const PluginOptions& options_;
  bool longer_;
  Edge memory_;
  Edge reply_memory_;
  Edge text_memory_;
  const supv_host* host_ = nullptr;
  std::int64_t second_ = 0;
  Awaited awaited_ = Awaited::nothing;
  std::uint32_t replies_ = 0;
  bool concluded_ = false;
  std::string foreign_path_;
};

}  // namespace supv
