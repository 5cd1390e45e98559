#include "app/import_god.h"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "app/import_god_json.h"
#include "app/import_god_shell.h"
#include "app/import_god_yaml.h"

using namespace supv;
using namespace supv::import_god;

namespace {

/// A recording with one watch that has these attributes and metrics.
std::string recorded(const std::string& attributes, const std::string& metrics = "",
                     const std::string& more = "") {
  return R"({"globals":{},"contacts":[],"contact_defaults":{},"notes":[],"errors":[],"loaded":["a.god"],
    "uid":1000,"home":"/home/u","watches":[{"kind":"watch","file":"a.god","line":3,"lines":{},
    "behaviors":[],"keepalive":[],"attributes":{"name":"w",)" +
         attributes + R"(},"metrics":[)" + metrics + "]" + more + "}]}";
}

std::string metric(const std::string& from, const std::string& to, const std::string& kind,
                   const std::string& attributes) {
  return R"({"from":)" + from + R"(,"to":)" + to + R"(,"file":"a.god","line":5,"conditions":[)" +
         R"({"kind":")" + kind + R"(","custom":false,"unknown":false,"file":"a.god","line":6,)" +
         R"("methods":{},"attributes":)" + attributes + "}]}";
}

const std::string kUp = R"({"t":"symbol","name":"up"})";
const std::string kStart = R"({"t":"symbol","name":"start"})";
const std::string kRestart = R"({"t":"symbol","name":"restart"})";

Converted converted(const std::string& attributes, const std::string& metrics = "") {
  return convert(parse_recording(recorded(attributes, metrics)));
}

bool says(const Converted& result, Note::Kind kind, const std::string& part) {
  for (const Note& note : result.notes) {
    if (note.kind == kind && note.text.find(part) != std::string::npos) return true;
  }
  return false;
}

#define HAS(text, part) CHECK_MESSAGE((text).find(part) != std::string::npos, text)
#define HAS_NOT(text, part) CHECK_MESSAGE((text).find(part) == std::string::npos, text)

}  // namespace

TEST_CASE("a recording that is none is refused") {
  for (const char* text : {"", "{", "[]", "{}", R"({"globals":{}})", "null"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_recording(text), std::runtime_error);
  }
}

TEST_CASE("what god does by itself is implied") {
  const auto gone = metric(kUp, kStart, "process_running", R"({"running":false,"interval":5})");
  const Converted result = converted(R"("start":"prog","interval":30)", gone);
  HAS(result.yaml, "# from a.god:3\n  w:\n    start: prog\n");
  HAS(result.yaml, "keepalive: true");
  HAS(result.yaml, "adopt: /home/u/.god/pids/w.pid");
  HAS_NOT(result.yaml, "start_if");
  HAS_NOT(result.yaml, "process_running");
}

TEST_CASE("a watch that nothing starts is not started") {
  const Converted result = converted(R"("start":"prog")");
  HAS(result.yaml, "keepalive: false\n    autostart: false");
  CHECK(says(result, Note::Kind::review, "nothing in the file starts it"));
}

TEST_CASE("other transitions are drawn, and those that cannot be are told") {
  const auto http = metric(R"([)" + kStart + "," + kRestart + "]", kUp, "socket_responding",
                           R"({"port":80,"responding":true})");
  const Converted drawn = converted(R"("start":"prog")", http);
  HAS(drawn.yaml, "- from: [start, restart]\n        to: up\n");
  HAS(drawn.yaml, "socket_responding: {port: 80, responding: true}");
  const auto odd = metric(kUp, R"({"t":"symbol","name":"init"})", "always", R"({"what":true})");
  CHECK(
      says(converted(R"("start":"prog")", odd), Note::Kind::lost, "a transition from up to init"));
}

TEST_CASE("units are god's") {
  struct Row {
    const char* kind;
    const char* attributes;
    const char* yaml;
  };
  const Row rows[] = {
      {"memory_usage", R"({"above":153600,"times":[3,5]})",
       "memory_usage: {above: 150MB, times: [3, 5]}"},
      {"memory_usage", R"({"above":2097152,"times":[3,3]})",
       "memory_usage: {above: 2GB, times: 3}"},
      {"memory_usage", R"({"above":1000,"times":1})", "memory_usage: {above: 1000KB}"},
      {"cpu_usage", R"({"above":12.5})", "cpu_usage: {above: 12.5%}"},
      {"file_mtime", R"({"path":"/a b","max_age":90})", "file_mtime: {path: /a b, max_age: 1m30s}"},
      {"disk_usage", R"({"mount_point":"/","above":90,"interval":0.5})",
       "disk_usage: {mount_point: /, above: 90%, interval: 500ms}"},
      {"http_response_code",
       R"({"host":"h","code_is_not":[200,302],"headers":{"t":"map","pairs":[["Host","x"]]}})",
       R"(http_response_code: {host: h, code_is_not: [200, 302], headers: ["Host: x"]})"},
  };
  for (const Row& row : rows) {
    const auto result =
        converted(R"("start":"prog")", metric(kUp, kRestart, row.kind, row.attributes));
    HAS(result.yaml, std::string("restart_if:\n      - ") + row.yaml + "\n");
  }
}

TEST_CASE("a notify without a contact is told, not written") {
  const auto usage =
      metric(kUp, kRestart, "cpu_usage", R"({"above":5,"notify":["nobody","noone"]})");
  const Converted result = converted(R"("start":"prog")", usage);
  HAS_NOT(result.yaml, "nobody");
  CHECK(says(result, Note::Kind::lost, "no contact nobody"));
  CHECK(says(result, Note::Kind::lost, "no contact noone"));
}

TEST_CASE("texts of the user stay what they are") {
  const Converted result = converted(
      R"json("start":"prog ${HOME} 'a: b'","uid":33,"umask":18,"env":{"t":"map","pairs":[["A","yes"],["B",5],["C","x # y"]]})json");
  HAS(result.yaml, "start: \"prog $${HOME} 'a: b'\"\n");
  HAS(result.yaml, R"(env: {A: "yes", B: "5", C: "x # y"})");
  HAS(result.yaml, "umask: \"0022\"");
}

TEST_CASE("names are made valid and stay different") {
  const Converted result = converted(R"("start":"prog")");
  REQUIRE(result.watches.size() == 1);
  std::string two = recorded(R"("start":"prog")");
  const std::size_t at = two.find("\"name\":\"w\"");
  two.replace(at, 10, "\"name\":\"my app: 1\"");
  const Converted renamed = convert(parse_recording(two));
  CHECK(renamed.watches[0] == "my-app--1");
  CHECK(says(renamed, Note::Kind::review, "'my app: 1' is named my-app--1"));
}

TEST_CASE("start commands are cleaned") {
  struct Row {
    const char* text;
    const char* command;
    const char* dir;
    const char* log;
    std::size_t env;
  };
  const Row rows[] = {
      {"prog -a 'b c'", "prog -a 'b c'", "", "", 0},
      {"cd /x && prog", "prog", "/x", "", 0},
      {"cd /x && cd y && A=1 B='2 3' exec prog a", "prog a", "/x/y", "", 2},
      {"env A=1 prog >> l 2>&1", "prog", "", "l", 1},
      {"nohup prog > /dev/null 2>&1 &", "prog", "", "/dev/null", 0},
      {"cd /x && a | b", "a | b", "/x", "", 0},
      {"a && b >> l", "a && b >> l", "", "", 0},
      {"cd $X && prog", "cd $X && prog", "", "", 0},
      {"A=$B prog", "A=$B prog", "", "", 0},
      {"prog 'open", "prog 'open", "", "", 0},
      {"bundle exec sidekiq -d -P p.pid -L s.log -c 5", "bundle exec sidekiq -c 5", "", "s.log", 0},
      {"puma -d -P p.pid", "puma -d -P p.pid", "", "", 0},
      {"", "", "", "", 0},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.text));
    const CleanCommand clean = clean_start(row.text);
    CHECK(clean.command == row.command);
    CHECK(clean.dir == row.dir);
    CHECK(clean.log == row.log);
    CHECK(clean.env.size() == row.env);
  }
  CHECK(clean_start("sudo -u deploy -E prog").uid == "deploy");
  CHECK(clean_start("sudo -i prog").command == "sudo -i prog");
}

TEST_CASE("stops that are signals are recognised, others are not") {
  const auto shape = [](const char* text) {
    std::string out;
    for (const SignalStep& step : signal_steps(text)) {
      out += step.signal + " " + format_duration(step.wait) + ";";
    }
    return out;
  };
  CHECK(shape("kill `cat /a.pid`") == "TERM 0s;");
  CHECK(shape("kill -QUIT $(cat /a.pid)") == "QUIT 0s;");
  CHECK(shape("kill -s USR1 `cat a` 2>/dev/null || true; rm -f a") == "USR1 0s;");
  CHECK(shape("kill -9 `cat a`") == "KILL 0s;");
  CHECK(shape("kill -TSTP `cat a` && sleep 10 && sleep 1m; kill `cat a`") == "TSTP 1m10s;TERM 0s;");
  for (const char* text :
       {"kill -0 `cat a`", "kill 123", "kill -QUIT `cat a` && other", "prog stop", "sleep 5",
        "kill -NOPE `cat a`", "pkill -f x", "", "kill 'open"}) {
    CAPTURE(text);
    CHECK(shape(text).empty());
  }
}

TEST_CASE("a document says what was meant") {
  Yaml inner = map({{"text", literal("two\nlines\n")}, {"odd", literal(" x")}});
  Yaml document = map({{"a", map({{"b", inner}})}, {"l", list({word("1"), literal("1")})}});
  document.comment = "first\nsecond";
  CHECK(render(document) ==
        "# first\n# second\na:\n  b:\n    text: |\n      two\n      lines\n    odd: \" x\"\n"
        "l:\n  - 1\n  - \"1\"\n");
}

TEST_CASE("what god itself refuses is told, and the rest stands") {
  const auto disk = metric(kUp, kRestart, "disk_usage", R"({"above":5})");
  const Converted result = converted(R"("start":"prog")", disk);
  CHECK(says(result, Note::Kind::lost, "disk_usage has no mount_point"));
  HAS_NOT(result.yaml, "disk_usage");
  std::string text = recorded(R"("start":"prog")");
  const std::string contact =
      R"("contacts":[{"kind":"email","custom":false,"file":"a.god","line":1,"attributes":{"name":"a","email":"x"}}])";
  text.replace(text.find(R"("contacts":[])"), 13, contact);
  const Converted mailed = convert(parse_recording(text));
  CHECK(says(mailed, Note::Kind::lost, "contact email has no to"));
  CHECK(says(mailed, Note::Kind::lost, "god's contact email has no attribute email"));
  CHECK(mailed.contacts.empty());
}
