#include <fmt/core.h>

#include "app/import_god_parts.h"

namespace supv::import_god {
namespace {

/// Nobody is told until a contact is named, so it is left to the user to write.
void behavior_flapping(const Thing& behavior, Room& room) {
  const auto text = [](const std::optional<Yaml>& value, const char* usual) {
    return value ? value->text : std::string(usual);
  };
  room.notes.lost(behavior.spot,
                  fmt::format("notify_when_flapping: its notifier is an object of the file's; name "
                              "a contact: behaviors: [{{notify_when_flapping: {{failures: {}, "
                              "within: {}, notify: CONTACT}}}}]",
                              text(integer(behavior.get("failures")), "5"),
                              text(duration(behavior.get("seconds")), "1m")));
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
      behavior_flapping(behavior, room);
    } else {
      room.notes.lost(behavior.spot, fmt::format("god has no behavior {}", behavior.kind));
    }
  }
  if (!behaviors.items.empty()) out.set("behaviors", behaviors);
}

}  // namespace supv::import_god
