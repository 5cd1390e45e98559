#include "brain/contact_message.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "config/contact_kinds.h"

using namespace supv;
using Json = nlohmann::json;

namespace {

constexpr std::int64_t kWhen = 1'767'323'045'000;  // 2026-01-02T03:04:05Z

Notice fired(std::string text = "4 > 3", std::string watch = "web") {
  Notice notice;
  notice.kind = Notice::Kind::fired;
  notice.watch = std::move(watch);
  notice.source = "memory_usage#1";
  notice.state = "up";
  notice.action = "restart";
  notice.text = std::move(text);
  notice.to.priority = "high";
  notice.to.category = "prod";
  notice.wall_ms = kWhen;
  return notice;
}

/// A contact with its kind's defaults, some of them overridden.
ContactSpec contact(const std::string& kind, const std::map<std::string, std::string>& options) {
  ContactSpec spec{"ops", kind, {}, {}};
  for (const Key& one : contact_defaults_level().keys) {
    if (one.name != kind) continue;
    for (const Key& key : one.level->keys) {
      const auto written = options.find(std::string(key.name));
      spec.options.emplace_back(key.name, written != options.end() ? written->second
                                          : key.type == KeyType::duration
                                              ? "10000"
                                              : std::string(key.fallback));
    }
  }
  REQUIRE_FALSE(spec.options.empty());
  return spec;
}

Dispatch tell(const ContactSpec& spec, const std::vector<Notice>& notices) {
  const NoticeText text(notices, "host1");
  return dispatch({spec, notices, text, "host1", kWhen});
}

courier::Request request(const ContactSpec& spec, const std::vector<Notice>& notices) {
  Dispatch dispatched = tell(spec, notices);
  CHECK(dispatched.error.empty());
  REQUIRE(dispatched.requests.size() == 1);
  return dispatched.requests.front();
}

Json body(const courier::Request& one) {
  const Json json = Json::parse(one.body, nullptr, false);
  REQUIRE_FALSE(json.is_discarded());
  return json;
}

const std::string kNasty =
    "\"quotes\" \\ back & <b>\r\nBcc: evil@example.org\n.\n%{host} \xff \xc3\xa9";

}  // namespace

TEST_CASE("a pattern's words are replaced, once and escaped") {
  const NoticeText text({fired(kNasty)}, "host1");
  const auto as_it_is = [](std::string_view value) { return std::string(value); };
  CHECK(text.fill("%{watch}/%{state}/%{action}/%{condition}/%{priority}/%{category}", as_it_is) ==
        "web/up/restart/memory_usage#1/high/prod");
  CHECK(text.fill("%{host} %{time} %{kind} %{count}", as_it_is) ==
        "host1 2026-01-02T03:04:05Z fired 1");
  CHECK(text.fill("50% %%{watch} %{watch", as_it_is) == "50% %{watch} web");
  // What a value contains is no pattern, and no control character.
  CHECK(text.fill("%{message}", as_it_is).find("%{host}") != std::string::npos);
  CHECK(text.fill("%{message}", as_it_is).find('\n') == std::string::npos);
  CHECK(text.fill("[%{watch}]", [](auto) { return "x"; }) == "[x]");
}

TEST_CASE("a digest says what its notices have in common, and every line") {
  Notice other = fired("5 > 3", "db");
  other.action = "stop";
  const NoticeText text({fired(), other}, "host1");
  CHECK(text.value("watch") == "web, db");
  CHECK(text.value("condition") == "memory_usage#1");
  CHECK(text.value("action").empty());
  CHECK(text.value("kind") == "digest");
  CHECK(text.value("count") == "2");
  CHECK(text.value("message") ==
        "2 notices:\n2026-01-02T03:04:05Z web: 4 > 3\n2026-01-02T03:04:05Z db: 5 > 3");
  CHECK(text.subject() == "2 notices of web, db");
  std::vector<Notice> many;
  for (int i = 0; i < 20; ++i) many.push_back(fired("x", "w" + std::to_string(i)));
  CHECK(NoticeText(many, "h").value("watch") == "w0, w1, w2, w3, w4 and 15 more");
}

TEST_CASE("a watch is named once") {
  CHECK(one_line(fired("web is down")) == "web is down");
  CHECK(one_line(fired("website is down")) == "web: website is down");
  CHECK(one_line(fired("text", "")) == "text");
}

TEST_CASE("webhook: JSON by default, in which nothing can break out") {
  const ContactSpec spec = contact("webhook", {{"url", "http://x/y"}, {"headers", "X-A: b"}});
  const courier::Request one = request(spec, {fired(kNasty)});
  CHECK(one.url == "http://x/y");
  CHECK(one.method == courier::Method::post);
  CHECK(one.headers == std::vector<std::string>{"X-A: b", "Content-Type: application/json"});
  const Json json = body(one);
  for (const auto name : placeholder_names()) CHECK(json.contains(std::string(name)));
  CHECK(json["watch"] == "web");
  CHECK(json["count"] == 1);
  CHECK(json["notices"].size() == 1);
  CHECK(json["notices"][0]["kind"] == "fired");
  CHECK(json["message"].get<std::string>().find("\"quotes\" \\ back") != std::string::npos);
}

TEST_CASE("webhook: a body of one's own is escaped as its format says") {
  ContactSpec spec = contact("webhook", {{"url", "http://x"},
                                         {"method", "PUT"},
                                         {"headers", "content-TYPE: text/plain"},
                                         {"body", R"({"text": "%{message}"})"}});
  courier::Request one = request(spec, {fired(kNasty)});
  CHECK(one.method == courier::Method::put);
  CHECK(one.headers == std::vector<std::string>{"content-TYPE: text/plain"});
  CHECK(body(one)["text"].get<std::string>().find("\"quotes\"") != std::string::npos);
  spec =
      contact("webhook", {{"url", "http://x"}, {"format", "form"}, {"body", "a=%{message}&b=1"}});
  one = request(spec, {fired("x&b=2 \xc3\xa9=")});
  CHECK(one.body == "a=web%3A%20x%26b%3D2%20%C3%A9%3D&b=1");
  CHECK(one.headers == std::vector<std::string>{"Content-Type: application/x-www-form-urlencoded"});
  spec = contact("webhook", {{"url", "http://x"}, {"format", "form"}});
  CHECK(
      request(spec, {fired("a&b")}).body.starts_with("watch=web&message=web%3A%20a%26b&state=up&"));
}

TEST_CASE("the services get what they understand") {
  const ContactSpec slack = contact(
      "slack", {{"url", "https://s"}, {"channel", "#ops"}, {"emoji", ":fire:"}, {"username", "u"}});
  Json json = body(request(slack, {fired("<!channel> & \"x\"")}));
  CHECK(json["text"] == "*web* on host1: web: &lt;!channel&gt; &amp; \"x\"");
  CHECK(json["channel"] == "#ops");
  CHECK(json["icon_emoji"] == ":fire:");
  CHECK(json["username"] == "u");
  CHECK_FALSE(
      body(request(contact("slack", {{"url", "https://s"}}), {fired()})).contains("channel"));

  const ContactSpec discord = contact("discord", {{"url", "https://d"}});
  json = body(request(discord, {fired(std::string(5000, 'x') + "\xc3\xa9")}));
  CHECK(json["content"].get<std::string>().size() == 2000);
  CHECK(json["allowed_mentions"]["parse"].empty());

  json = body(request(contact("teams", {{"url", "https://t"}}), {fired(kNasty)}));
  CHECK(json["attachments"][0]["content"]["body"][0]["type"] == "TextBlock");

  const ContactSpec telegram = contact("telegram", {{"token", "1:SECRET"}, {"chat_id", "-7"}});
  const courier::Request sent = request(telegram, {fired()});
  CHECK(sent.url == "https://api.telegram.org/bot1:SECRET/sendMessage");
  CHECK(body(sent)["chat_id"] == "-7");
}

TEST_CASE("pagerduty: one incident for each subject, resolved when it is over") {
  const ContactSpec spec = contact("pagerduty", {{"routing_key", "key"}});
  Notice over = fired("no longer");
  over.kind = Notice::Kind::recovered;
  const Dispatch dispatched = tell(spec, {fired(), over});
  REQUIRE(dispatched.requests.size() == 2);
  const Json first = body(dispatched.requests[0]);
  const Json second = body(dispatched.requests[1]);
  CHECK(first["event_action"] == "trigger");
  CHECK(second["event_action"] == "resolve");
  CHECK(first["dedup_key"] == "supv/host1/web/memory_usage#1");
  CHECK(second["dedup_key"] == first["dedup_key"]);
  CHECK(first["routing_key"] == "key");
  CHECK(first["payload"]["severity"] == "critical");
  CHECK(first["payload"]["summary"] == "web: 4 > 3");
  CHECK(first["payload"]["source"] == "host1");
}

TEST_CASE("statsd: counters that are safe names, in packets that fit") {
  const ContactSpec spec = contact("statsd", {});
  Notice state = fired("x", "a.b:c|d\n@1");
  state.kind = Notice::Kind::state;
  state.state = "failed";
  const courier::Request one = request(spec, {fired(), fired(), state});
  CHECK(one.url == "udp://127.0.0.1:8125");
  CHECK(one.method == courier::Method::datagram);
  CHECK(one.body == "supv.failed.host1.a_b_c_d__1:1|c\nsupv.memory_usage.host1.web:2|c");
  std::vector<Notice> many;
  for (int i = 0; i < 100; ++i) many.push_back(fired("x", "watch-" + std::to_string(i)));
  const Dispatch dispatched = tell(spec, many);
  CHECK(dispatched.requests.size() > 1);
  for (const auto& packet : dispatched.requests) {
    CHECK(packet.body.size() <= 1400);
    CHECK(packet.body.ends_with(":1|c"));
  }
}

TEST_CASE("sensu: a check result, well again when it is over") {
  const ContactSpec spec = contact("sensu", {{"check_name", "a\"b"}});
  Json json = body(request(spec, {fired(kNasty)}));
  CHECK(json["name"] == "a\"b");
  CHECK(json["status"] == 2);
  CHECK(json["handler"] == "default");
  Notice over = fired();
  over.kind = Notice::Kind::recovered;
  CHECK(body(request(spec, {over}))["status"] == 0);
  std::vector<Notice> many(100, fired(std::string(300, '"') + " x"));
  CHECK(request(spec, many).body.size() < 8200);
  body(request(spec, many));
}

TEST_CASE("syslog: one line each, with facility and severity") {
  const ContactSpec spec = contact("syslog", {{"facility", "local3"}, {"ident", "god"}});
  const Dispatch dispatched = tell(spec, {fired("a\nb"), fired()});
  CHECK(dispatched.log_socket == "/dev/log");
  REQUIRE(dispatched.log_lines.size() == 2);
  const std::string& line = dispatched.log_lines[0];
  CHECK(line.starts_with("<" + std::to_string(19 * 8 + 2) + ">"));
  CHECK(line.find(" god[") != std::string::npos);
  CHECK(line.ends_with("]: web: a\\nb"));
  Notice calm = fired();
  calm.to.priority = "";
  CHECK(severity_of(calm) == 4);
  calm.kind = Notice::Kind::recovered;
  CHECK(severity_of(calm) == 6);
}

TEST_CASE("exec: variables and JSON, arguments as they are") {
  const ContactSpec spec =
      contact("exec", {{"command", std::string("/bin/tell\0a b\0$x", 16)}, {"timeout", "2000"}});
  const Dispatch dispatched = tell(spec, {fired("it; rm -rf /")});
  REQUIRE(dispatched.command);
  CHECK(dispatched.command->command.argv == std::vector<std::string>{"/bin/tell", "a b", "$x"});
  CHECK(dispatched.command->timeout == Duration(2000));
  const auto variable = [&](std::string_view name) -> std::string {
    for (const auto& [key, value] : dispatched.command->env)
      if (key == name) return value;
    return "(missing)";
  };
  CHECK(variable("SUPV_WATCH") == "web");
  CHECK(variable("SUPV_MESSAGE") == "web: it; rm -rf /");
  CHECK(variable("SUPV_CONTACT") == "ops");
  CHECK(variable("SUPV_CONDITION") == "memory_usage#1");
  CHECK(Json::parse(dispatched.command->input)["notices"][0]["action"] == "restart");
}

TEST_CASE("email: the text of a message cannot become a header or end the mail") {
  const ContactSpec spec =
      contact("email", {{"to", "a@b\nc@d"}, {"subject", "[%{watch}] %{message}"}});
  const courier::Request one = request(spec, {fired(kNasty)});
  CHECK(one.method == courier::Method::mail);
  CHECK(one.url == "smtp://localhost:25/host1");
  CHECK(one.envelope.from == "supv@host1");
  CHECK(one.envelope.recipients == std::vector<std::string>{"a@b", "c@d"});
  CHECK(one.envelope.user.empty());
  const std::size_t blank = one.body.find("\r\n\r\n");
  REQUIRE(blank != std::string::npos);
  const std::string head = one.body.substr(0, blank);
  CHECK(head.find("Bcc:") == std::string::npos);
  CHECK(head.find("\nBcc") == std::string::npos);
  CHECK(head.find("To: a@b,\r\n c@d\r\n") != std::string::npos);
  CHECK(head.find("Date: Fri, 02 Jan 2026 03:04:05 +0000\r\n") != std::string::npos);
  for (std::size_t at = one.body.find('\n'); at != std::string::npos;
       at = one.body.find('\n', at + 1)) {
    CHECK(one.body[at - 1] == '\r');
    const std::size_t next = one.body.find('\n', at + 1);
    if (next != std::string::npos && at > blank) CHECK(next - at < 79);
  }
}

TEST_CASE("email: what is not ASCII is encoded, a digest's subject is one line") {
  const ContactSpec spec = contact("email", {{"to", "a@b"}, {"from_name", "Wärter"}});
  const courier::Request one = request(spec, {fired("größer = \xe2\x82\xac")});
  CHECK(one.body.find("From: =?utf-8?Q?W=C3=A4rter?= <supv@host1>") != std::string::npos);
  CHECK(one.body.find("Subject: =?utf-8?Q?=5Bsupv=5D_web") != std::string::npos);
  CHECK(one.body.find("gr=C3=B6=C3=9Fer =3D =E2=82=AC") != std::string::npos);
  for (const char c : one.body) CHECK(static_cast<unsigned char>(c) < 0x80);
  CHECK(request(spec, {fired("a"), fired("b", "db")})
            .body.find("Subject: [supv] 2 notices of web, db\r\n") != std::string::npos);
}

TEST_CASE("email: TLS, login and program as written") {
  const std::string file = "/tmp/supv-contact-password-" + std::to_string(::getpid());
  std::ofstream(file) << "secret \r\nsecond line\n";
  ContactSpec spec = contact("email", {{"to", "a@b"},
                                       {"from", "me@x"},
                                       {"server", "mx:465"},
                                       {"tls", "smtps"},
                                       {"user", "u"},
                                       {"password_file", file}});
  courier::Request one = request(spec, {fired()});
  CHECK(one.url == "smtps://mx:465/host1");
  CHECK(one.envelope.user == "u");
  CHECK(one.envelope.password == "secret");
  CHECK(one.body.find("secret") == std::string::npos);
  ::unlink(file.c_str());
  CHECK(tell(spec, {fired()}).error == "cannot read " + file);
  spec = contact("email", {{"to", "a@b"}, {"tls", "require"}, {"domain", "me.example"}});
  one = request(spec, {fired()});
  CHECK(one.url == "smtp://localhost:25/me.example");
  CHECK(one.envelope.tls == courier::Envelope::Tls::require);
  spec = contact("email", {{"to", "-x@b"}, {"method", "sendmail"}});
  const Dispatch dispatched = tell(spec, {fired()});
  REQUIRE(dispatched.command);
  CHECK(dispatched.command->command.argv ==
        std::vector<std::string>{"/usr/sbin/sendmail", "-i", "-f", "supv@host1", "--", "-x@b"});
  CHECK(dispatched.command->input.find('\r') == std::string::npos);
}
