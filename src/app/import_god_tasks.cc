#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "app/import_god_parts.h"

namespace supv::import_god {
namespace {

using Kind = Value::Kind;

/// The state that a condition's truth (or its metric's) leads to.
std::vector<std::string> destinations(const Metric& metric) {
  if (metric.to.is_word()) return {metric.to.text};
  std::vector<std::string> all;
  for (const auto& [key, state] : metric.to.pairs) all.push_back(state.text);
  return all;
}

/// The command that a task runs on entering a state.
std::optional<Yaml> command_of(const RecordedWatch& task, const std::string& state, Room& room) {
  const Value& action = task.get(state);
  if (action.is(Kind::text)) return literal(action.text);
  auto command = ruby_command(action);
  if (!command) return std::nullopt;
  std::string text = fmt::format("{}: its lambda became a Ruby command of its own", state);
  for (const std::string& name : action.unsure) text += fmt::format("; it misses {}", name);
  room.notes.review(task.where(state), text);
  command->comment = "REVIEW: the lambda of " + place_text(action.spot);
  return command;
}

/// Of all transitions into `state`, the conditions. A destination that is a map is taken when the
/// condition has the value of that state.
Yaml conditions_into(const RecordedWatch& task, const std::string& state, Room& room) {
  Yaml all = list();
  for (const Metric& metric : task.metrics) {
    for (const Thing& each : metric.conditions) {
      const std::string own = text_of(each.get("transition"));
      bool when_false = false;
      bool leads = own == state;
      if (own.empty()) {
        const auto states = destinations(metric);
        leads = std::find(states.begin(), states.end(), state) != states.end();
        for (const auto& [key, to] : metric.to.pairs) {
          if (to.text == state) when_false = key.is(Kind::boolean) && !key.truth;
        }
      }
      if (!leads) continue;
      auto made = condition(each, room);
      if (!made) continue;
      if (when_false) {
        Yaml negated = map();
        negated.set("not", std::move(*made));
        made = std::move(negated);
      }
      all.items.push_back(std::move(*made));
    }
  }
  return all;
}

}  // namespace

std::vector<std::pair<std::string, Yaml>> convert_task(const RecordedWatch& task, Room& room) {
  room.task = true;
  room.pid_file.clear();
  room.interval = task.get("interval");
  std::vector<std::pair<std::string, Yaml>> made;
  std::set<std::string> seen;
  const std::string name = valid_watch_name(text_of(task.get("name")));
  for (const Metric& metric : task.metrics) {
    for (const std::string& state : destinations(metric)) {
      if (!seen.insert(state).second) continue;
      auto command = command_of(task, state, room);
      if (!command) continue;
      Yaml conditions = conditions_into(task, state, room);
      if (conditions.items.empty()) continue;
      Yaml keys = map();
      keys.comment = fmt::format("from {}, state {}", place_text(task.spot), state);
      if (const auto interval = duration(room.interval)) keys.set("interval", *interval);
      keys.set("if", std::move(conditions));
      keys.set("run", std::move(*command));
      made.emplace_back(name, std::move(keys));
    }
  }
  // Several states with commands are several tasks.
  if (made.size() > 1) {
    for (auto& [task_name, keys] : made) {
      task_name += '-' + valid_watch_name(keys.comment.substr(keys.comment.rfind(' ') + 1));
    }
  }
  if (made.empty()) {
    room.notes.lost(task.spot,
                    "none of the task's states that are led to has a command; a task of "
                    "supv runs one");
  } else {
    room.notes.changed(task.spot,
                       "tasks: supv's have no states: the command runs when a condition "
                       "is true, whatever was before");
  }
  room.task = false;
  return made;
}

}  // namespace supv::import_god
