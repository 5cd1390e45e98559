#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <span>

#include "app/import_god_parts.h"

namespace supv::import_god {
namespace {

using Kind = Value::Kind;

/// How an attribute of god's is called in a watch file.
struct Name {
  std::string_view god;
  std::string_view supv;
  bool secret = false;
};

struct ContactKind {
  std::string_view god;         ///< As God.contact names it.
  std::string_view class_name;  ///< Of its defaults.
  std::span<const Name> names;
  std::string_view required;  ///< A key of supv's without which there is no contact.
};

constexpr Name kEmail[] = {{"to_email", "to"},         {"from_email", "from"},
                           {"from_name", "from_name"}, {"server_domain", "domain"},
                           {"server_user", "user"},    {"server_password", "password", true}};
constexpr Name kWebhook[] = {{"url", "url", true}, {"format", "format"}};
constexpr Name kSlack[] = {
    {"url", "url", true}, {"channel", "channel"}, {"username", "username"}, {"emoji", "emoji"}};
constexpr Name kSensu[] = {
    {"check_name", "check_name"}, {"status_code", "status_code"}, {"handler", "handler"}};
constexpr ContactKind kKinds[] = {{"email", "Email", kEmail, "to"},
                                  {"webhook", "Webhook", kWebhook, "url"},
                                  {"slack", "Slack", kSlack, "url"},
                                  {"statsd", "Statsd", {}, "server"},
                                  {"sensu", "Sensu", kSensu, "check_name"}};

/// Services that supv has no contact for, and why.
constexpr std::pair<std::string_view, std::string_view> kGone[] = {
    {"hipchat", "the service has ended"},
    {"campfire", "the service has ended"},
    {"twitter", "god's way of signing in has ended"},
    {"jabber", "supv has no XMPP; an `exec` contact can run a client"},
    {"prowl", "supv has no Prowl; a `webhook` contact can post to its API"},
    {"airbrake", "supv has no Airbrake; a `webhook` contact can post to its API"},
    {"scout", "the service has ended"}};

const ContactKind* kind_of(std::string_view god) {
  const auto* found = std::find_if(std::begin(kKinds), std::end(kKinds),
                                   [&](const ContactKind& kind) { return kind.god == god; });
  return found == std::end(kKinds) ? nullptr : found;
}

/// One contact on its way to YAML.
class ContactConverter {
 public:
  ContactConverter(const Thing& contact, const ContactKind& kind, Room& room)
      : contact_(contact), kind_(kind), room_(room) {
    for (const Thing& each : room.recording.contact_defaults) {
      if (each.kind == kind.class_name) defaults_ = &each;
    }
  }

  /// Nothing, and a note, when it lacks what even god demands.
  std::optional<Yaml> convert() {
    Yaml options = map();
    for (const Name& name : kind_.names) {
      const std::string text = text_of(get(name.god));
      if (text.empty()) continue;
      const bool number = std::string_view(name.supv) == "status_code" &&
                          text.find_first_not_of("0123456789") == std::string::npos;
      options.set(name.supv, number ? word(text) : literal(text));
      if (name.secret) room_.secrets = true;
    }
    if (kind_.god == "email") email(options);
    if (kind_.god == "statsd") {
      put_server(options, "host", "port", "8125");
      options.set("prefix", word("god"));
    }
    if (kind_.god == "sensu") put_server(options, "host", "port", "3030");
    format(options);
    report_unknown();
    if (options.find(kind_.required) == nullptr) {
      room_.notes.lost(contact_.spot,
                       fmt::format("contact {} has no {}; god would not have started", kind_.god,
                                   kind_.required));
      return std::nullopt;
    }
    Yaml out = map({{std::string(kind_.god), options}});
    const std::string group = text_of(contact_.get("group"));
    if (!group.empty()) out.set("groups", list({literal(valid_watch_name(group))}));
    out.comment = "from " + place_text(contact_.spot);
    return out;
  }

 private:
  const Value& get(std::string_view name) const {
    const Value& own = contact_.get(name);
    return own.present() || defaults_ == nullptr ? own : defaults_->get(name);
  }

  void put_server(Yaml& options, const char* host_name, const char* port_name,
                  std::string_view usual_port) {
    const std::string host = text_of(get(host_name));
    const std::string port = text_of(get(port_name));
    if (host.empty() && port.empty()) return;
    options.set("server", literal(fmt::format("{}:{}", host.empty() ? "localhost" : host,
                                              port.empty() ? usual_port : port)));
  }

  void email(Yaml& options) {
    put_server(options, "server_host", "server_port", "25");
    if (text_of(get("delivery_method")) == "sendmail") {
      options.set("method", word("sendmail"));
      const std::string program = text_of(get("sendmail_path"));
      if (!program.empty()) options.set("sendmail", literal(program));
    }
    // As Ruby's Net::SMTP does by itself: encrypted where the server offers it.
    if (options.find("user") != nullptr) options.set("tls", word("try"));
    if (get("to_name").present()) {
      room_.notes.lost(contact_.spot, "email: to_name; supv writes to the address alone");
    }
  }

  /// What god put before the text so that Slack calls everybody.
  void slack(Yaml& options) {
    const std::string own = text_of(get("format"));
    const bool calls = get("notify_channel").truth;
    if (own.empty() && !calls) return;
    const std::string text = own.empty() ? "*%{watch}* on %{host}: %{message}" : own;
    options.set("format", literal((calls ? "<!channel> " : "") + text));
  }

  void format(Yaml& options) {
    const Value& format = get("format");
    if (format.is(Kind::code)) {
      options.erase("format");
      room_.notes.lost(contact_.spot, fmt::format("{}: its format is a lambda", kind_.god));
    } else if (kind_.god == "slack") {
      slack(options);
    } else if (kind_.god == "webhook" && !format.present()) {
      options.set("format", word("form"));
    }
  }

  void report_unknown() {
    constexpr std::array kRead = {
        "name",          "group",         "format",      "to_name",       "from_name",
        "server_host",   "server_port",   "server_auth", "server_domain", "delivery_method",
        "sendmail_path", "sendmail_args", "host",        "port",          "notify_channel",
        "info"};
    for (const auto& [name, value] : contact_.attributes) {
      const bool known = std::any_of(kind_.names.begin(), kind_.names.end(),
                                     [&name = name](const Name& one) { return one.god == name; });
      if (known || std::find(kRead.begin(), kRead.end(), name) != kRead.end()) continue;
      room_.notes.lost(contact_.spot,
                       fmt::format("god's contact {} has no attribute {}", kind_.god, name));
    }
  }

  const Thing& contact_;
  const ContactKind& kind_;
  Room& room_;
  const Thing* defaults_ = nullptr;
};

/// Why a contact cannot be converted.
std::string gone_text(const Thing& contact) {
  if (contact.custom) {
    return fmt::format("contact {}: a class of the file's own; an `exec` contact can run a program",
                       contact.kind);
  }
  for (const auto& [kind, why] : kGone) {
    if (kind == contact.kind) return fmt::format("contact {}: {}", kind, why);
  }
  return fmt::format("god has no contact {}", contact.kind);
}

}  // namespace

std::optional<Yaml> notify_of(const Thing& thing, Room& room) {
  const Value& notify = thing.get("notify");
  if (!notify.present()) return std::nullopt;
  const Value* contacts = &notify;
  Yaml more = map();
  for (const auto& [key, value] : notify.pairs) {
    if (key.text == "contacts") {
      contacts = &value;
    } else if (!text_of(value).empty()) {
      more.set(key.text, literal(text_of(value)));
    }
  }
  Yaml known = list();
  for (const Value& name : contacts->is_word() ? std::vector{*contacts} : contacts->items) {
    const std::string valid = valid_watch_name(text_of(name));
    if (room.recipients.contains(valid)) {
      known.items.push_back(literal(valid));
    } else {
      room.notes.lost(thing.spot, fmt::format("notify: there is no contact {}", text_of(name)));
    }
  }
  if (known.items.empty()) return std::nullopt;
  if (more.entries.empty()) return known.items.size() == 1 ? known.items.front() : known;
  Yaml out = map({{"contacts", known}});
  for (auto& [key, value] : more.entries) out.set(key, value);
  return out;
}

Yaml convert_contacts(Room& room) {
  Yaml out = map();
  for (const Thing& contact : room.recording.contacts) {
    const std::string name = text_of(contact.get("name"));
    const ContactKind* kind = contact.custom ? nullptr : kind_of(contact.kind);
    if (name.empty()) {
      room.notes.lost(contact.spot, fmt::format("contact {} has no name", contact.kind));
    } else if (kind == nullptr) {
      room.notes.lost(contact.spot, fmt::format("{} ({})", gone_text(contact), name));
    } else if (out.find(valid_watch_name(name)) != nullptr) {
      room.notes.lost(contact.spot, fmt::format("a second contact {}; god ignored it too", name));
    } else if (auto made = ContactConverter(contact, *kind, room).convert()) {
      out.set(valid_watch_name(name), std::move(*made));
    }
  }
  for (const Thing& defaults : room.recording.contact_defaults) {
    const bool known = std::any_of(std::begin(kKinds), std::end(kKinds), [&](const auto& kind) {
      return kind.class_name == defaults.kind;
    });
    if (!known) {
      room.notes.lost(defaults.spot, fmt::format("defaults of contact {}", defaults.kind));
    }
  }
  return out;
}

}  // namespace supv::import_god
