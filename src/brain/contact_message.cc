#include "brain/contact_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/units.h"

namespace supv {

namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string_view option_of(const ContactSpec& contact, std::string_view name) {
  for (const auto& [key, value] : contact.options) {
    if (key == name) return value;
  }
  return {};
}

std::string json_of(const ContactMessage& message) {
  Json json = Json::object();
  for (const std::string_view name : placeholder_names()) {
    json[std::string(name)] = std::string(message.text.value(name));
  }
  json["count"] = message.notices.size();
  for (const Notice& one : message.notices) {
    json["notices"].push_back({{"kind", kind_name(one.kind)},
                               {"watch", one.watch},
                               {"condition", condition_of(one)},
                               {"state", one.state},
                               {"action", one.action},
                               {"message", one_line(one)},
                               {"priority", one.to.priority.text()},
                               {"category", one.to.category.text()},
                               {"time", format_time(one.wall_ms)}});
  }
  return dumped(json);
}

std::string json_escaped(std::string_view text) {
  const std::string quoted = dumped(Json(std::string(text)));
  return quoted.substr(1, quoted.size() - 2);
}

std::string form_escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    result += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return result;
}

bool is_bad(const Notice& notice) {
  switch (notice.kind) {
    case Notice::Kind::fired:
    case Notice::Kind::flapping:
      return true;
    case Notice::Kind::recovered:
      return false;
    case Notice::Kind::state:
      break;
  }
  constexpr std::array kBad = {"backoff", "failed", "exited", "stuck"};
  return std::find(kBad.begin(), kBad.end(), notice.state) != kBad.end();
}

int severity_of(const Notice& notice) {
  constexpr std::array<std::pair<std::string_view, int>, 16> kWords = {{{"emergency", 2},
                                                                        {"critical", 2},
                                                                        {"crit", 2},
                                                                        {"high", 2},
                                                                        {"1", 2},
                                                                        {"error", 3},
                                                                        {"err", 3},
                                                                        {"2", 3},
                                                                        {"warning", 4},
                                                                        {"warn", 4},
                                                                        {"normal", 4},
                                                                        {"3", 4},
                                                                        {"notice", 5},
                                                                        {"low", 5},
                                                                        {"4", 5},
                                                                        {"info", 6}}};
  if (!is_bad(notice)) return 6;
  const auto found = std::find_if(kWords.begin(), kWords.end(), [&](const auto& word) {
    return word.first == notice.to.priority.text();
  });
  if (found != kWords.end()) return found->second;
  return notice.kind == Notice::Kind::fired ? 4 : 3;
}

Dispatch dispatch(const ContactMessage& message) {
  const std::string& kind = message.contact.kind;
  if (kind == "email") return mail(message);
  if (kind == "statsd" || kind == "sensu" || kind == "syslog" || kind == "exec")
    return local_call(message);
  return web_request(message);
}

}  // namespace supv
