// What goes over HTTP, each in the words of its service.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/units.h"
#include "brain/contact_message.h"

namespace supv {
namespace {

using Json = nlohmann::ordered_json;

/// What the services allow; longer texts would be refused.
constexpr std::size_t kMaxDiscord = 2000;
constexpr std::size_t kMaxTelegram = 4096;
constexpr std::size_t kMaxTeams = 20000;
constexpr std::size_t kMaxSlack = 12000;
constexpr std::size_t kMaxSummary = 1024;

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string as_it_is(std::string_view value) { return std::string(value); }

/// Slack's own three.
std::string slack_escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    result += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  }
  return result;
}

/// At most `most` bytes, whole characters.
std::string cut(std::string text, std::size_t most) {
  constexpr std::string_view kDots = "...";
  if (text.size() <= most) return text;
  std::size_t size = most - kDots.size();
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size).append(kDots);
}

courier::Request post(const ContactSpec& contact, std::string url, std::string body) {
  courier::Request request;
  request.method = courier::Method::post;
  request.url = std::move(url);
  request.headers = {"Content-Type: application/json"};
  request.body = std::move(body);
  request.connection.ca_file = option_of(contact, "ca_file");
  request.connection.insecure = option_of(contact, "insecure") == "true";
  request.connection.proxy = option_of(contact, "proxy");
  return request;
}

std::string filled(const ContactMessage& message, const NoticeText::Escape& escape) {
  return message.text.fill(option_of(message.contact, "format"), escape);
}

void put(Json& json, const char* key, std::string_view value) {
  if (!value.empty()) json[key] = std::string(value);
}

std::string form_of(const ContactMessage& message) {
  std::string form;
  for (const std::string_view name : placeholder_names()) {
    form += fmt::format("{}{}={}", form.empty() ? "" : "&", name,
                        form_escaped(message.text.value(name)));
  }
  return form;
}

courier::Request webhook(const ContactMessage& message) {
  const ContactSpec& contact = message.contact;
  const bool form = option_of(contact, "format") == "form";
  const std::string_view pattern = option_of(contact, "body");
  std::string body = form ? form_of(message) : json_of(message);
  if (!pattern.empty()) body = message.text.fill(pattern, form ? form_escaped : json_escaped);
  courier::Request request = post(contact, std::string(option_of(contact, "url")), std::move(body));
  request.method = courier::parse_method(option_of(contact, "method")).value_or(request.method);
  request.headers.clear();
  bool typed = false;
  std::string_view rest = option_of(contact, "headers");
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    std::string name(line.substr(0, line.find(':')));
    std::transform(name.begin(), name.end(), name.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    typed = typed || name == "content-type";
    request.headers.emplace_back(line);
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  }
  if (!typed) {
    request.headers.emplace_back(form ? "Content-Type: application/x-www-form-urlencoded"
                                      : "Content-Type: application/json");
  }
  return request;
}

courier::Request slack(const ContactMessage& message) {
  const ContactSpec& contact = message.contact;
  Json json = {{"text", cut(filled(message, slack_escaped), kMaxSlack)}};
  put(json, "channel", option_of(contact, "channel"));
  put(json, "username", option_of(contact, "username"));
  put(json, "icon_emoji", option_of(contact, "emoji"));
  return post(contact, std::string(option_of(contact, "url")), dumped(json));
}

courier::Request discord(const ContactMessage& message) {
  const ContactSpec& contact = message.contact;
  Json json = {{"content", cut(filled(message, as_it_is), kMaxDiscord)}};
  put(json, "username", option_of(contact, "username"));
  // What is told mentions nobody, whatever is in it.
  json["allowed_mentions"] = {{"parse", Json::array()}};
  return post(contact, std::string(option_of(contact, "url")), dumped(json));
}

courier::Request teams(const ContactMessage& message) {
  Json block = {
      {"type", "TextBlock"}, {"text", cut(filled(message, as_it_is), kMaxTeams)}, {"wrap", true}};
  Json card = {{"type", "AdaptiveCard"},
               {"$schema", "http://adaptivecards.io/schemas/adaptive-card.json"},
               {"version", "1.2"},
               {"body", Json::array({std::move(block)})}};
  Json attachment = {{"contentType", "application/vnd.microsoft.card.adaptive"},
                     {"content", std::move(card)}};
  const Json json = {{"type", "message"}, {"attachments", Json::array({std::move(attachment)})}};
  return post(message.contact, std::string(option_of(message.contact, "url")), dumped(json));
}

courier::Request telegram(const ContactMessage& message) {
  const ContactSpec& contact = message.contact;
  const Json json = {{"chat_id", std::string(option_of(contact, "chat_id"))},
                     {"text", cut(filled(message, as_it_is), kMaxTelegram)},
                     {"disable_web_page_preview", true}};
  const std::string url =
      fmt::format("{}/bot{}/sendMessage", option_of(contact, "url"), option_of(contact, "token"));
  return post(contact, url, dumped(json));
}

std::string_view pagerduty_severity(const Notice& notice) {
  const int severity = severity_of(notice);
  return severity <= 2 ? "critical" : severity == 3 ? "error" : severity == 4 ? "warning" : "info";
}

/// One event for each notice, because each opens or resolves an incident of its own. States are one
/// incident of their watch, open while it is not well.
courier::Request pagerduty(const ContactMessage& message, const Notice& notice) {
  const ContactSpec& contact = message.contact;
  const bool resolves =
      !is_bad(notice) && (notice.kind == Notice::Kind::recovered || notice.state == "up" ||
                          notice.state == "stopped" || notice.state == "unmonitored");
  Json json = {{"routing_key", std::string(option_of(contact, "routing_key"))},
               {"event_action", resolves ? "resolve" : "trigger"},
               {"dedup_key",
                cut(fmt::format("supv/{}/{}/{}", message.host, notice.watch, notice.source), 255)}};
  Json payload = {{"summary", cut(one_line(notice), kMaxSummary)},
                  {"source", message.host},
                  {"severity", pagerduty_severity(notice)},
                  {"timestamp", format_time(notice.wall_ms)}};
  put(payload, "component", notice.watch);
  put(payload, "class", condition_of(notice));
  put(payload, "group", notice.to.category.text());
  payload["custom_details"] = {{"state", notice.state}, {"action", notice.action}};
  json["payload"] = std::move(payload);
  return post(contact, std::string(option_of(contact, "url")), dumped(json));
}

}  // namespace

Dispatch web_request(const ContactMessage& message) {
  const std::string& kind = message.contact.kind;
  Dispatch dispatch;
  auto& requests = dispatch.requests;
  if (kind == "webhook") requests.push_back(webhook(message));
  if (kind == "slack") requests.push_back(slack(message));
  if (kind == "discord") requests.push_back(discord(message));
  if (kind == "teams") requests.push_back(teams(message));
  if (kind == "telegram") requests.push_back(telegram(message));
  if (kind == "pagerduty") {
    for (const Notice& notice : message.notices) requests.push_back(pagerduty(message, notice));
  }
  if (requests.empty()) dispatch.error = "there is no way to deliver it";
  return dispatch;
}

}  // namespace supv
