#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "app/import_god_parts.h"

namespace supv::import_god {
namespace {

using Kind = Value::Kind;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

std::string source_of(const Thing& thing) {
  std::string all;
  for (const auto& [name, value] : thing.methods) all += value.text + "\n";
  return all;
}

/// The first attribute with one of these names.
std::string first(const Thing& thing, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const std::string text = text_of(thing.get(name));
    if (!text.empty()) return text;
  }
  return {};
}

/// What `#{...}` stands for in a text of the class; empty when it cannot be told.
std::string filled_in(std::string_view text, const Thing& thing) {
  std::string out;
  while (!text.empty()) {
    const std::size_t hole = text.find("#{");
    out += text.substr(0, hole);
    if (hole == std::string_view::npos) return out;
    const std::size_t end = text.find('}', hole);
    if (end == std::string_view::npos) return {};
    std::string name(text.substr(hole + 2, end - hole - 2));
    if (name.starts_with("self.")) name = name.substr(5);
    if (name.starts_with('@')) name = name.substr(1);
    const std::string value = text_of(thing.get(name));
    if (value.empty()) return {};
    out += value;
    text.remove_prefix(end + 1);
  }
  return out;
}

/// What stands between `before` and a quote, blank or question mark.
std::string literal_after(std::string_view source, std::string_view before, const Thing& thing) {
  const std::size_t found = source.find(before);
  if (found == std::string_view::npos) return {};
  std::string_view rest = source.substr(found + before.size());
  if (before.ends_with('(') && (rest.starts_with('\'') || rest.starts_with('"'))) {
    rest.remove_prefix(1);
  } else if (before.ends_with('(')) {
    return {};
  }
  return filled_in(rest.substr(0, rest.find_first_of("'\"? \n")), thing);
}

std::string key_of(const Thing& thing, std::string_view source) {
  const std::string own =
      first(thing, {"key", "kv_key", "consul_key", "key_path", "kv_path", "kv", "path", "prefix"});
  if (!own.empty()) return own.starts_with('/') ? own.substr(1) : own;
  for (const char* before : {"Kv.get(", "kv.get(", "/v1/kv/"}) {
    const std::string key = literal_after(source, before, thing);
    if (!key.empty()) return key;
  }
  return {};
}

std::string address_of(const Thing& thing, std::string_view source, const Recording& recording) {
  std::string own = first(thing, {"consul_url", "consul_address", "consul", "address", "url"});
  if (own.starts_with("http")) {
    const std::size_t path = own.find('/', own.find("//") + 2);
    return own.substr(0, path);
  }
  const std::string host = first(thing, {"consul_host", "host"});
  if (!host.empty()) {
    const std::string port = first(thing, {"consul_port", "port"});
    return fmt::format("http://{}:{}", host, port.empty() ? "8500" : port);
  }
  const std::size_t api = source.find("/v1/kv");
  const std::size_t scheme =
      api == std::string_view::npos ? api : source.substr(0, api).rfind("http");
  if (scheme != std::string_view::npos) {
    const std::string found = filled_in(source.substr(scheme, api - scheme), thing);
    if (!found.empty()) return found;
  }
  return recording.diplomat_url;
}

/// It remembers earlier values, so that it is true when they differ.
bool compares(const Thing& thing, std::string_view source) {
  for (const auto& [name, value] : thing.attributes) {
    if (value.is(Kind::timeline)) return true;
  }
  return source.find("Timeline") != std::string_view::npos ||
         source.find("!=") != std::string_view::npos;
}

}  // namespace

std::optional<Yaml> consul_condition(const Thing& thing, Room& room) {
  const std::string source = source_of(thing);
  const std::string folded = lower(thing.kind + "\n" + source);
  const bool consul = folded.find("diplomat") != std::string::npos ||
                      folded.find("/v1/kv") != std::string::npos ||
                      folded.find("consul") != std::string::npos;
  if (!consul || !compares(thing, source)) return std::nullopt;
  const std::string key = key_of(thing, source);
  if (key.empty()) return std::nullopt;
  const bool prefix = folded.find("recurse") != std::string::npos || key.ends_with('/');
  Yaml parameters = map();
  parameters.set(prefix ? "prefix" : "key", literal(key));
  for (const auto& [name, value] : thing.attributes) {
    if (!value.is(Kind::timeline) || value.number < 2) continue;
    parameters.set("window", word(fmt::format("{:.0f}", value.number)));
    break;
  }
  const std::string address = address_of(thing, source, room.recording);
  if (room.consul.address.empty()) room.consul.address = address;
  if (!address.empty() && address != room.consul.address) {
    room.notes.review(thing.spot, fmt::format("{}: it asks {}, the others {}; `consul: clusters` "
                                              "names several",
                                              thing.kind, address, room.consul.address));
  }
  const std::string token = first(thing, {"token", "acl_token", "consul_token"});
  if (!token.empty()) {
    room.consul.token = token;
    room.secrets = true;
  }
  room.notes.review(thing.spot, fmt::format("{}: a condition class of the file's own, taken for a "
                                            "watch on Consul's key {}",
                                            thing.kind, key));
  room.notes.changed(thing.spot,
                     "consul_kv: god compared with the poll before, supv with the "
                     "value the process was started under, is told by Consul at once "
                     "(mode: poll asks every interval), and never acts on silence");
  Yaml made = map();
  made.set("consul_kv", parameters);
  made.comment = fmt::format("REVIEW: was {} at {}", thing.kind, place_text(thing.spot));
  return made;
}

}  // namespace supv::import_god
