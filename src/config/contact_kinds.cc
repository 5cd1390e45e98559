#include "config/contact_kinds.h"

#include <array>

namespace supv {
namespace {

using T = KeyType;

constexpr Key must(std::string_view name, KeyType type, std::string_view help) {
  return {name, type, help, nullptr, {}, {}, true};
}
constexpr Key may(std::string_view name, KeyType type, std::string_view help,
                  std::string_view fallback = {}) {
  return {name, type, help, nullptr, {}, fallback, false};
}
constexpr Key one_of(std::string_view name, std::string_view help, std::string_view choices,
                     std::string_view fallback) {
  return {name, T::choice, help, nullptr, choices, fallback, false};
}

constexpr Key kTimeout =
    may("timeout", T::duration, "A delivery that takes longer has failed (10s).", "10s");
constexpr Key kCaFile = may("ca_file", T::text, "File of CA certificates (the system's).");
constexpr Key kInsecure =
    may("insecure", T::boolean, "Do not check the server's certificate (false).", "false");
constexpr Key kProxy = may("proxy", T::text, "URL of an HTTP proxy (none).");

constexpr std::array kEmail = {
    must("to", T::texts, "Address, or list of addresses."),
    may("from", T::text, "Address of the sender (supv@HOST)."),
    may("from_name", T::text, "Name of the sender (supv).", "supv"),
    may("subject", T::message, "Subject (\"[supv] %{message}\").", "[supv] %{message}"),
    may("body", T::message, "Text (everything that is known)."),
    one_of("method", "How it is sent (smtp).", "smtp|sendmail", "smtp"),
    may("server", T::text, "HOST:PORT of the mail server (localhost:25).", "localhost:25"),
    one_of("tls", "STARTTLS, or TLS from the first byte (none).", "none|try|require|smtps", "none"),
    may("user", T::text, "Name to log in with."),
    may("password", T::text, "Its password."),
    may("password_file", T::text, "File that holds the password, read at each delivery."),
    may("domain", T::text, "Name that is told to the server (HOST)."),
    may("sendmail", T::text, "Program of method sendmail (/usr/sbin/sendmail).",
        "/usr/sbin/sendmail"),
    kTimeout,
    kCaFile,
    kInsecure,
};
constexpr Level kEmailLevel = {"an email contact", kEmail};

constexpr std::array kWebhook = {
    must("url", T::text, "http:// or https:// address."),
    one_of("format", "How what is told is written (json).", "json|form", "json"),
    one_of("method", "Method of the request (POST).", "POST|PUT|PATCH|GET", "POST"),
    may("headers", T::text_map, "Headers of the request."),
    may("body", T::message, "Body instead of all fields; values are escaped as format says."),
    kTimeout,
    kCaFile,
    kInsecure,
    kProxy,
};
constexpr Level kWebhookLevel = {"a webhook contact", kWebhook};

constexpr std::array kSlack = {
    must("url", T::text, "Address of the incoming webhook."),
    may("channel", T::text, "Channel (the webhook's own)."),
    may("username", T::text, "Name of the sender (the webhook's own)."),
    may("emoji", T::text, "Its picture, like :warning:."),
    may("format", T::message, "Text (\"*%{watch}* on %{host}: %{message}\").",
        "*%{watch}* on %{host}: %{message}"),
    kTimeout,
    kCaFile,
    kInsecure,
    kProxy,
};
constexpr Level kSlackLevel = {"a slack contact", kSlack};

constexpr std::array kStatsd = {
    may("server", T::text, "HOST:PORT, by UDP (127.0.0.1:8125).", "127.0.0.1:8125"),
    may("prefix", T::text, "First part of the counters' names: PREFIX.EVENT.HOST.WATCH (supv).",
        "supv"),
    kTimeout,
};
constexpr Level kStatsdLevel = {"a statsd contact", kStatsd};

constexpr std::array kSensu = {
    must("check_name", T::text, "Name of the check."),
    may("status_code", T::integer, "Status while something is wrong; 0 when it has recovered (2).",
        "2"),
    may("handler", T::text, "Name of the handler (default).", "default"),
    may("server", T::text, "HOST:PORT of the client's socket, by UDP (127.0.0.1:3030).",
        "127.0.0.1:3030"),
    kTimeout,
};
constexpr Level kSensuLevel = {"a sensu contact", kSensu};

constexpr std::array kSyslog = {
    one_of("facility", "Facility (daemon).",
           "kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|local0|local1|local2|"
           "local3|local4|local5|local6|local7",
           "daemon"),
    may("ident", T::text, "Name of the sender (supvd).", "supvd"),
    may("socket", T::text, "Socket of the system logger (/dev/log).", "/dev/log"),
};
constexpr Level kSyslogLevel = {"a syslog contact", kSyslog};

constexpr std::array kExec = {
    must("command", T::command, "Told by SUPV_* variables, and by JSON on its standard input."),
    kTimeout,
};
constexpr Level kExecLevel = {"an exec contact", kExec};

constexpr std::array kPagerduty = {
    must("routing_key", T::text, "Integration key of the service (Events API v2)."),
    may("url", T::text, "Address (https://events.pagerduty.com/v2/enqueue).",
        "https://events.pagerduty.com/v2/enqueue"),
    kTimeout,
    kCaFile,
    kInsecure,
    kProxy,
};
constexpr Level kPagerdutyLevel = {"a pagerduty contact", kPagerduty};

constexpr std::array kTeams = {
    must("url", T::text, "Address of the workflow or incoming webhook."),
    may("format", T::message, "Text (\"%{watch} on %{host}: %{message}\").",
        "%{watch} on %{host}: %{message}"),
    kTimeout,
    kCaFile,
    kInsecure,
    kProxy,
};
constexpr Level kTeamsLevel = {"a teams contact", kTeams};

constexpr std::array kDiscord = {
    must("url", T::text, "Address of the webhook."),
    may("username", T::text, "Name of the sender (the webhook's own)."),
    may("format", T::message, "Text (\"**%{watch}** on %{host}: %{message}\").",
        "**%{watch}** on %{host}: %{message}"),
    kTimeout,
    kCaFile,
    kInsecure,
    kProxy,
};
constexpr Level kDiscordLevel = {"a discord contact", kDiscord};

constexpr std::array kTelegram = {
    must("token", T::text, "Token of the bot."),
    must("chat_id", T::text, "Chat that is written to."),
    may("url", T::text, "Address of the API (https://api.telegram.org).",
        "https://api.telegram.org"),
    may("format", T::message, "Text (\"%{watch} on %{host}: %{message}\").",
        "%{watch} on %{host}: %{message}"),
    kTimeout,
    kCaFile,
    kInsecure,
    kProxy,
};
constexpr Level kTelegramLevel = {"a telegram contact", kTelegram};

constexpr std::array kKinds = {
    Key{"email", T::map, "A mail, by SMTP or sendmail.", &kEmailLevel},
    Key{"webhook", T::map, "An HTTP request.", &kWebhookLevel},
    Key{"slack", T::map, "A Slack message.", &kSlackLevel},
    Key{"statsd", T::map, "A counter.", &kStatsdLevel},
    Key{"sensu", T::map, "A check result.", &kSensuLevel},
    Key{"syslog", T::map, "A line in the system's log.", &kSyslogLevel},
    Key{"exec", T::map, "A command.", &kExecLevel},
    Key{"pagerduty", T::map, "A PagerDuty incident, resolved on recovery.", &kPagerdutyLevel},
    Key{"teams", T::map, "A Microsoft Teams message.", &kTeamsLevel},
    Key{"discord", T::map, "A Discord message.", &kDiscordLevel},
    Key{"telegram", T::map, "A Telegram message.", &kTelegramLevel},
};
constexpr Level kDefaultsLevel = {"contact_defaults", kKinds};

constexpr auto with_groups() {
  std::array<Key, kKinds.size() + 1> keys{};
  for (std::size_t i = 0; i < kKinds.size(); ++i) keys[i] = kKinds[i];
  keys.back() = {"groups", T::texts, "Names that notify accepts for all their members."};
  return keys;
}
constexpr std::array kContact = with_groups();
constexpr Level kContactLevel = {"a contact", kContact};

}  // namespace

const Level& contact_level() { return kContactLevel; }
const Level& contact_defaults_level() { return kDefaultsLevel; }

}  // namespace supv
