#include <fmt/core.h>

#include <csignal>

#include "config/command.h"
#include "config/reader.h"

namespace supv {

void Reader::command(const Node& node, std::optional<Command>& out) {
  if (node.is_list()) {
    Command command;
    for (const Node* item : node.items) {
      auto argument = text(*item);
      if (!argument) return;
      command.argv.push_back(std::move(*argument));
    }
    if (command.argv.empty() || command.argv.front().empty()) {
      error(node, "the command is empty");
      return;
    }
    out = std::move(command);
    return;
  }
  if (!require(node, Node::Kind::scalar, "a command: text or a list of arguments")) return;
  const auto line = expander_.expand(node);
  if (!line) return;
  std::string problem;
  if (auto command = parse_command(*line, problem)) {
    out = std::move(*command);
  } else {
    error(node, std::move(problem));
  }
}

std::optional<LadderStep> Reader::step(const Node& node, bool last) {
  const auto value = text(node);
  if (!value) return std::nullopt;
  const std::size_t space = value->find(' ');
  const std::string_view name = std::string_view(*value).substr(0, space);
  std::string_view wait;
  if (space != std::string::npos) wait = std::string_view(*value).substr(space);
  while (!wait.empty() && wait.front() == ' ') wait.remove_prefix(1);
  const auto signal = parse_signal(name);
  if (!signal) {
    unknown(node, fmt::format("'{}' is not a signal", name), name, signal_names());
    return std::nullopt;
  }
  LadderStep step{*signal, Duration{0}};
  if (*signal == SIGKILL) {
    if (!last) error(node, "nothing can come after KILL");
    if (!wait.empty()) error(node, "KILL is the end; it has no time");
    return step;
  }
  if (const auto parsed = parse_duration(wait)) {
    step.wait = *parsed;
    return step;
  }
  error(node,
        wait.empty() ? fmt::format("'{}' needs a time to wait", name)
                     : fmt::format("'{}' is not a duration", wait),
        fmt::format("write it like {} 25s", name));
  return std::nullopt;
}

void Reader::ladder(const Node& node, std::vector<LadderStep>& out) {
  if (!require(node, Node::Kind::list, "a list like [TERM 25s, KILL]")) return;
  if (node.items.empty()) {
    error(node, "a stop sequence has at least one signal");
    return;
  }
  std::vector<LadderStep> steps;
  bool good = true;
  for (std::size_t i = 0; i < node.items.size() && !report_.full(); ++i) {
    const auto one = step(*node.items[i], i + 1 == node.items.size());
    if (one) steps.push_back(*one);
    good = good && one;
  }
  if (!good) return;
  if (steps.back().signal != SIGKILL) steps.push_back({SIGKILL, Duration{0}});
  if (steps.size() > kMaxLadder) {
    error(node, fmt::format("a stop sequence has at most {} steps, KILL included", kMaxLadder));
    return;
  }
  out = std::move(steps);
}

}  // namespace supv
