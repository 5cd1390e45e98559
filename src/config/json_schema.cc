#include <nlohmann/json.hpp>
#include <string>

#include "config/load.h"
#include "config/schema.h"

namespace supv {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kDuration = "^(0|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$";
constexpr const char* kName = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$";

Json level_schema(const Level& level, const Catalog& catalog);

/// What interpolation may put together cannot be checked by an editor.
Json or_interpolated(Json schema) {
  return {{"anyOf", {std::move(schema), {{"type", "string"}, {"pattern", "\\$\\{"}}}}};
}

Json pattern(const char* text) { return {{"type", "string"}, {"pattern", text}}; }
Json words(std::string_view choices) {
  Json schema = {{"enum", Json::array()}};
  for (const auto word : split_choices(choices)) schema["enum"].push_back(std::string(word));
  return schema;
}
Json scalar() { return {{"type", {"string", "number", "boolean"}}}; }
Json list_of(Json item) { return {{"type", "array"}, {"items", std::move(item)}}; }
Json either(Json a, Json b) { return {{"anyOf", {std::move(a), std::move(b)}}}; }
Json command() {
  Json list = list_of(scalar());
  list["minItems"] = 1;
  return either({{"type", "string"}, {"minLength", 1}}, std::move(list));
}
Json times() {
  const Json number = {{"type", "integer"}, {"minimum", 1}, {"maximum", 64}};
  return {{"anyOf",
           {number, {{"type", "array"}, {"items", number}, {"minItems", 2}, {"maxItems", 2}}}}};
}
Json maps_of(Json body) {
  return {{"type", "object"},
          {"propertyNames", {{"pattern", kName}}},
          {"additionalProperties", std::move(body)}};
}

Json option_schema(const supv_option& option) {
  switch (option.type) {
    case SUPV_TEXT:
      return scalar();
    case SUPV_DURATION:
      return or_interpolated(pattern(kDuration));
    case SUPV_SIZE:
      return or_interpolated({{"type", {"string", "integer"}}});
    case SUPV_PERCENT:
      return or_interpolated(pattern("^[0-9.]+%$"));
    case SUPV_INTEGER:
      return or_interpolated({{"type", "integer"}});
    case SUPV_BOOLEAN:
      return or_interpolated({{"type", "boolean"}});
    case SUPV_CHOICE:
      return or_interpolated(words(option.choices == nullptr ? "" : option.choices));
    case SUPV_LIST:
      return either(scalar(), list_of(scalar()));
  }
  return Json::object();
}

Json condition_schema(const supv_condition_descriptor& kind, const Catalog& catalog) {
  Json parameters = level_schema(condition_level(), catalog);
  for (std::uint32_t i = 0; i < kind.option_count; ++i) {
    const supv_option& option = kind.options[i];
    Json schema = option_schema(option);
    schema["description"] = option.help == nullptr ? "" : option.help;
    if (option.fallback != nullptr) schema["default"] = option.fallback;
    parameters["properties"][option.name] = std::move(schema);
    if (option.required != 0) parameters["required"].push_back(option.name);
  }
  return parameters;
}

/// all and any may be just the list of their parts, not also its only one.
Json whole_schema(const supv_condition_descriptor& kind, const Catalog& catalog) {
  const Json parts = {{"$ref", "#/definitions/conditions"}};
  Json parameters = condition_schema(kind, catalog);
  parameters["properties"]["conditions"] = parts;
  Json ways = {parts, std::move(parameters)};
  if (std::string_view(kind.name) == "not") ways.push_back({{"$ref", "#/definitions/condition"}});
  return {{"anyOf", std::move(ways)}};
}

Json one_condition_schema(const Catalog& catalog) {
  Json names = {{"enum", Json::array()}};
  Json properties = Json::object();
  for (const auto* kind : catalog) {
    const std::string_view name = kind->name;
    const bool whole = name == "all" || name == "any" || name == "not";
    Json parameters = whole                ? whole_schema(*kind, catalog)
                      : name == "flapping" ? level_schema(flapping_condition_level(), catalog)
                                           : condition_schema(*kind, catalog);
    parameters["description"] = kind->help == nullptr ? "" : kind->help;
    properties[kind->name] = std::move(parameters);
    if (whole) continue;
    names["enum"].push_back(kind->name);
    properties[kind->name] = {{"anyOf", {{{"type", "null"}}, std::move(properties[kind->name])}}};
  }
  return {{"anyOf",
           {std::move(names),
            {{"type", "object"},
             {"properties", std::move(properties)},
             {"additionalProperties", false},
             {"minProperties", 1},
             {"maxProperties", 1}}}}};
}

Json key_schema(const Key& key, const Catalog& catalog) {
  switch (key.type) {
    case KeyType::text:
    case KeyType::message:
    case KeyType::signal:
      return scalar();
    case KeyType::boolean:
      return or_interpolated({{"type", "boolean"}});
    case KeyType::duration:
      return or_interpolated(pattern(kDuration));
    case KeyType::percent:
      return or_interpolated(pattern("^[0-9.]+%$"));
    case KeyType::number:
      return or_interpolated({{"type", "number"}});
    case KeyType::integer:
      return or_interpolated({{"type", "integer"}, {"minimum", 0}});
    case KeyType::octal:
      return or_interpolated(pattern("^[0-7]{1,4}$"));
    case KeyType::choice:
      return or_interpolated(words(key.choices));
    case KeyType::texts:
      return either(scalar(), list_of(scalar()));
    case KeyType::text_map:
      return {{"type", "object"},
              {"additionalProperties", {{"type", {"string", "number", "boolean", "null"}}}}};
    case KeyType::times:
      return times();
    case KeyType::command:
    case KeyType::reload:
      return command();
    case KeyType::ladder: {
      Json list = list_of(pattern("^[A-Z0-9+-]+( +[0-9a-z]+)?$"));
      list["minItems"] = 1;
      return list;
    }
    case KeyType::keepalive:
      return either(or_interpolated({{"type", "boolean"}}), level_schema(*key.level, catalog));
    case KeyType::transitions:
      return list_of(level_schema(*key.level, catalog));
    case KeyType::behaviors:
      return list_of(
          either(words("clean_pid_file|clean_unix_socket|notify_when_flapping"),
                 {{"type", "object"},
                  {"properties", {{"notify_when_flapping", level_schema(*key.level, catalog)}}},
                  {"additionalProperties", false}}));
    case KeyType::size:
      return or_interpolated({{"type", {"string", "integer"}}});
    case KeyType::plugins:
      return either(either(scalar(), list_of(scalar())), level_schema(*key.level, catalog));
    case KeyType::notify:
      return either(either(scalar(), list_of(scalar())),
                    {{"type", "object"},
                     {"properties",
                      {{"contacts", either(scalar(), list_of(scalar()))},
                       {"priority", scalar()},
                       {"category", scalar()}}},
                     {"additionalProperties", false}});
    case KeyType::states:
      return either(either(scalar(), list_of(scalar())),
                    {{"type", "object"},
                     {"properties", {{"true", scalar()}, {"false", scalar()}}},
                     {"additionalProperties", false}});
    case KeyType::conditions:
      return {{"$ref", "#/definitions/conditions"}};
    case KeyType::map:
    case KeyType::consul:
      if (key.level == &watch_level()) return {{"$ref", "#/definitions/watch"}};
      return level_schema(*key.level, catalog);
    case KeyType::maps:
      if (key.level == &watch_level()) return maps_of({{"$ref", "#/definitions/watch"}});
      return maps_of(level_schema(*key.level, catalog));
  }
  return Json::object();
}

Json level_schema(const Level& level, const Catalog& catalog) {
  Json properties = Json::object();
  for (const Key& key : level.keys) {
    // A written null unsets what is inherited.
    Json schema = {{"anyOf", {key_schema(key, catalog), {{"type", "null"}}}}};
    schema["description"] = std::string(key.help);
    if (!key.fallback.empty()) schema["default"] = std::string(key.fallback);
    properties[std::string(key.name)] = std::move(schema);
  }
  return {
      {"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties)}};
}

}  // namespace

std::string json_schema(const Catalog& catalog) {
  Json schema = {{"$schema", "http://json-schema.org/draft-07/schema#"},
                 {"title", "supv watch file"},
                 {"definitions",
                  {{"watch", level_schema(watch_level(), catalog)},
                   {"condition", one_condition_schema(catalog)},
                   {"conditions", list_of({{"$ref", "#/definitions/condition"}})}}}};
  schema.update(level_schema(top_level(), catalog));
  return schema.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace supv
