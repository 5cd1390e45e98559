// What is told by datagrams and commands.
#include <fmt/format.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <utility>

#include "base/units.h"
#include "brain/contact_message.h"

namespace supv {
namespace {

/// What fits into a packet of every network.
constexpr std::size_t kMaxPacket = 1400;
constexpr std::size_t kMaxSensu = 8000;

courier::Request datagram(const ContactSpec& contact, std::string bytes) {
  courier::Request request;
  request.method = courier::Method::datagram;
  request.url = fmt::format("udp://{}", option_of(contact, "server"));
  request.body = std::move(bytes);
  return request;
}

/// One part of a counter's name.
std::string plain(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    const bool keeps = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_';
    if (!keeps) c = '_';
  }
  return result.empty() ? "none" : result;
}

/// The condition without its number, "recovered", a state, "flapping".
std::string event_of(const Notice& notice) {
  if (notice.kind == Notice::Kind::fired) return notice.source.substr(0, notice.source.find('#'));
  return std::string(notice.kind == Notice::Kind::state ? notice.state : kind_name(notice.kind));
}

std::vector<courier::Request> statsd(const ContactMessage& message) {
  std::map<std::string, int> counters;
  for (const Notice& notice : message.notices) {
    ++counters[fmt::format("{}.{}.{}.{}", option_of(message.contact, "prefix"),
                           plain(event_of(notice)), plain(message.host), plain(notice.watch))];
  }
  std::vector<courier::Request> requests;
  std::string packet;
  for (const auto& [name, count] : counters) {
    const std::string line = fmt::format("{}:{}|c", name, count);
    if (!packet.empty() && packet.size() + 1 + line.size() > kMaxPacket) {
      requests.push_back(datagram(message.contact, std::exchange(packet, {})));
    }
    packet += (packet.empty() ? "" : "\n") + line;
  }
  requests.push_back(datagram(message.contact, std::move(packet)));
  return requests;
}

courier::Request sensu(const ContactMessage& message) {
  const ContactSpec& contact = message.contact;
  const bool bad = std::any_of(message.notices.begin(), message.notices.end(), is_bad);
  const std::string output = json_escaped(message.text.value("message"));
  // Never inside an escape: what is cut is read by no one but people.
  const std::size_t end = output.size() <= kMaxSensu ? output.size() : output.rfind(' ', kMaxSensu);
  return datagram(contact,
                  fmt::format(R"({{"name":"{}","output":"{}","status":{},"handler":"{}"}})",
                              json_escaped(option_of(contact, "check_name")), output.substr(0, end),
                              bad ? option_of(contact, "status_code") : "0",
                              json_escaped(option_of(contact, "handler"))));
}

int facility_of(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, int>, 20> kFacilities = {{
      {"kern", LOG_KERN},     {"user", LOG_USER},         {"mail", LOG_MAIL},
      {"daemon", LOG_DAEMON}, {"auth", LOG_AUTH},         {"syslog", LOG_SYSLOG},
      {"lpr", LOG_LPR},       {"news", LOG_NEWS},         {"uucp", LOG_UUCP},
      {"cron", LOG_CRON},     {"authpriv", LOG_AUTHPRIV}, {"ftp", LOG_FTP},
      {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},     {"local2", LOG_LOCAL2},
      {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},     {"local5", LOG_LOCAL5},
      {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7},
  }};
  const auto found = std::find_if(kFacilities.begin(), kFacilities.end(),
                                  [name](const auto& one) { return one.first == name; });
  return found == kFacilities.end() ? LOG_DAEMON : found->second;
}

std::string log_line(const ContactMessage& message, const Notice& notice) {
  const time_t seconds = message.wall_ms / 1000;
  tm parts{};
  ::localtime_r(&seconds, &parts);
  char when[32];
  const std::size_t size = ::strftime(when, sizeof when, "%b %e %H:%M:%S", &parts);
  const ContactSpec& contact = message.contact;
  return fmt::format(
      "<{}>{} {}[{}]: {}", facility_of(option_of(contact, "facility")) | severity_of(notice),
      std::string_view(when, size), option_of(contact, "ident"), ::getppid(), one_line(notice));
}

CommandRequest command(const ContactMessage& message) {
  CommandRequest request;
  std::string_view rest = option_of(message.contact, "command");
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find('\0'));
    request.command.argv.emplace_back(one);
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
  }
  request.env.emplace_back("SUPV_CONTACT", message.contact.name);
  for (const std::string_view name : placeholder_names()) {
    std::string variable = "SUPV_";
    for (const char c : name) variable += static_cast<char>(c - 'a' + 'A');
    request.env.emplace_back(std::move(variable), message.text.value(name));
  }
  request.input = json_of(message) + '\n';
  request.timeout = Duration(parse_unsigned(option_of(message.contact, "timeout")).value_or(10000));
  return request;
}

}  // namespace

Dispatch local_call(const ContactMessage& message) {
  const ContactSpec& contact = message.contact;
  Dispatch dispatch;
  if (contact.kind == "statsd") {
    dispatch.requests = statsd(message);
  } else if (contact.kind == "sensu") {
    dispatch.requests.push_back(sensu(message));
  } else if (contact.kind == "syslog") {
    dispatch.log_socket = option_of(contact, "socket");
    for (const Notice& notice : message.notices)
      dispatch.log_lines.push_back(log_line(message, notice));
  } else {
    dispatch.command = command(message);
  }
  return dispatch;
}

}  // namespace supv
