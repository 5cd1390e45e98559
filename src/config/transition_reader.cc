// `transitions`: god's general form of "in this state, if that is true, go there".
#include <fmt/core.h>

#include "config/condition_reader.h"

namespace supv {

std::optional<Action> ConditionReader::destination(const Node& node) {
  constexpr Action kActions[] = {Action::up, Action::start, Action::restart, Action::stop,
                                 Action::unmonitor};
  const auto index = reader_.choice(node, "up|start|restart|stop|unmonitored");
  if (!index) return std::nullopt;
  return kActions[*index];
}

std::uint8_t ConditionReader::read_sources(const Node& node) {
  constexpr std::uint8_t kPhases[] = {phase::kInit, phase::kUp, phase::kStarting,
                                      phase::kRestarting, phase::kRest};
  std::uint8_t phases = 0;
  std::vector<const Node*> states = {&node};
  if (node.is_list()) states = node.items;
  for (const Node* state : states) {
    if (state->is_scalar() && state->text == "unmonitored") {
      reader_.error(*state, "nothing is judged while a watch is unmonitored",
                    "'supvctl monitor' ends that");
    } else if (const auto index = reader_.choice(*state, "init|up|start|restart|stop")) {
      phases = static_cast<std::uint8_t>(phases | kPhases[*index]);
    }
  }
  return phases;
}

bool ConditionReader::read_destinations(const Node& node, ConditionPlace& place) {
  if (!node.is_map()) {
    const auto action = destination(node);
    if (action) place.action = *action;
    return action.has_value();
  }
  bool any = false;
  for (const Entry& entry : node.entries) {
    const bool yes = entry.key->text == "true";
    if (!yes && entry.key->text != "false") {
      reader_.error(*entry.key, "this must be true or false",
                    "write it like {true: up, false: start}");
      continue;
    }
    const auto action = destination(*entry.value);
    if (!action) continue;
    any = true;
    if (yes) {
      place.action = *action;
    } else {
      place.otherwise = *action;
    }
  }
  if (node.entries.empty()) reader_.error(node, "'to' names no state");
  return any;
}

void ConditionReader::check_way(const Node& to, const ConditionPlace& place) {
  const auto leads_to = [&](Action action) {
    return place.action == action || place.otherwise == action;
  };
  constexpr auto kBefore = phase::kStarting | phase::kRestarting | phase::kInit;
  if (leads_to(Action::up) && (place.phases & ~kBefore) != 0) {
    reader_.error(to, "'up' follows 'start', 'restart' or 'init' only");
  }
  if ((place.phases & phase::kInit) != 0 && !leads_to(Action::start)) {
    reader_.error(to, "a transition from 'init' that never leads to 'start' starts nothing");
  }
}

void ConditionReader::read_transition(const Node& map, std::vector<ConditionSpec>& out) {
  const Fields fields(reader_, map, transition_level());
  ConditionPlace place = place_of(ConditionList::transitions);
  const Node* from = fields.find("from");
  const Node* to = fields.find("to");
  if (from == nullptr || to == nullptr) {
    reader_.error(map, "a transition needs 'from' and 'to'",
                  "write it like {from: up, to: restart, if: [NAME: {…}]}");
    return;
  }
  place.phases = read_sources(*from);
  if (!read_destinations(*to, place) || place.phases == 0) return;
  check_way(*to, place);
  // A watch is started when nothing of it runs: what god judges in `up` belongs to its rest.
  if (place.action == Action::start && (place.phases & phase::kUp) != 0) {
    place.phases = static_cast<std::uint8_t>((place.phases & ~phase::kUp) | phase::kRest);
  }
  if (const Node* list = fields.find("if")) return read_list(*list, place, out);
  const auto* always = find("always");
  if (always == nullptr) return;
  ConditionSpec spec = begin(*always, place);
  spec.id = fmt::format("always#{}", ++counted_["always"]);
  spec.options = {{"what", "true"}};
  out.push_back(std::move(spec));
}

void ConditionReader::read_transitions(const Node& list, std::vector<ConditionSpec>& out) {
  if (!list.is_list()) {
    reader_.error(list,
                  fmt::format("this must be a list of transitions, not {}", kind_name(list.kind)),
                  "write '- {from: up, to: restart, if: [NAME: {…}]}' for each");
    return;
  }
  for (const Node* item : list.items) {
    if (reader_.report().full()) return;
    if (reader_.require(*item, Node::Kind::map, "a map of from, to and if")) {
      read_transition(*item, out);
    }
  }
}

}  // namespace supv
