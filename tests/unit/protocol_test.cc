#include "core/protocol.h"

#include <doctest/doctest.h>

#include <random>

#include "base/units.h"

using namespace supv;
using namespace supv::protocol;

namespace {

Call accepted(const std::string& line) {
  auto parsed = parse_call(line);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) FAIL(refusal->text);
  return std::get<Call>(parsed);
}

Refusal refused(const std::string& line) {
  auto parsed = parse_call(line);
  if (std::holds_alternative<Call>(parsed)) FAIL("accepted: " << line);
  return std::get<Refusal>(parsed);
}

Refusal refused_params(const std::string& method, const std::string& params) {
  return refused(R"({"jsonrpc":"2.0","id":1,"method":")" + method + R"(","params":)" + params +
                 "}");
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Report full_report() {
  Report report;
  report.consul = "ok";
  WatchReport watch;
  watch.name = "sidekiq";
  watch.groups = {"workers"};
  watch.state = "up";
  watch.desired = "up";
  watch.health = "ok";
  watch.pid = 80;
  watch.uptime_s = 12.125;
  watch.restarts = 2;
  watch.last_exit = LastExit{std::nullopt, "KILL", 1767323045000};
  watch.last_change = LastChange{1767323045000, "restart", "condition", "consul_kv x changed"};
  watch.pending = PendingReport{"restart", "changed again", "settle", 1767323045000};
  watch.hold = HoldReport{std::nullopt, "deploy", "root"};
  watch.warnings = {"pid_file never written"};
  watch.conditions = {{"consul_kv#1",
                       "false",
                       "as started",
                       "watch",
                       "known",
                       {{15, "0123abcd", 1767323045000}},
                       1767323045000},
                      {"memory_usage#2", "unknown", "", "", "", {}, std::nullopt}};
  report.watches = {watch, {}};
  report.watches[1].name = "idle";
  report.watches[1].state = "stopped";
  return report;
}

}  // namespace

TEST_CASE("a call becomes a request") {
  const Call call =
      accepted(R"({"jsonrpc":"2.0","id":"a-7","method":"hold","params":{"select":["web","w*"],)"
               R"("action_id":"x1","hold_ms":1800000,"reason":"deploy","force":true}})");
  CHECK(call.id == "\"a-7\"");
  CHECK(call.kind == Kind::core);
  CHECK(call.request.verb == Request::Verb::hold);
  CHECK(call.request.select == std::vector<std::string>{"web", "w*"});
  CHECK(call.request.action_id == "x1");
  CHECK(call.request.hold_for == Duration(1800000));
  CHECK(call.request.reason == "deploy");
  CHECK(call.request.force);
}

TEST_CASE("signals are names or numbers") {
  const std::string head =
      R"({"jsonrpc":"2.0","id":1,"method":"signal","params":{"all":true,"signal":)";
  CHECK(accepted(head + "\"TERM\"}}").request.signal == 15);
  CHECK(accepted(head + "\"SIGHUP\"}}").request.signal == 1);
  CHECK(accepted(head + "12}}").request.signal == 12);
  for (const char* bad :
       {"0", "-1", "1.5", "\"NONE\"", "\"\"", "[]", "null", "99999999999999999999"}) {
    CAPTURE(bad);
    CHECK(refused(head + bad + "}}").error == kInvalidParams);
  }
  CHECK(contains(refused_params("signal", R"({"all":true})").text, "signal: is missing"));
}

TEST_CASE("what is no call is refused with the right code and id") {
  CHECK(refused("").error == kParseError);
  CHECK(refused("{").error == kParseError);
  CHECK(refused("nonsense").error == kParseError);
  CHECK(refused("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"st\xff\"}").error == kParseError);
  CHECK(refused("[]").error == kInvalidRequest);
  CHECK(refused("17").error == kInvalidRequest);
  CHECK(refused(R"({"id":1,"method":"status"})").error == kInvalidRequest);
  CHECK(refused(R"({"jsonrpc":"1.0","id":1,"method":"status"})").error == kInvalidRequest);
  CHECK(refused(R"({"jsonrpc":"2.0","method":"status"})").error == kInvalidRequest);
  CHECK(refused(R"({"jsonrpc":"2.0","id":{},"method":"status"})").error == kInvalidRequest);
  CHECK(refused(R"({"jsonrpc":"2.0","id":1,"method":7})").error == kInvalidRequest);
  CHECK(refused(R"({"jsonrpc":"2.0","id":1,"method":"status","params":[]})").error ==
        kInvalidRequest);
  CHECK(refused(R"({"jsonrpc":"2.0","id":1,"method":"status","x":1})").error == kInvalidRequest);
  CHECK(refused(std::string(kMaxLine + 1, ' ')).error == kInvalidRequest);
  CHECK(refused(R"({"jsonrpc":"2.0","id":5,"method":7})").id == "5");
  CHECK(refused("{").id == "null");
  const Refusal unknown = refused(R"({"jsonrpc":"2.0","id":5,"method":"statsu"})");
  CHECK(unknown.error == kUnknownMethod);
  CHECK(unknown.id == "5");
  CHECK(contains(unknown.text, "did you mean 'status'?"));
}

TEST_CASE("bad parameters are named") {
  const auto text = [](const std::string& method, const std::string& params) {
    const Refusal refusal = refused_params(method, params);
    CHECK(refusal.error == kInvalidParams);
    return refusal.text;
  };
  CHECK(contains(text("status", R"({"selct":["a"]})"), "did you mean 'select'?"));
  CHECK(contains(text("status", R"({"force":true})"), "unknown parameter 'force'"));
  CHECK(contains(text("status", R"({"select":"a"})"), "select: must be a list"));
  CHECK(contains(text("status", R"({"select":[1]})"), "select: must be a list"));
  CHECK(contains(text("status", R"({"select":[""]})"), "select: must not contain an empty"));
  CHECK(contains(text("status", R"({"select":["a\u0000b"]})"), "select: must not contain NUL"));
  CHECK(contains(text("load", R"({"files":["relative.yaml"]})"), "files: must be absolute"));
  CHECK(contains(text("load", R"({"missing":"kill"})"), "missing: must be one of"));
  CHECK(contains(text("wait", R"({"all":true,"for":"ever"})"), "for: must be one of up, ready"));
  CHECK(contains(text("hold", R"({"all":true,"hold_ms":-1})"), "hold_ms: must be a whole number"));
  CHECK(contains(text("hold", R"({"all":true,"hold_ms":1e300})"), "hold_ms: must be"));
  CHECK(contains(text("stop", R"({})"), "name a watch"));
  CHECK(contains(text("stop", R"({"all":false})"), "name a watch"));
  CHECK(contains(text("kv", R"({"key":"a"})"), "action: is missing"));
  CHECK(contains(text("kv", R"({"action":"get"})"), "key: is missing"));
  CHECK(contains(text("history", R"({"n":1.5})"), "n: must be a whole number"));
  const std::string long_id(129, 'x');
  CHECK(
      contains(text("stop", R"({"all":true,"action_id":")" + long_id + "\"}"), "action_id: must"));
}

TEST_CASE("a call survives the way to the other side") {
  Call call;
  call.id = "42";
  call.request.verb = Request::Verb::load;
  call.request.files = {"/etc/a.yaml"};
  call.request.action_id = "id-1";
  call.request.no_restart = true;
  call.request.missing = "keep";
  const Call back = accepted(call_line(call));
  CHECK(back.id == "42");
  CHECK(back.request.verb == Request::Verb::load);
  CHECK(back.request.files == call.request.files);
  CHECK(back.request.action_id == "id-1");
  CHECK(back.request.no_restart);
  CHECK(back.request.missing == "keep");
  Call kv;
  kv.id = "1";
  kv.kind = Kind::kv;
  kv.kv_action = "put";
  kv.key = "a/b";
  kv.value = "";
  CHECK(accepted(call_line(kv)).kv_action == "put");
  CHECK(method_name(kv) == "kv");
}

TEST_CASE("readers may read") {
  const auto reads = [](const std::string& method, const std::string& params) {
    return only_reads(accepted(R"({"jsonrpc":"2.0","id":1,"method":")" + method + R"(","params":)" +
                               params + "}"));
  };
  for (const char* query :
       {"status", "show", "why", "plan", "history", "events", "logs", "version"}) {
    CAPTURE(query);
    CHECK(reads(query, "{}"));
  }
  CHECK(reads("wait", R"({"all":true})"));
  for (const char* deed :
       {"start", "stop", "restart", "reload", "monitor", "unmonitor", "hold", "release"}) {
    CAPTURE(deed);
    CHECK_FALSE(reads(deed, R"({"all":true})"));
  }
  CHECK_FALSE(reads("signal", R"({"all":true,"signal":"TERM"})"));
  CHECK_FALSE(reads("kv", R"({"action":"get","key":"a"})"));
  CHECK_FALSE(reads("load", "{}"));
  CHECK_FALSE(reads("quit", "{}"));
  CHECK_FALSE(reads("terminate", "{}"));
  CHECK_FALSE(reads("plan", R"({"files":["/etc/shadow"]})"));
}

TEST_CASE("status is the contract's JSON") {
  const Call call = accepted(R"({"jsonrpc":"2.0","id":3,"method":"status"})");
  const std::string line =
      reply_line(call, full_report(), {71, "0.1.0", 12.5, "", ""}, {Used{4096, 0.333333}, Used{}});
  const std::string expected =
      R"({"jsonrpc":"2.0","id":3,"result":{"supvd":{"pid":71,"version":"0.1.0","uptime_s":12.5,)"
      R"("consul":"ok","consul_address":null},"watches":[)"
      R"({"name":"sidekiq","groups":["workers"],"state":"up","desired":"up","health":"ok",)"
      R"("pid":80,"uptime_s":12.13,"restarts":2,"rss_bytes":4096,"cpu_percent":0.33,)"
      R"("last_exit":{"code":null,"signal":"KILL","at":"2026-01-02T03:04:05Z"},)"
      R"("last_change":{"at":"2026-01-02T03:04:05Z","action":"restart","by":"condition",)"
      R"("reason":"consul_kv x changed"},)"
      R"("pending":{"action":"restart","reason":"changed again","waiting_for":"settle",)"
      R"("until":"2026-01-02T03:04:05Z"},)"
      R"("hold":{"until":null,"reason":"deploy","by":"root"},)"
      R"("warnings":["pid_file never written"],"task":false,"conditions":[)"
      R"({"id":"consul_kv#1","verdict":"false","reason":"as started",)"
      R"("timeline":["#15 0123abcd 2026-01-02T03:04:05Z"],"checked_at":"2026-01-02T03:04:05Z",)"
      R"("mode":"watch","baseline":"known"},)"
      R"({"id":"memory_usage#2","verdict":"unknown","reason":null,"timeline":null,)"
      R"("checked_at":null,"mode":null,"baseline":null}]},)"
      R"({"name":"idle","groups":[],"state":"stopped","desired":"","health":"","pid":null,)"
      R"("uptime_s":null,"restarts":0,"rss_bytes":null,"cpu_percent":null,"last_exit":null,)"
      R"("last_change":null,"pending":null,"hold":null,"warnings":[],"task":false,"conditions":[]}]},"exit":0})"
      "\n";
  CHECK(line == expected);
}

TEST_CASE("a client reads back what supvd said") {
  const Call call = accepted(R"({"jsonrpc":"2.0","id":3,"method":"show"})");
  Report report = full_report();
  report.code = 151;
  report.text = "in words";
  report.watches[0].log = "/var/log/x";
  const auto answer = parse_answer(reply_line(
      call, report, {71, "0.1.0", 12.5, "", "http://127.0.0.1:1"}, {Used{4096, 0.5}, Used{}}));
  REQUIRE(answer);
  CHECK(answer->kind == Answer::Kind::result);
  CHECK(answer->code == 151);
  CHECK(answer->text == "in words");
  CHECK(answer->supvd.pid == 71);
  CHECK(answer->supvd.consul == "ok");
  CHECK(answer->supvd.consul_address == "http://127.0.0.1:1");
  REQUIRE(answer->report.watches.size() == 2);
  const WatchReport& watch = answer->report.watches[0];
  CHECK(watch.last_exit->signal == "KILL");
  CHECK(watch.last_exit->wall_ms == 1767323045000);
  CHECK(watch.pending->until_wall_ms == 1767323045000);
  CHECK_FALSE(watch.hold->until_wall_ms);
  CHECK(watch.conditions[0].timeline[0].index == 15);
  CHECK(watch.conditions[0].timeline[0].hash8 == "0123abcd");
  CHECK(watch.log == "/var/log/x");
  CHECK(answer->used[0].rss_bytes == 4096);
  CHECK_FALSE(answer->used[1].cpu_percent);
}

TEST_CASE("what was measured is told where there is something, and without what is not known") {
  const Call call = accepted(R"({"jsonrpc":"2.0","id":3,"method":"status"})");
  Report report = full_report();
  auto& metrics = report.watches[0].conditions[1].metrics;
  metrics = {{"rss", 123.0, "B", "10:20", "@~:5", 0.0, 100.0}, {"queue", {}, "", "", "", {}, {}}};
  const std::string line = reply_line(call, report, {}, {});
  CHECK(contains(line, R"("mode":"watch","baseline":"known"},)"));
  CHECK(contains(line,
                 R"("baseline":null,"metrics":[{"label":"rss","value":123.0,"unit":"B",)"
                 R"("warn":"10:20","crit":"@~:5","min":0.0,"max":100.0},{"label":"queue"}]})"));
  const auto answer = parse_answer(line);
  REQUIRE(answer);
  CHECK(answer->report.watches[0].conditions[0].metrics.empty());
  CHECK(answer->report.watches[0].conditions[1].metrics == metrics);
}

TEST_CASE("actions, progress, errors") {
  const Call call =
      accepted(R"({"jsonrpc":"2.0","id":"z","method":"restart","params":{"select":["a"]}})");
  Report report;
  report.code = code::kPartial;
  report.text = "1 of 2";
  report.outcomes = {{"a", true, "up, pid 3"}, {"b", false, "held\xff"}};
  report.plan = {{"a", "restart", {"env"}, "restarts"}};
  report.expect_ms = 900;
  const auto answer = parse_answer(reply_line(call, report, {}, {}));
  REQUIRE(answer);
  CHECK(answer->code == code::kPartial);
  CHECK(answer->json ==
        R"({"code":153,"text":"1 of 2","outcomes":[{"watch":"a","ok":true,"text":"up, pid 3"},)"
        "{\"watch\":\"b\",\"ok\":false,\"text\":\"held\xEF\xBF\xBD\"}],"
        R"("plan":[{"watch":"a","change":"restart","keys":["env"],"text":"restarts"}]})");
  CHECK(answer->report.plan[0].keys == std::vector<std::string>{"env"});
  const auto progress = parse_answer(progress_line(call, report));
  REQUIRE(progress);
  CHECK(progress->kind == Answer::Kind::progress);
  CHECK(progress->id == "\"z\"");
  CHECK(progress->report.expect_ms == 900);
  CHECK(progress->report.outcomes.size() == 2);
  const auto error = parse_answer(error_line({"\"z\"", kRefusedCall, "no"}, code::kDenied));
  REQUIRE(error);
  CHECK(error->kind == Answer::Kind::error);
  CHECK(error->code == code::kDenied);
  CHECK(error->error == kRefusedCall);
  // A query about a watch that is not there is not answered with an empty list.
  Report none;
  none.code = code::kNoSuchWatch;
  none.text = "no such watch: a";
  const Call status = accepted(R"({"jsonrpc":"2.0","id":1,"method":"status"})");
  CHECK(parse_answer(reply_line(status, none, {}, {}))->code == code::kNoSuchWatch);
  CHECK(parse_answer(reply_line(status, none, {}, {}))->kind == Answer::Kind::error);
}

TEST_CASE("history lines and KV values survive") {
  const HistoryLine line{
      1767323045123, {"web", NoteKind::warning, "up", "backoff", "restart", "exit", "a\n\"b", 7}};
  const auto back = parse_history(history_text(line));
  REQUIRE(back);
  CHECK(back->wall_ms == line.wall_ms);
  CHECK(back->note.kind == NoteKind::warning);
  CHECK(back->note.reason == "a\n\"b");
  CHECK(back->note.pid == 7);
  CHECK(contains(history_text(line), R"("at":"2026-01-02T03:04:05Z")"));
  CHECK_FALSE(parse_history("{}"));
  CHECK_FALSE(parse_history("half a li"));
  const auto event = parse_answer(event_line(history_text(line)));
  REQUIRE(event);
  CHECK(event->kind == Answer::Kind::event);
  CHECK(event->history[0].note.to == "backoff");

  const Call call =
      accepted(R"({"jsonrpc":"2.0","id":1,"method":"kv","params":{"action":"get","key":"k"}})");
  for (std::size_t size = 0; size < 20; ++size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(255 - i * 7);
    CHECK(parse_answer(kv_line(call, {0, "", bytes, 9}))->kv.value == bytes);
  }
  CHECK(parse_answer(kv_line(call, {0, "", "plain ü", 9}))->kv.value == "plain ü");
  CHECK(contains(kv_line(call, {0, "", "plain", 9}), R"("value":"plain","value_base64":null)"));
  CHECK_FALSE(parse_answer(kv_line(call, {1, "no such key", std::nullopt, 0}))->kv.value);
}

TEST_CASE("no line crashes either side") {
  std::mt19937 random(20260102);
  const std::string seeds[] = {
      R"({"jsonrpc":"2.0","id":1,"method":"signal","params":{"select":["a"],"signal":9}})",
      reply_line(accepted(R"({"jsonrpc":"2.0","id":3,"method":"status"})"), full_report(),
                 {71, "0.1.0", 12.5, "", ""}, {}),
      event_line(history_text({1, {"w", NoteKind::action, "", "", "", "", "", 0}}))};
  const std::string pieces[] = {
      "{}",   "[]",      "null", "-1", "1e999", "\"", "\\u0000", "\xff", "18446744073709551615",
      "true", "{\"a\":", ","};
  for (int i = 0; i < 20000; ++i) {
    std::string line = seeds[random() % 3];
    for (unsigned n = 0; n <= random() % 4; ++n) {
      const std::size_t at = random() % line.size();
      const std::string& piece = pieces[random() % std::size(pieces)];
      if (random() % 2 == 0) {
        line.replace(at, random() % 6, piece);
      } else {
        line[at] = static_cast<char>(random());
      }
    }
    auto parsed = parse_call(line);
    if (const auto* refusal = std::get_if<Refusal>(&parsed)) {
      CHECK_FALSE(refusal->text.empty());
      CHECK(parse_answer(error_line(*refusal, 2)));
    }
    parse_answer(line);
    parse_history(line);
  }
  parse_call(std::string(kMaxLine, '['));
  parse_answer(std::string(kMaxLine, '{'));
}
