#pragma once

#include <optional>
#include <string>

#include "config/collect.h"
#include "config/condition_reader.h"
#include "config/reader.h"
#include "core/spec.h"

namespace supv {

/// Turns the resolved keys of a watch into its spec.
class WatchReader {
 public:
  WatchReader(Reader& reader, ConditionReader& conditions)
      : reader_(reader), conditions_(conditions) {}

  /// `keys` are those of Inheritance::resolve. Complete only if no error was reported.
  WatchSpec read(const WatchEntry& watch, const Node& keys);
  /// The same for an entry of `tasks`.
  WatchSpec read_task(const WatchEntry& task);

 private:
  void read_dir(const Fields& fields, ProcessSpec& process);
  void read_process(const WatchEntry& watch, const Fields& fields, WatchSpec& spec);
  void read_surroundings(const Fields& fields, ProcessSpec& process);
  void read_stopping(const Fields& fields, WatchSpec& spec, const std::optional<Command>& stop);
  void read_ready(const Fields& fields, WatchSpec& spec);
  void read_tcp(const Node& node, std::string& target);
  void read_groups(const Fields& fields, WatchSpec& spec);
  void read_flags(const Fields& fields, WatchSpec& spec);
  void read_backoff(const Node& map, BackoffSpec& backoff);
  void read_hooks(const Node& map, HooksSpec& hooks);
  void read_reload(const Node& node, RareSpec& rare);
  void read_rare(const Fields& fields, RareSpec& rare);
  void read_conditions(const WatchEntry& watch, const Fields& fields, WatchSpec& spec,
                       RareSpec& rare);
  void read_behaviors(const Node& list, RareSpec& rare);
  void read_flapping_notice(const Node& map, RareSpec& rare);
  void read_notify_key(const Fields& fields, NotifySpec& notify);
  void check_behaviors(const Fields& fields, const WatchSpec& spec, const RareSpec& rare);
  void hint(const WatchEntry& watch, const Fields& fields, const WatchSpec& spec);

  /// Reads `key` if it is written.
  void text(const Fields& fields, std::string_view key, RareText& out);
  void duration(const Fields& fields, std::string_view key, Duration& out,
                Duration least = Duration{0});
  void boolean(const Fields& fields, std::string_view key, bool& out);
  void command(const Fields& fields, std::string_view key, std::optional<Command>& out);

  Reader& reader_;
  ConditionReader& conditions_;
};

}  // namespace supv
