#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "app/import_god.h"
#include "app/import_god_recording.h"
#include "app/import_god_yaml.h"

/// What the rooms of the conversion share.
namespace supv::import_god {

/// Collects notes. What is the same for many watches is said once.
class Notes {
 public:
  /// What follows is about this watch; empty: about the whole.
  void enter(std::string watch) { watch_ = std::move(watch); }
  void lost(const Spot& spot, std::string text) { add(Note::Kind::lost, spot, std::move(text)); }
  void review(const Spot& spot, std::string text) {
    add(Note::Kind::review, spot, std::move(text));
  }
  /// Said once, wherever else it holds too.
  void changed(const Spot& spot, std::string text);
  std::vector<Note> take();

 private:
  void add(Note::Kind kind, const Spot& spot, std::string text);

  std::string watch_;
  std::vector<Note> notes_;
  std::set<std::string> said_;
};

/// How Consul is reached, as far as conditions of the files tell.
struct ConsulFound {
  std::string address;
  std::string token;
};

/// What is converted at the moment.
struct Room {
  const Recording& recording;
  Notes& notes;
  ConsulFound consul;
  bool secrets = false;
  bool task = false;                 ///< Conditions have no process.
  std::string pid_file;              ///< Of the watch, as god knows it.
  Value interval;                    ///< Of the watch.
  std::set<std::string> recipients;  ///< Contacts that were converted, and their groups.
};

// --- values -------------------------------------------------------------------------------------
/// Seconds (a number) as a duration; nothing for anything else.
std::optional<Yaml> duration(const Value& value);
/// God's kilobytes as a size.
std::optional<Yaml> size(const Value& value);
std::optional<Yaml> percent(const Value& value);
/// A whole number.
std::optional<Yaml> integer(const Value& value);
/// God's `times`: 3 or [3, 5]; nothing for 1.
std::optional<Yaml> times(const Value& value);
/// Text, symbol or number, as text; empty for anything else.
std::string text_of(const Value& value);
/// A name that supv takes: what it does not take becomes '-'.
std::string valid_watch_name(std::string_view name);
/// "file.god:12"; relative to the working directory where it is below it.
std::string place_text(const Spot& spot);

// --- rooms --------------------------------------------------------------------------------------
/// `notify` of a condition; nothing when it has none, or none that can be read.
std::optional<Yaml> notify_of(const Thing& thing, Room& room);
/// A lambda as a command of Ruby's; nothing without its source.
std::optional<Yaml> ruby_command(const Value& code);
/// A lambda as a line for the shell that exits 0 when it is true; nothing without its source.
std::optional<std::string> ruby_question(const Value& code);
/// False, and a note, when the condition lacks a parameter that god demands.
bool complete(const Thing& thing, Room& room);
/// A condition as `NAME: {parameters}`; `transition` is written when it is not empty. Nothing, and
/// a note, when it cannot be expressed.
std::optional<Yaml> condition(const Thing& thing, Room& room, std::string_view transition = {});
/// A condition class of the file's own that compares values of Consul's KV store, as consul_kv.
std::optional<Yaml> consul_condition(const Thing& thing, Room& room);
/// Everything about how the watch moves between its states: keepalive, lists of conditions,
/// flapping, transitions, lifecycle.
void convert_lifecycle(const RecordedWatch& watch, Room& room, Yaml& out);
void convert_behaviors(const RecordedWatch& watch, Room& room, Yaml& out);
/// A watch; conditions included.
Yaml convert_watch(const RecordedWatch& watch, Room& room);
/// A task, as the tasks it comes to: name and keys.
std::vector<std::pair<std::string, Yaml>> convert_task(const RecordedWatch& task, Room& room);
/// Contacts by name, defaults of their classes merged in.
Yaml convert_contacts(Room& room);
/// `daemon`, from God.xxx = ...
Yaml convert_globals(Room& room);
/// Watches of one loop: all but the first `extends` the first, and say only what differs.
void fold_loops(std::vector<std::pair<std::string, Yaml>>& watches, const std::vector<Spot>& spots);

}  // namespace supv::import_god
