#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "config/contact_kinds.h"
#include "config/contact_reader.h"
#include "config/schema.h"
#include "config_texts.h"
#include "core/placeholders.h"

using namespace supv;
using namespace supv::test;

namespace {

const std::string kWatch = "watches: {w: {start: sleep 1}}\n";

std::string option(const ContactSpec& contact, std::string_view name) {
  for (const auto& [key, value] : contact.options)
    if (key == name) return value;
  return "(no such option)";
}

/// Every error and warning of a text, one a line.
std::string said(const std::string& text) {
  std::string all;
  for (const Diagnostic& one : load_text(text + kWatch).diagnostics) {
    all += std::to_string(one.place.line) + ':' + std::to_string(one.place.column) + ' ' + one.text;
    all += one.help.empty() ? "\n" : " | " + one.help + "\n";
  }
  return all;
}

bool contains(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) MESSAGE("it says: " << text);
  return found;
}

std::string of_contact(const std::string& body) { return "contacts: {ops: " + body + "}\n"; }

}  // namespace

TEST_CASE("a contact has every option of its kind, in order, defaults filled in") {
  const auto loaded = load_text(
      "contacts:\n"
      "  ops: {webhook: {url: 'https://example.org/a', headers: {X-A: b, X-C: d}}, groups: "
      "[team]}\n"
      "  log: {syslog: {}}\n"
      "  me: {email: {to: [a@b, c@d], timeout: 2s}}\n"
      "  run: {exec: {command: [notify, 'a b']}}\n" +
      kWatch);
  CHECK(loaded.ok);
  REQUIRE(loaded.config.contacts.size() == 4);
  const ContactSpec& ops = loaded.config.contacts[0];
  CHECK(ops.name == "ops");
  CHECK(ops.kind == "webhook");
  CHECK(ops.groups == std::vector<std::string>{"team"});
  CHECK(option(ops, "url") == "https://example.org/a");
  CHECK(option(ops, "method") == "POST");
  CHECK(option(ops, "headers") == "X-A: b\nX-C: d");
  CHECK(option(ops, "timeout") == "10000");
  CHECK(option(ops, "insecure") == "false");
  CHECK(option(ops, "body").empty());
  CHECK(option(loaded.config.contacts[1], "facility") == "daemon");
  CHECK(option(loaded.config.contacts[2], "to") == "a@b\nc@d");
  CHECK(option(loaded.config.contacts[2], "timeout") == "2000");
  CHECK(option(loaded.config.contacts[3], "command") == std::string("notify\0a b", 10));
  for (const Key& kind : contact_defaults_level().keys) {
    for (const ContactSpec& contact : loaded.config.contacts) {
      if (contact.kind != kind.name) continue;
      REQUIRE(contact.options.size() == kind.level->keys.size());
      for (std::size_t i = 0; i < contact.options.size(); ++i)
        CHECK(contact.options[i].first == kind.level->keys[i].name);
    }
  }
}

TEST_CASE("contact_defaults stand below what a contact says, also over an include") {
  const auto loaded = load_text(
      "contact_defaults: {webhook: {timeout: 3s, insecure: true}}\n"
      "contacts:\n"
      "  a: {webhook: {url: 'http://x', timeout: 4s}}\n"
      "  b: {webhook: {url: 'http://x', insecure: false}}\n" +
      kWatch);
  CHECK(loaded.ok);
  REQUIRE(loaded.config.contacts.size() == 2);
  CHECK(option(loaded.config.contacts[0], "timeout") == "4000");
  CHECK(option(loaded.config.contacts[0], "insecure") == "true");
  CHECK(option(loaded.config.contacts[1], "timeout") == "3000");
  CHECK(option(loaded.config.contacts[1], "insecure") == "false");
  CHECK(contains(said("contact_defaults: {webhok: {}}\n"), "did you mean 'webhook'?"));
  CHECK(contains(said("contact_defaults: {webhook: {timeot: 1s}}\n"), "did you mean 'timeout'?"));
  CHECK(contains(said("contact_defaults: {webhook: {timeout: soon}}\n"), "is not a duration"));
}

TEST_CASE("what is wrong with a contact is said at its place") {
  CHECK(contains(said(of_contact("{webhok: {url: 'http://x'}}")),
                 "1:18 unknown key 'webhok' of a contact | did you mean 'webhook'?"));
  CHECK(contains(said(of_contact("{webhook: {ulr: 'http://x', url: 'http://y'}}")),
                 "unknown key 'ulr' of a webhook contact | did you mean 'url'?"));
  CHECK(contains(said(of_contact("{webhook: {}}")), "1:18 'webhook' needs 'url'"));
  CHECK(
      contains(said(of_contact("{groups: [a]}")), "1:12 contact 'ops' has no kind | one of email"));
  CHECK(contains(said(of_contact("{slack: {url: 'http://x'}, syslog: {}}")),
                 "a contact is of one kind: 'slack' or 'syslog'"));
  CHECK(contains(said(of_contact("{syslog: }")), "'syslog' has no value"));
  CHECK(contains(said(of_contact("[a]")), "this must be a map"));
  CHECK(contains(said(of_contact("{webhook: {url: 'ftp://x'}}")), "not an address of HTTP"));
  CHECK(contains(said(of_contact("{webhook: {url: 'http://x', timeout: 1h}}")), "at most 5m"));
  CHECK(contains(said(of_contact("{webhook: {url: 'http://x', headers: {'a b': c}}}")),
                 "'a b' is not a header of HTTP"));
  CHECK(contains(said(of_contact("{webhook: {url: 'http://x', headers: {a: \"b\\r\\nc: d\"}}}")),
                 "'a' is not a header of HTTP"));
  CHECK(contains(said(of_contact("{statsd: {server: nowhere}}")), "this is not HOST:PORT"));
  CHECK(contains(said(of_contact("{statsd: {server: 'a:99999'}}")), "this is not HOST:PORT"));
  CHECK(contains(said(of_contact("{syslog: {facility: deamon}}")), "did you mean 'daemon'?"));
  CHECK(contains(said(of_contact("{syslog: {socket: log}}")), "must be an absolute path"));
  CHECK(contains(said("contacts: {'a b': {syslog: {}}}\n"), "cannot be the name of a contact"));
  CHECK(contains(said("contacts: {a: {syslog: {}}, b: {syslog: {}, groups: [a]}}\n"),
                 "the group 'a' is also the name of a contact"));
}

TEST_CASE("a contact of two files is one too many") {
  const auto loaded = load(input_of({{"/etc/a.yaml",
                                      "include: b.yaml\n"
                                      "contacts: {ops: {syslog: {}}}\n" +
                                          kWatch},
                                     {"/etc/b.yaml", "contacts: {ops: {syslog: {}}}\n"}}));
  CHECK_FALSE(loaded.ok);
  CHECK(contains(render(loaded.diagnostics), "contact 'ops' is defined twice"));
  CHECK(contains(render(loaded.diagnostics), "first time here"));
}

TEST_CASE("mail options belong together") {
  const auto mail = [](const std::string& more) {
    return said(of_contact("{email: {to: a@b, " + more + "}}"));
  };
  CHECK(mail("from: c@d").empty());
  CHECK(contains(mail("user: u"), "'user' needs 'password' or 'password_file'"));
  CHECK(contains(mail("password: p"), "a password needs 'user'"));
  CHECK(contains(mail("user: u, password: p, password_file: /f"), "exclude each other"));
  CHECK(contains(mail("user: u, password: p"), "the password may travel unencrypted"));
  CHECK(mail("user: u, password: p, tls: require").empty());
  CHECK(contains(mail("method: sendmail, server: 'a:1'"), "means nothing to method sendmail"));
  CHECK(contains(mail("sendmail: /bin/s"), "this needs 'method: sendmail'"));
  CHECK(contains(mail("from: 'a b'"), "'a b' is not a mail address"));
  CHECK(contains(said(of_contact("{email: {to: [\"a@b\\r\\nBcc: c@d\"]}}")), "control characters"));
}

TEST_CASE("an unknown placeholder is an error, a literal one none") {
  const auto slack = [](const std::string& format) {
    return said(of_contact("{slack: {url: 'http://x', format: \"" + format + "\"}}"));
  };
  CHECK(slack("%{watch} 100% %%{nothing} %{message}").empty());
  CHECK(contains(slack("%{mesage}"), "there is no '%{mesage}' | did you mean 'message'?"));
  CHECK(contains(slack("%{watch"), "there is no '%{watch}'"));
  CHECK(contains(slack("%{}"), "there is no '%{}'"));
}

TEST_CASE("an unknown and a missing option are both said") {
  const std::string text = render(
      load_text(of_contact("{telegram: {token: 'topsecret', chat: 1}}") + kWatch).diagnostics);
  CHECK(contains(text, "unknown key 'chat' of a telegram contact"));
  CHECK(contains(text, "'telegram' needs 'chat_id'"));
}

TEST_CASE("the schema knows every kind and its defaults") {
  const auto schema = nlohmann::json::parse(json_schema(builtin_conditions()));
  const std::string text = schema["properties"]["contacts"].dump();
  for (const Key& kind : contact_defaults_level().keys) {
    CAPTURE(std::string(kind.name));
    CHECK(text.find('"' + std::string(kind.name) + '"') != std::string::npos);
    for (const Key& key : kind.level->keys) {
      CHECK(text.find('"' + std::string(key.name) + '"') != std::string::npos);
      // A default is a legal value, and the help says it.
      if (key.fallback.empty()) continue;
      if (key.type == KeyType::message)
        CHECK_FALSE(key.help.find(key.fallback) == std::string::npos);
      CHECK(key.help.find(key.fallback) != std::string_view::npos);
    }
  }
  CHECK(text.find("\"default\":\"localhost:25\"") != std::string::npos);
}

TEST_CASE("the manual has every kind and every option, with the words of the table") {
  std::ifstream in(SUPV_SOURCE_DIR "/man/supv.watch.5");
  const std::string page{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  for (const Key& kind : contact_defaults_level().keys) {
    CAPTURE(std::string(kind.name));
    const std::size_t begin = page.find(".Ss " + std::string(kind.name) + '\n');
    REQUIRE(begin != std::string::npos);
    const std::string section = page.substr(begin, page.find("\n.S", begin + 4) - begin);
    std::size_t items = 0;
    for (std::size_t at = section.find(".It "); at != std::string::npos;
         at = section.find(".It ", at + 1))
      ++items;
    CHECK(items == kind.level->keys.size());
    for (const Key& key : kind.level->keys) {
      const std::string item = ".It Cm " + std::string(key.name) + '\n' + std::string(key.help);
      CHECK(contains(section, item));
      if (key.required) CHECK(contains(section, item + "\nRequired."));
    }
  }
  for (const auto name : placeholder_names())
    CHECK(contains(page, "Cm %{" + std::string(name) + "}"));
}

TEST_CASE("notify: a name, a list, or a map; whom it names must be there") {
  const std::string contacts = "contacts: {ops: {syslog: {}, groups: [team]}}\n";
  const auto with = [&](const std::string& notify) {
    return load_text(contacts + "watches: {w: {start: sleep 1, notify: " + notify + "}}\n");
  };
  auto loaded = with("ops");
  REQUIRE(loaded.ok);
  REQUIRE(loaded.config.watches[0].rare);
  CHECK(loaded.config.watches[0].rare->notify.contacts == std::vector<std::string>{"ops"});
  loaded = with("{contacts: [team, ops], priority: high, category: prod}");
  REQUIRE(loaded.ok);
  const NotifySpec& notify = loaded.config.watches[0].rare->notify;
  CHECK(notify.contacts == std::vector<std::string>{"team", "ops"});
  CHECK(notify.priority.text() == "high");
  CHECK(notify.category.text() == "prod");
  const auto says = [&](const std::string& notified, const std::string& text) {
    const auto bad = with(notified);
    CHECK_FALSE(bad.ok);
    CHECK(contains(render(bad.diagnostics), text));
  };
  says("osp", "there is no contact or group of contacts 'osp'");
  says("osp", "did you mean 'ops'?");
  says("[ops, temas]", "'temas'");
  says("{priority: high}", "'contacts' is missing");
  says("{contacts: ops, priorty: 1}", "did you mean 'priority'?");
  says("[]", "nobody is named here");
  says("[[ops]]", "this must be the name of a contact, not a list");
  const auto none = load_text("watches: {w: {start: sleep 1, notify: ops}}\n");
  CHECK(contains(render(none.diagnostics), "there is no contact 'ops'"));
}
