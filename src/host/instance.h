#pragma once

#include <supv/condition.h>

#include <optional>
#include <string>

#include "host/line.h"
#include "host/wire.h"

namespace supv::host {

/// One condition in a host. Used by one thread at a time, not always the same one; every call may
/// take for ever, its destruction too.
class Instance {
 public:
  /// `descriptor` null: there is no such condition. `line` null: it is lent nothing but its
  /// options. Calls nothing yet.
  Instance(const supv_condition_descriptor* descriptor, Make make, Line* line = nullptr);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  /// Makes the condition and, if it wants one, takes its first look. Why it could not be made, or
  /// nothing.
  const std::string& begin();
  /// Makes the condition if that has not been done, and calls it; `reply` for SUPV_REPLY. `said`
  /// has id and serial. False: the answer follows upon a Reply.
  bool ask(const Ask& ask, const Reply* reply, Said& said);

 private:
  void make();
  void call(const supv_event& event, Said& said);
  static void write(const supv_verdict& verdict, Said& said);

  // What supv_host points to.
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
  Got want(Want::What what) { return line_->ask({make_.id, 0, what, 0, false}); }

  const supv_condition_descriptor* descriptor_;
  Make make_;
  Line* line_;
  supv_host host_{};
  void* self_ = nullptr;
  std::string failure_;  ///< Why there is no self_.
  std::int32_t pid_ = 0;
  bool asked_ = false;             ///< A Fetch or Run is under way.
  std::optional<Said> concluded_;  ///< What it said through conclude().
  std::string cgroup_;             ///< As it was last handed out.
};

}  // namespace supv::host
