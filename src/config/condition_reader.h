#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.h"
#include "config/plugin_finder.h"
#include "config/reader.h"
#include "core/spec.h"

namespace supv {

/// What a condition gets from where it stands.
struct ConditionPlace {
  ConditionList list = ConditionList::restart_if;
  Action action = Action::restart;
  std::uint8_t phases = phase::kUp;
  std::optional<Action> otherwise;
  int parent = -1;  ///< Index of the whole that it is a part of.
};
/// The place that a list of a watch gives its conditions.
ConditionPlace place_of(ConditionList list);

/// Reads the condition lists of one watch (contract 2.2).
class ConditionReader {
 public:
  /// `clusters` are the names under `consul: clusters:`.
  ConditionReader(Reader& reader, Arena& arena, const Catalog& catalog, PluginFinder& plugins,
                  const std::vector<std::string>& clusters)
      : reader_(reader), arena_(arena), catalog_(catalog), plugins_(plugins), clusters_(clusters) {}

  /// From here on conditions are those of a new watch with this default interval.
  /// `rare` takes what a condition `flapping` says; whether it is a task is known by then.
  void begin_watch(Duration interval, RareSpec& rare);
  void read_list(const Node& list, const ConditionPlace& place, std::vector<ConditionSpec>& out);
  /// `transitions` of a watch.
  void read_transitions(const Node& list, std::vector<ConditionSpec>& out);
  /// The memory and CPU limits of a `keepalive` map, as conditions.
  void read_keepalive(const Node& map, std::vector<ConditionSpec>& out);
  /// Checks what only the whole watch shows.
  void end_watch(const Node& watch, const std::vector<ConditionSpec>& conditions);

 private:
  const supv_condition_descriptor* find(std::string_view name) const;
  const supv_condition_descriptor* find_plugin(const Node& name);
  using Place = ConditionPlace;
  void read_item(const Node& item, const Place& place, std::vector<ConditionSpec>& out);
  void read_named(const Node& name, const Node& value, const Place& place,
                  std::vector<ConditionSpec>& out);
  void read_one(const Node& name, const Node& parameters, const Place& place,
                std::vector<ConditionSpec>& out);
  ConditionSpec begin(const supv_condition_descriptor& kind, const Place& place) const;
  void read_part(const Node& name, const Node& parameters, const ConditionSpec& spec);
  void read_destination(const Node& node, ConditionSpec& spec);
  /// Makes the condition once, as supvd will: what it refuses is reported. False if it did.
  bool try_out(const Node& name, const supv_condition_descriptor& kind, const ConditionSpec& spec);
  bool try_plugin(const Node& name, const PluginFinder::Found& plugin, const ConditionSpec& spec);

  // condition_wholes.cc
  void read_whole(const Node& name, const Node& value, const Place& place,
                  std::vector<ConditionSpec>& out);
  void read_flapping(const Node& name, const Node& value, const Place& place);
  void check_flapping_states(const Fields& fields);
  void read_degrading(const Node& name, const Node& parameters, const Place& place,
                      std::vector<ConditionSpec>& out);

  // transition_reader.cc
  void read_transition(const Node& map, std::vector<ConditionSpec>& out);
  std::uint8_t read_sources(const Node& node);
  bool read_destinations(const Node& node, ConditionPlace& place);
  void check_way(const Node& to, const ConditionPlace& place);
  std::optional<Action> destination(const Node& node);

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
  PluginFinder& plugins_;
  const std::vector<std::string>& clusters_;
  Duration interval_{30000};
  RareSpec* rare_ = nullptr;
  bool task_ = false;
  std::map<std::string, int> counted_;  ///< By condition name, over the whole watch.
  std::set<std::string> ids_;
};

/// The keys of `flapping`; also those of the condition of that name.
void read_flapping_keys(Reader& reader, const Fields& fields, FlappingSpec& flapping);

/// The options of a consul_kv condition, which have been read, as what the follower needs.
/// `parameters` are for the places of errors.
bool read_kv(Reader& reader, const Node& name, const Node& parameters,
             const std::vector<std::string>& clusters, ConditionSpec& spec);

}  // namespace supv
