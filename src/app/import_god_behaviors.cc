#include <fmt/core.h>

#include "app/import_god_parts.h"

namespace supv::import_god {
namespace {

void behavior_flapping(const Thing& behavior, Room& room, Yaml& behaviors) {
  Yaml parameters = map();
  if (const auto failures = integer(behavior.get("failures"))) {
    parameters.set("failures", *failures);
  }
  if (const auto seconds = duration(behavior.get("seconds"))) parameters.set("within", *seconds);
  room.notes.review(behavior.spot,
                    "notify_when_flapping: its notifier is an object of the file's; "
                    "name a contact in `notify`");
  Yaml made = map();
  made.set("notify_when_flapping", parameters);
  behaviors.items.push_back(made);
}

}  // namespace

void convert_behaviors(const RecordedWatch& watch, Room& room, Yaml& out) {
  Yaml behaviors = list();
  for (const Thing& behavior : watch.behaviors) {
    if (behavior.custom) {
      room.notes.lost(behavior.spot, fmt::format("behavior {}: a class of the file's own; what it "
                                                 "does around a start or stop can be `hooks`",
                                                 behavior.kind));
    } else if (behavior.kind == "clean_pid_file") {
      // Without a pid file of its own there is nothing to clean.
      if (out.find("pid_file") != nullptr) behaviors.items.push_back(word(behavior.kind));
    } else if (behavior.kind == "clean_unix_socket") {
      if (out.find("unix_socket") != nullptr) {
        behaviors.items.push_back(word(behavior.kind));
      } else {
        room.notes.lost(behavior.spot, "clean_unix_socket has no unix_socket");
      }
    } else if (behavior.kind == "notify_when_flapping") {
      behavior_flapping(behavior, room, behaviors);
    } else {
      room.notes.lost(behavior.spot, fmt::format("god has no behavior {}", behavior.kind));
    }
  }
  if (!behaviors.items.empty()) out.set("behaviors", behaviors);
}

}  // namespace supv::import_god
