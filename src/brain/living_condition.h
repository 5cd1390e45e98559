#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "brain/condition_hosts.h"

namespace supv {

/// One condition of one run, and the context it knows as its host. Only for condition_hosts.cc and
/// the file of the same name.
class ConditionHosts::Living {
 public:
  /// `subject` lives longer: the run it asks about, which may change.
  Living(ConditionHosts& hosts, const fx::Arm& arm, std::uint32_t index, const RunId& subject);
  ~Living();
  Living(const Living&) = delete;
  Living& operator=(const Living&) = delete;

  /// The condition's answer; a pending one is said later.
  Answer ask(supv_event event);
  /// An answer is awaited.
  bool waits() const { return waits_; }
  /// The answer comes later.
  void await();
  /// Nothing is awaited any more; what was asked for is given up.
  void stop_waiting();
  /// The time is up.
  void no_answer();

  ev::Judged judged(Answer answer) const;
  std::string name() const { return watch_ + ": " + spec_.id; }

 private:
  bool asks() const { return command_ != Commands::Id::none || call_ != HttpCalls::Id::none; }
  void limit_wait(std::optional<Time> until);
  void answered(const supv_reply& reply);
  void give_up(const std::string& why);
  void command_done(const CommandResult& result);
  void http_done(const HttpAnswer& answer);
  int start_command(const char* line, std::int64_t timeout_ms);
  int start_http(const supv_http_request& request);
  Duration limit(std::int64_t timeout_ms) const;

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

  ConditionHosts& hosts_;
  std::shared_ptr<const WatchSpec> watch_spec_;  // Keeps spec_ alive.
  const ConditionSpec& spec_;
  RunId run_;
  std::uint32_t index_;
  const RunId& subject_;
  std::string watch_;
  std::int64_t armed_wall_ns_;
  std::vector<std::pair<std::string, std::string>> options_;  // In base units.
  supv_host host_{};
  std::string failure_;  // Why there is no judge_.
  bool waits_ = false;
  std::optional<Time> until_;  // So long at most; none: what it waits for has its own deadline.
  Commands::Id command_ = Commands::Id::none;
  HttpCalls::Id call_ = HttpCalls::Id::none;
  std::string cgroup_;            // As it was last handed out.
  std::unique_ptr<Judge> judge_;  // Last: it may use all of the above to its end.
};

}  // namespace supv
