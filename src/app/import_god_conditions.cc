#include <fmt/core.h>

#include <array>

#include "app/import_god_parts.h"

namespace supv::import_god {
namespace {

using Kind = Value::Kind;

void put(Yaml& out, std::string_view key, const std::optional<Yaml>& value) {
  if (value) out.set(key, *value);
}

/// A text parameter, if it was given.
void put_text(Yaml& out, std::string_view key, const Value& value) {
  const std::string text = text_of(value);
  if (!text.empty()) out.set(key, value.is(Kind::number) ? word(text) : literal(text));
}

Yaml named(std::string_view name, Yaml parameters) {
  if (parameters.entries.empty()) return word(std::string(name));
  Yaml out = map();
  out.set(name, std::move(parameters));
  return out;
}

/// interval, times and notify, which every condition has.
void put_common(const Thing& thing, Room& room, Yaml& out) {
  put(out, "interval", duration(thing.get("interval")));
  put(out, "notify", notify_of(thing, room));
}

Yaml shell_question(const std::string& command, bool fires_on_zero) {
  Yaml out = map();
  out.set("command", literal(command));
  out.set("fires_on", word(fires_on_zero ? "zero" : "nonzero"));
  return out;
}

/// A condition that looks at the process which a pid file names: supv's look at the watch's own.
bool own_process(const Thing& thing, Room& room) {
  const std::string file = text_of(thing.get("pid_file"));
  if (file.empty() || file == room.pid_file) return true;
  room.notes.lost(thing.spot,
                  fmt::format("{} looks at the process of {}; supv's looks at the watch's own",
                              thing.kind, file));
  return true;
}

std::optional<Yaml> process_running(const Thing& thing, Room& room) {
  const bool running = thing.kind == "process_running" && thing.get("running").truth;
  const std::string file = text_of(thing.get("pid_file"));
  if (room.task || (!file.empty() && file != room.pid_file)) {
    if (file.empty()) {
      room.notes.lost(thing.spot, "process_running of a task needs a pid_file");
      return std::nullopt;
    }
    Yaml out = shell_question(fmt::format("kill -0 \"$(cat '{}')\" 2>/dev/null", file), running);
    put_common(thing, room, out);
    return named("exec", out);
  }
  Yaml out = map();
  out.set("running", word(running ? "true" : "false"));
  put_common(thing, room, out);
  return named("process_running", out);
}

std::optional<Yaml> usage(const Thing& thing, Room& room) {
  own_process(thing, room);
  const bool memory = thing.kind == "memory_usage";
  const auto above = memory ? size(thing.get("above")) : percent(thing.get("above"));
  if (!above) {
    room.notes.lost(thing.spot, thing.kind + " has no `above` that is a number");
    return std::nullopt;
  }
  Yaml out = map({{"above", *above}});
  put(out, "times", times(thing.get("times")));
  put_common(thing, room, out);
  room.notes.changed(thing.spot, memory ? "memory_usage: god measured the RSS of one process, supv "
                                          "the PSS of its whole tree (scope: process, of: rss)"
                                        : "cpu_usage: god measured the average since the process's "
                                          "start, supv each interval, of the whole tree (scope: "
                                          "process); a limit may need tuning");
  return named(thing.kind, out);
}

/// Ruby users write ports as texts as well.
void put_port(Yaml& out, const Thing& thing) {
  const std::string port = text_of(thing.get("port"));
  const bool digits = port.find_first_not_of("0123456789") == std::string::npos;
  if (!port.empty()) out.set("port", digits ? word(port) : literal(port));
}

std::optional<Yaml> http(const Thing& thing, Room& room) {
  Yaml out = map();
  const std::string host = text_of(thing.get("host"));
  if (host.empty()) {
    room.notes.lost(thing.spot, "http_response_code has no host");
    return std::nullopt;
  }
  for (const char* key : {"host", "path", "ca_file"}) put_text(out, key, thing.get(key));
  put_port(out, thing);
  const bool tls = thing.get("ssl").truth || text_of(thing.get("port")) == "443";
  if (thing.get("ssl").truth) out.set("ssl", word("true"));
  if (tls && !thing.get("ca_file").present()) {
    room.notes.changed(thing.spot,
                       "http_response_code: god did not check the server's certificate, supv does "
                       "(insecure: true)");
  }
  for (const char* key : {"code_is", "code_is_not"}) {
    const Value& codes = thing.get(key);
    if (!codes.present()) continue;
    Yaml all = list();
    for (const Value& code : codes.items) all.items.push_back(word(text_of(code)));
    out.set(key, codes.is(Kind::list) ? all : word(text_of(codes)));
  }
  put(out, "timeout", duration(thing.get("timeout")));
  Yaml headers = list();
  for (const auto& [name, value] : thing.get("headers").pairs) {
    headers.items.push_back(literal(fmt::format("{}: {}", text_of(name), text_of(value))));
  }
  if (!headers.items.empty()) out.set("headers", headers);
  put(out, "times", times(thing.get("times")));
  put_common(thing, room, out);
  return named(thing.kind, out);
}

std::optional<Yaml> socket(const Thing& thing, Room& room) {
  Yaml out = map();
  for (const char* key : {"family", "addr", "path"}) put_text(out, key, thing.get(key));
  put_port(out, thing);
  if (thing.get("responding").truth) out.set("responding", word("true"));
  put(out, "times", times(thing.get("times")));
  put_common(thing, room, out);
  return named(thing.kind, out);
}

std::optional<Yaml> file_or_disk(const Thing& thing, Room& room) {
  Yaml out = map();
  if (thing.get("above").number >= 100) {
    room.notes.lost(thing.spot, "disk_usage above 100% is never true");
    return std::nullopt;
  }
  put_text(out, "mount_point", thing.get("mount_point"));
  put_text(out, "path", thing.get("path"));
  put(out, "above", percent(thing.get("above")));
  put(out, "max_age", duration(thing.get("max_age")));
  put_common(thing, room, out);
  return named(thing.kind, out);
}

std::optional<Yaml> counted(const Thing& thing, Room& room) {
  Yaml out = map();
  put(out, "times", integer(thing.get("times")));
  put(out, "within", duration(thing.get("within")));
  put_common(thing, room, out);
  return named(thing.kind, out);
}

std::optional<Yaml> always(const Thing& thing, Room& room) {
  Yaml out = map();
  out.set("what", word(thing.get("what").truth ? "true" : "false"));
  put_common(thing, room, out);
  return named("always", out);
}

std::optional<Yaml> process_exits(const Thing& thing, Room& room) {
  Yaml out = map();
  put(out, "notify", notify_of(thing, room));
  return named("process_exits", out);
}

std::optional<Yaml> lambda(const Thing& thing, Room& room) {
  const Value& code = thing.get("lambda");
  const auto command = ruby_question(code);
  if (!command) {
    room.notes.lost(thing.spot, thing.kind + ": the source of its lambda is not there");
    return std::nullopt;
  }
  std::string text =
      fmt::format("{}: its Ruby became a command of its own that runs each time", thing.kind);
  std::string missing;
  for (const std::string& name : code.unsure) missing += (missing.empty() ? "" : ", ") + name;
  if (!missing.empty()) text += "; what it misses there: " + missing;
  room.notes.review(thing.spot, text);
  Yaml out = map({{"command", literal(*command)}});
  const bool degrading = thing.kind == "degrading_lambda";
  if (!degrading) out.set("fires_on", word("zero"));
  put_common(thing, room, out);
  Yaml made = named(degrading ? "degrading" : "exec", out);
  made.comment = "REVIEW: the lambda of " + place_text(code.spot);
  if (!missing.empty()) made.comment += "; it misses " + missing;
  return made;
}

Yaml negated(Yaml condition) {
  Yaml out = map();
  out.set("not", std::move(condition));
  return out;
}

/// God's `complex` goes from left to right without precedence.
std::optional<Yaml> complex(const Thing& thing, Room& room) {
  std::optional<Yaml> result;
  for (const Part& part : thing.parts) {
    auto one = condition(part.condition, room);
    if (!one) {
      room.notes.lost(thing.spot, "complex: left out, because a part of it cannot be expressed");
      return std::nullopt;
    }
    if (part.op.ends_with("_not")) one = negated(std::move(*one));
    if (!result) {
      result = std::move(one);
      continue;
    }
    const std::string_view join = part.op.starts_with("and") ? "all" : "any";
    const Yaml* same = result->kind == Yaml::Kind::map ? result->find(join) : nullptr;
    Yaml parts = same != nullptr ? *same : list({std::move(*result)});
    parts.items.push_back(std::move(*one));
    result = map();
    result->set(join, std::move(parts));
  }
  if (!result) {
    room.notes.lost(thing.spot, "complex: it has no conditions");
    return std::nullopt;
  }
  room.notes.changed(thing.spot, "complex: god never judged a condition with `times` inside it");
  Yaml common = map();
  put_common(thing, room, common);
  if (common.entries.empty()) return result;
  // Its own parameters need the long form.
  auto& [join, parts] = result->entries.front();
  if (join != "all" && join != "any" && join != "not") {
    const Yaml only = *result;
    result = map();
    result->set("all", list({only}));
  }
  Yaml& inner = result->entries.front().second;
  Yaml body = map();
  body.set("conditions", inner.kind == Yaml::Kind::list ? inner : list({inner}));
  for (auto& [key, value] : common.entries) body.set(key, value);
  inner = std::move(body);
  return result;
}

std::optional<Yaml> custom(const Thing& thing, Room& room) {
  if (auto kv = consul_condition(thing, room)) {
    put_common(thing, room, kv->entries.front().second);
    return kv;
  }
  room.notes.lost(thing.spot, fmt::format("{}: a condition class of the file's own; write it as "
                                          "`exec` with a command that exits 2 when it is true",
                                          thing.kind));
  return std::nullopt;
}

using Converter = std::optional<Yaml> (*)(const Thing&, Room&);
constexpr std::array<std::pair<std::string_view, Converter>, 15> kConverters = {{
    {"process_running", process_running},
    {"process_not_running", process_running},
    {"process_exits", process_exits},
    {"memory_usage", usage},
    {"cpu_usage", usage},
    {"http_response_code", http},
    {"socket_responding", socket},
    {"disk_usage", file_or_disk},
    {"file_mtime", file_or_disk},
    {"file_touched", file_or_disk},
    {"tries", counted},
    {"always", always},
    {"lambda", lambda},
    {"degrading_lambda", lambda},
    {"complex", complex},
}};

}  // namespace

/// God refuses a condition that lacks one of these.
bool complete(const Thing& thing, Room& room) {
  constexpr std::pair<std::string_view, std::string_view> kRequired[] = {
      {"disk_usage", "mount_point"}, {"disk_usage", "above"},  {"file_mtime", "path"},
      {"file_mtime", "max_age"},     {"file_touched", "path"}, {"tries", "times"},
      {"flapping", "times"},         {"flapping", "within"}};
  for (const auto& [kind, name] : kRequired) {
    if (kind != thing.kind || thing.get(name).present()) continue;
    room.notes.lost(thing.spot,
                    fmt::format("{} has no {}; god would not have started", kind, name));
    return false;
  }
  return true;
}

std::optional<Yaml> condition(const Thing& thing, Room& room, std::string_view transition) {
  if (!thing.custom && !complete(thing, room)) return std::nullopt;
  std::optional<Yaml> made;
  if (thing.custom) {
    made = custom(thing, room);
  } else if (thing.unknown) {
    room.notes.lost(thing.spot, fmt::format("god has no condition {}", thing.kind));
    return std::nullopt;
  } else {
    for (const auto& [name, convert] : kConverters) {
      if (name == thing.kind) made = convert(thing, room);
    }
    if (thing.kind == "flapping") {
      room.notes.lost(thing.spot, "flapping stands for itself: it cannot be part of anything else");
    }
  }
  if (!made || transition.empty()) return made;
  if (made->kind == Yaml::Kind::scalar) made = named(made->text, map());
  if (made->kind == Yaml::Kind::scalar) {
    Yaml out = map();
    out.set(made->text, map({{"transition", word(std::string(transition))}}));
    return out;
  }
  Yaml& parameters = made->entries.front().second;
  if (parameters.kind == Yaml::Kind::list) {
    parameters = map({{"conditions", parameters}});
  }
  parameters.set("transition", word(std::string(transition)));
  return made;
}

}  // namespace supv::import_god
