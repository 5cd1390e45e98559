// `tasks`: commands that are run when a condition is true (contract 2.4).
#include <fmt/core.h>

#include <csignal>
#include <memory>
#include <utility>

#include "config/watch_reader.h"

namespace supv {

WatchSpec WatchReader::read_task(const WatchEntry& task) {
  constexpr std::uint32_t kMostRetries = 1000;
  constexpr Duration kPatience{10000};
  WatchSpec spec;
  spec.name = task.key->text;
  spec.file = task.document->source.path;
  reader_.expander().enter(&task.document->scope, spec.name);
  const Fields fields(reader_, *task.body, task_level());
  read_dir(fields, spec.process);
  reader_.expander().set_watch_dir(spec.process.dir);
  std::optional<Command> run;
  command(fields, "run", run);
  if (run) spec.process.start = std::move(*run);
  for (const char* key : {"run", "if"}) {
    if (fields.find(key) == nullptr) {
      reader_.error(*task.key, fmt::format("task '{}' needs '{}'", spec.name, key));
    }
  }
  read_surroundings(fields, spec.process);
  read_groups(fields, spec);
  spec.ladder = {{SIGTERM, kPatience}, {SIGKILL, Duration{0}}};
  spec.stop_timeout = kPatience;
  spec.autostart = false;
  spec.keepalive = false;
  RareSpec rare;
  TaskSpec& rules = rare.task.emplace();
  duration(fields, "timeout", rules.timeout, Duration{1});
  if (const Node* node = fields.find("retry")) {
    reader_.integer(*node, rules.retry, 0, kMostRetries);
  }
  if (const Node* node = fields.find("max_parallel")) {
    std::uint32_t most = 1;
    reader_.integer(*node, most, 1, 1);
  }
  read_notify_key(fields, rare.notify);
  Duration interval{30000};
  duration(fields, "interval", interval, Duration{10});
  conditions_.begin_watch(interval, rare);
  if (const Node* node = fields.find("if")) {
    ConditionPlace place = place_of(ConditionList::start_if);
    conditions_.read_list(*node, place, spec.conditions);
  }
  conditions_.end_watch(*task.key, spec.conditions);
  spec.rare = std::make_shared<const RareSpec>(std::move(rare));
  return spec;
}

}  // namespace supv
