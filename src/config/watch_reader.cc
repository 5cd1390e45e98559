#include "config/watch_reader.h"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <memory>
#include <numeric>
#include <utility>

namespace supv {
namespace {

constexpr Duration kDefaultInterval{30000};

std::string joined(const std::string& dir, const std::string& path) {
  namespace fs = std::filesystem;
  const fs::path whole = path.starts_with('/') ? fs::path(path) : fs::path(dir) / path;
  std::string text = whole.lexically_normal().string();
  if (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

}  // namespace

void WatchReader::text(const Fields& fields, std::string_view key, RareText& out) {
  std::string text = out;
  if (const Node* node = fields.find(key)) reader_.text(*node, text);
  out = std::move(text);
}

void WatchReader::duration(const Fields& fields, std::string_view key, Duration& out,
                           Duration least) {
  if (const Node* node = fields.find(key)) reader_.duration(*node, out, least);
}

void WatchReader::boolean(const Fields& fields, std::string_view key, bool& out) {
  if (const Node* node = fields.find(key)) reader_.boolean(*node, out);
}

void WatchReader::command(const Fields& fields, std::string_view key, std::optional<Command>& out) {
  if (const Node* node = fields.find(key)) reader_.command(*node, out);
}

WatchSpec WatchReader::read(const WatchEntry& watch, const Node& keys) {
  WatchSpec spec;
  spec.name = watch.key->text;
  spec.file = watch.document->source.path;
  reader_.expander().enter(&watch.document->scope, spec.name);
  const Fields fields(reader_, keys, watch_level());
  read_dir(fields, spec.process);
  reader_.expander().set_watch_dir(spec.process.dir);
  read_process(watch, fields, spec);
  read_surroundings(fields, spec.process);
  RareSpec rare;
  read_rare(fields, rare);
  read_stopping(fields, spec, rare.stop);
  read_ready(fields, spec);
  read_groups(fields, spec);
  read_flags(fields, spec);
  read_conditions(watch, fields, spec, rare);
  check_behaviors(fields, spec, rare);
  hint(watch, fields, spec);
  if (!(rare == RareSpec())) spec.rare = std::make_shared<const RareSpec>(std::move(rare));
  return spec;
}

void WatchReader::read_dir(const Fields& fields, ProcessSpec& process) {
  process.dir = std::string(1, '/');
  const Node* node = fields.find("dir");
  std::string written;
  if (node != nullptr) reader_.text(*node, written);
  if (!written.empty()) process.dir = joined(node->source->dir, written);
}

void WatchReader::read_process(const WatchEntry& watch, const Fields& fields, WatchSpec& spec) {
  std::optional<Command> start;
  command(fields, "start", start);
  if (start) spec.process.start = std::move(*start);
  if (fields.find("start") == nullptr) {
    reader_.error(*watch.key, fmt::format("watch '{}' needs 'start'", spec.name));
  }
  text(fields, "pid_file", spec.process.pid_file);
  if (const Node* node = fields.find("kill")) {
    const auto choice = reader_.choice(*node, "tree|process");
    spec.process.whole_tree = choice.value_or(0) == 0;
    if (choice == 1U) {
      reader_.warning(*node, "'kill: process' leaves the process's descendants alone",
                      "they may outlive a stop, and run beside the next copy");
    }
  }
}

void WatchReader::read_surroundings(const Fields& fields, ProcessSpec& process) {
  if (const Node* node = fields.find("env")) reader_.text_map(*node, process.env);
  if (const Node* node = fields.find("env_file")) reader_.texts(*node, process.env_files);
  boolean(fields, "clean_env", process.clean_env);
  text(fields, "uid", process.uid);
  text(fields, "gid", process.gid);
  if (const Node* node = fields.find("umask")) {
    reader_.octal(*node, process.umask);
    if (process.umask && *process.umask > 0777) {
      reader_.error(*node, fmt::format("'{}' is more than a umask holds", node->text),
                    "at most \"0777\"");
    }
  }
  text(fields, "chroot", process.chroot);
  if (const Node* node = fields.find("chroot");
      node != nullptr && !process.chroot.empty() && !process.chroot.starts_with('/')) {
    reader_.error(*node, "'chroot' must be an absolute path");
  }
  text(fields, "log", process.log);
  text(fields, "err_log", process.err_log);
}

void WatchReader::read_stopping(const Fields& fields, WatchSpec& spec,
                                const std::optional<Command>& stop) {
  duration(fields, "start_timeout", spec.start_timeout, Duration{1});
  const Node* sequence = fields.find("stop_sequence");
  const Node* signal = fields.find("stop_signal");
  const Node* timeout = fields.find("stop_timeout");
  duration(fields, "stop_timeout", spec.stop_timeout);
  if (sequence != nullptr) {
    if (signal != nullptr) {
      reader_.error(*signal, "'stop_signal' and 'stop_sequence' exclude each other");
    }
    reader_.ladder(*sequence, spec.ladder);
    const auto total =
        std::accumulate(spec.ladder.begin(), spec.ladder.end(), Duration{0},
                        [](Duration sum, const LadderStep& step) { return sum + step.wait; });
    if (timeout == nullptr) {
      spec.stop_timeout = total;
    } else if (!stop && spec.stop_timeout != total) {
      reader_.warning(*timeout, "'stop_timeout' does not bound the signals of 'stop_sequence'",
                      "write the times there");
    }
    return;
  }
  int first = SIGTERM;
  if (signal != nullptr) reader_.signal(*signal, first);
  if (first != SIGKILL) spec.ladder.push_back({first, spec.stop_timeout});
  spec.ladder.push_back({SIGKILL, Duration{0}});
}

void WatchReader::read_tcp(const Node& node, std::string& target) {
  reader_.text(node, target);
  if (target.empty()) return;
  const std::size_t colon = target.rfind(':');
  const auto port = colon == std::string::npos
                        ? std::nullopt
                        : parse_unsigned(std::string_view(target).substr(colon + 1));
  const std::string host = colon == std::string::npos ? "" : target.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  const bool plain = !host.empty() && host.find_first_of(":[] /") == std::string::npos;
  if (!port || *port < 1 || *port > 65535 || !(plain || bracketed)) {
    reader_.error(node, fmt::format("'{}' is not HOST:PORT", node.text),
                  "write it like \"127.0.0.1:3000\" or \"[::1]:3000\"");
  }
}

void WatchReader::read_ready(const Fields& fields, WatchSpec& spec) {
  duration(fields, "watchdog", spec.watchdog, Duration{10});
  const Node* map = fields.find("ready");
  if (map == nullptr || !reader_.require(*map, Node::Kind::map, "a map, like {notify: true}")) {
    return;
  }
  const Fields ready(reader_, *map, ready_level());
  int ways = 0;
  if (const Node* node = ready.find("notify")) {
    bool notify = true;
    reader_.boolean(*node, notify);
    if (!notify) reader_.error(*node, "'notify' is true or not written");
    spec.ready.kind = ReadySpec::Kind::notify;
    ++ways;
  }
  if (const Node* node = ready.find("after")) {
    spec.ready.kind = ReadySpec::Kind::after;
    reader_.duration(*node, spec.ready.after);
    if (spec.ready.after >= spec.start_timeout) {
      reader_.error(*node, fmt::format("it would never be ready: 'start_timeout' is {}",
                                       format_duration(spec.start_timeout)));
    }
    ++ways;
  }
  if (const Node* node = ready.find("tcp")) {
    spec.ready.kind = ReadySpec::Kind::tcp;
    read_tcp(*node, spec.ready.target);
    ++ways;
  }
  if (const Node* node = ready.find("file")) {
    spec.ready.kind = ReadySpec::Kind::file;
    reader_.text(*node, spec.ready.target);
    ++ways;
  }
  if (ways != 1) reader_.error(*map, "'ready' is one of notify, after, tcp and file");
}

void WatchReader::read_groups(const Fields& fields, WatchSpec& spec) {
  for (const std::string_view key : {"group", "groups"}) {
    const Node* node = fields.find(key);
    if (node == nullptr) continue;
    std::vector<std::string> names;
    if (key == "group" && !reader_.require(*node, Node::Kind::scalar, "one name")) continue;
    reader_.texts(*node, names);
    for (std::string& name : names) {
      if (!valid_name(name)) {
        reader_.error(*node, fmt::format("'{}' cannot be the name of a group", name),
                      "1 to 64 of A-Z a-z 0-9 _ . -, not starting with . or -");
      } else if (std::find(spec.groups.begin(), spec.groups.end(), name) == spec.groups.end()) {
        spec.groups.push_back(std::move(name));
      }
    }
  }
}

void WatchReader::read_flags(const Fields& fields, WatchSpec& spec) {
  boolean(fields, "autostart", spec.autostart);
  boolean(fields, "essential", spec.essential);
  duration(fields, "grace", spec.grace);
  duration(fields, "start_grace", spec.start_grace);
  duration(fields, "stop_grace", spec.stop_grace);
  duration(fields, "restart_grace", spec.restart_grace);
  if (const Node* node = fields.find("backoff");
      node != nullptr && reader_.require(*node, Node::Kind::map, "a map, like {max: 60s}")) {
    read_backoff(*node, spec.backoff);
  }
}

void WatchReader::read_conditions(const WatchEntry& watch, const Fields& fields, WatchSpec& spec,
                                  RareSpec& rare) {
  Duration interval = kDefaultInterval;
  duration(fields, "interval", interval, Duration{10});
  conditions_.begin_watch(interval, rare);
  if (const Node* node = fields.find("keepalive")) {
    if (node->is_map()) {
      conditions_.read_keepalive(*node, spec.conditions);
    } else {
      reader_.boolean(*node, spec.keepalive);
    }
  }
  constexpr std::pair<std::string_view, ConditionList> kLists[] = {
      {"start_if", ConditionList::start_if},         {"restart_if", ConditionList::restart_if},
      {"stop_if", ConditionList::stop_if},           {"reload_if", ConditionList::reload_if},
      {"unmonitor_if", ConditionList::unmonitor_if}, {"notify_if", ConditionList::notify_if},
      {"lifecycle", ConditionList::lifecycle}};
  for (const auto& [key, list] : kLists) {
    if (const Node* node = fields.find(key))
      conditions_.read_list(*node, place_of(list), spec.conditions);
  }
  if (const Node* node = fields.find("transitions")) {
    conditions_.read_transitions(*node, spec.conditions);
    const bool rises =
        std::any_of(spec.conditions.begin(), spec.conditions.end(), [](const ConditionSpec& one) {
          return one.list == ConditionList::transitions && (one.phases & phase::kInit) == 0 &&
                 (one.action == Action::up || one.otherwise == Action::up);
        });
    if (rises && fields.find("ready") != nullptr) {
      reader_.error(*node, "'ready' and a transition to 'up' exclude each other");
    }
    if (rises) spec.ready.kind = ReadySpec::Kind::condition;
  }
  conditions_.end_watch(*watch.key, spec.conditions);
}

void WatchReader::hint(const WatchEntry& watch, const Fields& fields, const WatchSpec& spec) {
  const Node* start = fields.find("start");
  const auto& argv = spec.process.start.argv;
  const bool sidekiq = std::any_of(argv.begin(), argv.end(), [](const std::string& word) {
    return word == "sidekiq" || word.ends_with("/sidekiq");
  });
  const bool detached = std::find(argv.begin(), argv.end(), "-d") != argv.end();
  if (start != nullptr && sidekiq && detached) {
    reader_.warning(*start, "Sidekiq 6 and later have no '-d' and '-P': it stays in the foreground",
                    "remove -d, -P and pid_file, and write 'ready: {notify: true}'");
  }
  const Node* reload_if = fields.find("reload_if");
  if (reload_if != nullptr && fields.find("reload") == nullptr) {
    reader_.error(*reload_if,
                  fmt::format("'reload_if' needs 'reload' in watch '{}'", watch.key->text));
  }
}

}  // namespace supv
