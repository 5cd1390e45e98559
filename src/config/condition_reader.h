#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.h"
#include "config/reader.h"
#include "core/spec.h"

namespace supv {

/// Reads the condition lists of one watch (contract 2.2).
class ConditionReader {
 public:
  /// `clusters` are the names under `consul: clusters:`.
  ConditionReader(Reader& reader, Arena& arena, const Catalog& catalog,
                  const std::vector<std::string>& clusters)
      : reader_(reader), arena_(arena), catalog_(catalog), clusters_(clusters) {}

  /// From here on conditions are those of a new watch with this default interval.
  void begin_watch(Duration interval);
  void read_list(const Node& list, Action action, std::vector<ConditionSpec>& out);
  /// The memory and CPU limits of a `keepalive` map, as conditions.
  void read_keepalive(const Node& map, std::vector<ConditionSpec>& out);
  /// Checks what only the whole watch shows.
  void end_watch(const Node& watch, const std::vector<ConditionSpec>& conditions);

 private:
  const supv_condition_descriptor* find(std::string_view name) const;
  void read_item(const Node& item, Action action, std::vector<ConditionSpec>& out);
  void read_one(const Node& name, const Node& parameters, Action action,
                std::vector<ConditionSpec>& out);
  void check_keys(const Node& parameters, const supv_condition_descriptor& kind);
  void read_common(const Node& parameters, const supv_condition_descriptor& kind,
                   ConditionSpec& spec);
  /// False if an error was reported.
  bool read_options(const Node& name, const Node& parameters, const supv_condition_descriptor& kind,
                    ConditionSpec& spec);
  /// The text that the condition is handed: numbers in base units. Empty after an error.
  std::optional<std::string> option(const Node& node, const supv_option& declared);
  std::optional<std::string> integer(const Node& node);
  void name_it(const Node& name, const Node& parameters, ConditionSpec& spec);
  void read_limit(const Node& map, std::string_view limit, std::string_view times,
                  std::string_view condition, const char* id, Duration interval,
                  std::vector<ConditionSpec>& out);

  Reader& reader_;
  Arena& arena_;
  const Catalog& catalog_;
  const std::vector<std::string>& clusters_;
  Duration interval_{30000};
  std::map<std::string, int> counted_;  ///< By condition name, over the whole watch.
  std::set<std::string> ids_;
};

/// The options of a consul_kv condition, which have been read, as what the follower needs.
/// `parameters` are for the places of errors.
bool read_kv(Reader& reader, const Node& name, const Node& parameters,
             const std::vector<std::string>& clusters, ConditionSpec& spec);

}  // namespace supv
