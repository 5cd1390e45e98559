#include "app/import_god_json.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace supv::import_god {
namespace {

using nlohmann::ordered_json;
using Kind = Value::Kind;

std::string text_of(const ordered_json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Spot spot_of(const ordered_json& json) {
  Spot spot{text_of(json, "file"), 0};
  const auto line = json.find("line");
  if (line != json.end() && line->is_number_unsigned()) spot.line = line->get<std::size_t>();
  return spot;
}

std::vector<std::string> texts_of(const ordered_json& json, const char* key) {
  std::vector<std::string> texts;
  const auto found = json.find(key);
  if (found == json.end()) return texts;
  for (const auto& item : *found) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
  return texts;
}

Value value_of(const ordered_json& json);

/// What JSON has no word for: {"t": KIND, ...}.
Value tagged(const ordered_json& json) {
  Value value;
  const std::string kind = text_of(json, "t");
  if (kind == "symbol") {
    value.kind = Kind::symbol;
    value.text = text_of(json, "name");
  } else if (kind == "map") {
    value.kind = Kind::map;
    for (const auto& pair : json.at("pairs")) {
      value.pairs.push_back({value_of(pair.at(0)), value_of(pair.at(1))});
    }
  } else if (kind == "code") {
    value.kind = Kind::code;
    value.text = text_of(json, "source");
    value.prelude = texts_of(json, "prelude");
    value.unsure = texts_of(json, "unsure");
    value.spot = spot_of(json);
  } else if (kind == "timeline") {
    value.kind = Kind::timeline;
    const auto& size = json.at("size");
    value.number = size.is_number() ? size.get<double>() : 0;
  } else {
    value.kind = Kind::object;
    value.text = text_of(json, "class");
  }
  return value;
}

Value value_of(const ordered_json& json) {
  Value value;
  if (json.is_boolean()) {
    value.kind = Kind::boolean;
    value.truth = json.get<bool>();
  } else if (json.is_number()) {
    value.kind = Kind::number;
    value.number = json.get<double>();
  } else if (json.is_string()) {
    value.kind = Kind::text;
    value.text = json.get<std::string>();
  } else if (json.is_array()) {
    value.kind = Kind::list;
    for (const auto& item : json) value.items.push_back(value_of(item));
  } else if (json.is_object()) {
    return tagged(json);
  }
  return value;
}

Attributes attributes_of(const ordered_json& json, const char* key) {
  Attributes attributes;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_object()) return attributes;
  for (const auto& [name, value] : found->items()) attributes.emplace_back(name, value_of(value));
  return attributes;
}

Thing thing_of(const ordered_json& json) {
  Thing thing;
  thing.kind = text_of(json, "kind");
  thing.custom = json.value("custom", false);
  thing.unknown = json.value("unknown", false);
  thing.attributes = attributes_of(json, "attributes");
  thing.methods = attributes_of(json, "methods");
  thing.spot = spot_of(json);
  if (const auto parts = json.find("parts"); parts != json.end()) {
    for (const auto& part : *parts) {
      thing.parts.push_back({text_of(part, "operator"), thing_of(part.at("condition"))});
    }
  }
  return thing;
}

std::vector<std::string> states_of(const Value& value) {
  std::vector<std::string> states;
  if (value.is_word()) states.push_back(value.text);
  for (const Value& item : value.items) {
    if (item.is_word()) states.push_back(item.text);
  }
  return states;
}

RecordedWatch watch_of(const ordered_json& json) {
  RecordedWatch watch;
  watch.task = text_of(json, "kind") == "task";
  watch.attributes = attributes_of(json, "attributes");
  watch.spot = spot_of(json);
  for (const auto& [name, line] : json.at("lines").items()) {
    watch.lines.emplace_back(name, line.get<std::size_t>());
  }
  for (const auto& behavior : json.at("behaviors")) watch.behaviors.push_back(thing_of(behavior));
  for (const auto& metric : json.at("metrics")) {
    Metric made{
        states_of(value_of(metric.at("from"))), value_of(metric.at("to")), {}, spot_of(metric)};
    for (const auto& condition : metric.at("conditions")) {
      made.conditions.push_back(thing_of(condition));
    }
    watch.metrics.push_back(std::move(made));
  }
  for (const auto& each : json.at("keepalive")) {
    Keepalive keepalive{{}, spot_of(each)};
    for (auto& [name, value] : value_of(each.at("options")).pairs) {
      keepalive.options.emplace_back(name.text, value);
    }
    watch.keepalives.push_back(std::move(keepalive));
  }
  return watch;
}

std::vector<Remark> remarks_of(const ordered_json& json, const char* key) {
  std::vector<Remark> remarks;
  for (const auto& each : json.at(key)) remarks.push_back({text_of(each, "text"), spot_of(each)});
  return remarks;
}

Recording recording_of(const ordered_json& json) {
  Recording recording;
  for (const auto& [name, setting] : json.at("globals").items()) {
    recording.globals.push_back({name, value_of(setting.at("value")), spot_of(setting)});
  }
  for (const auto& watch : json.at("watches")) recording.watches.push_back(watch_of(watch));
  for (const auto& contact : json.at("contacts")) recording.contacts.push_back(thing_of(contact));
  for (const auto& [name, defaults] : json.at("contact_defaults").items()) {
    Thing thing = thing_of(defaults);
    thing.kind = name;
    recording.contact_defaults.push_back(std::move(thing));
  }
  recording.notes = remarks_of(json, "notes");
  recording.errors = remarks_of(json, "errors");
  recording.files = texts_of(json, "loaded");
  recording.diplomat_url = text_of(json, "diplomat");
  recording.home = text_of(json, "home");
  recording.root = json.value("uid", 1) == 0;
  return recording;
}

const char* kind_name(Note::Kind kind) {
  switch (kind) {
    case Note::Kind::lost:
      return "lost";
    case Note::Kind::changed:
      return "changed";
    case Note::Kind::review:
      return "review";
  }
  return "";
}

ordered_json text_or_null(const std::string& text) {
  return text.empty() ? ordered_json() : ordered_json(text);
}

}  // namespace

Recording parse_recording(std::string_view text) {
  const ordered_json json = ordered_json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) throw std::runtime_error("no recording");
  try {
    return recording_of(json);
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(error.what());
  }
}

std::string report_json(const Converted& converted, const Recording& recording,
                        const std::vector<Diagnostic>& check, bool ok) {
  ordered_json json = {{"ok", ok},
                       {"files", recording.files},
                       {"watches", converted.watches},
                       {"tasks", converted.tasks},
                       {"contacts", converted.contacts},
                       {"notes", ordered_json::array()},
                       {"errors", ordered_json::array()},
                       {"check", ordered_json::array()},
                       {"yaml", text_or_null(converted.yaml)}};
  for (const Note& note : converted.notes) {
    json["notes"].push_back({{"kind", kind_name(note.kind)},
                             {"watch", text_or_null(note.watch)},
                             {"file", text_or_null(note.spot.file)},
                             {"line", note.spot.line},
                             {"text", note.text}});
  }
  for (const Remark& error : recording.errors) {
    json["errors"].push_back(
        {{"file", error.spot.file}, {"line", error.spot.line}, {"text", error.text}});
  }
  for (const Diagnostic& diagnostic : check) {
    const bool error = diagnostic.severity == Diagnostic::Severity::error;
    json["check"].push_back({{"line", diagnostic.place.line},
                             {"column", diagnostic.place.column},
                             {"severity", error ? "error" : "warning"},
                             {"text", diagnostic.text}});
  }
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace supv::import_god
