#include "app/import_god.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "app/import_god_parts.h"

namespace supv::import_god {
namespace {

std::string header(const Recording& recording) {
  std::string text = "Made by supvctl import god of";
  for (const std::string& file : recording.files) text += ' ' + place_text({file, 0});
  return text + ".\nLines with REVIEW are guesses.";
}

/// A name that nothing else has.
std::string own_name(std::string wanted, std::set<std::string>& taken) {
  std::string name = wanted;
  for (int count = 2; !taken.insert(name).second; ++count)
    name = fmt::format("{}-{}", wanted, count);
  return name;
}

/// The watches and tasks of the recording.
class Conversion {
 public:
  Conversion(const Recording& recording, Notes& notes)
      : room_{recording, notes, {}, {}, {}, {}, {}, {}} {}

  Converted convert() {
    Converted out;
    document_.comment = header(room_.recording);
    const Yaml daemon = convert_globals(room_);
    const Yaml contacts = convert_contacts(room_);
    for (const auto& [name, contact] : contacts.entries) {
      room_.recipients.insert(name);
      if (const Yaml* groups = contact.find("groups")) {
        room_.recipients.insert(groups->items.front().text);
      }
    }
    for (const RecordedWatch& watch : room_.recording.watches) convert_one(watch);
    room_.notes.enter("");
    fold_loops(watches_, spots_);
    add_consul();
    if (!daemon.entries.empty()) document_.set("daemon", daemon);
    if (!contacts.entries.empty()) document_.set("contacts", contacts);
    if (!watches_.empty()) document_.set("watches", map(watches_));
    if (!tasks_.empty()) document_.set("tasks", map(tasks_));
    for (const auto& [name, keys] : contacts.entries) out.contacts.push_back(name);
    for (const auto& [name, keys] : watches_) out.watches.push_back(name);
    for (const auto& [name, keys] : tasks_) out.tasks.push_back(name);
    out.yaml = render(document_);
    out.secrets = room_.secrets;
    return out;
  }

 private:
  void convert_one(const RecordedWatch& watch) {
    const std::string wanted = text_of(watch.get("name"));
    const std::string name = own_name(valid_watch_name(wanted), names_);
    room_.notes.enter(name);
    if (wanted.empty()) {
      room_.notes.lost(watch.spot, "it has no name; god would not have started");
    } else if (name != wanted) {
      room_.notes.review(watch.spot, fmt::format("'{}' is named {}", wanted, name));
    }
    if (watch.task) {
      for (auto& [task_name, keys] : convert_task(watch, room_)) {
        tasks_.emplace_back(task_name == wanted ? name : own_name(task_name, names_), keys);
      }
      return;
    }
    watches_.emplace_back(name, convert_watch(watch, room_));
    spots_.push_back(watch.spot);
  }

  void add_consul() {
    const auto& [address, token] = room_.consul;
    Yaml consul = map();
    if (!address.empty()) consul.set("address", literal(address));
    if (!token.empty()) consul.set("token", literal(token));
    if (!consul.entries.empty()) document_.set("consul", consul);
  }

  Room room_;
  Yaml document_ = map();
  std::set<std::string> names_;
  std::vector<std::pair<std::string, Yaml>> watches_;
  std::vector<Spot> spots_;
  std::vector<std::pair<std::string, Yaml>> tasks_;
};

}  // namespace

Yaml convert_globals(Room& room) {
  Yaml daemon = map();
  Yaml operators = list();
  for (const auto& [name, value, spot] : room.recording.globals) {
    const std::string text = text_of(value);
    if (name == "log_file") {
      daemon.set("log", literal(text));
    } else if (name == "log_level") {
      daemon.set("log_level", word(text == "fatal" ? "error" : text));
    } else if (name == "terminate_timeout") {
      if (const auto timeout = duration(value)) daemon.set("shutdown_timeout", *timeout);
    } else if (name == "socket_user" || name == "socket_group") {
      operators.items.push_back(literal((name == "socket_group" ? "@" : "") + text));
      room.notes.review(spot, fmt::format("God.{} became one of `daemon: operators`: who may do "
                                          "everything",
                                          name));
    } else if (name == "socket_perms") {
      room.notes.lost(spot,
                      "God.socket_perms: whoever is not an operator is refused, whatever the "
                      "mode of the socket");
    } else if (name == "port" || name == "pid") {
      room.notes.lost(spot, fmt::format("God.{}: say `supvd {}`", name,
                                        name == "port" ? "--socket PATH" : "--pid-file PATH"));
    } else if (name != "pid_file_directory") {
      room.notes.lost(spot, fmt::format("God.{}: god never used it", name));
    }
  }
  if (!operators.items.empty()) daemon.set("operators", operators);
  return daemon;
}

Converted convert(const Recording& recording) {
  Notes notes;
  for (const Remark& remark : recording.notes) notes.review(remark.spot, remark.text);
  Converted out = Conversion(recording, notes).convert();
  if (out.secrets) {
    notes.review({},
                 "the result holds passwords, tokens or secret URLs as they were written; keep "
                 "the file to yourself");
  }
  out.notes = notes.take();
  return out;
}

}  // namespace supv::import_god
