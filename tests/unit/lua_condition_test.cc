// The condition `lua`: what scripts say, see and ask for, and that none of them does any harm.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "conditions/catalog.h"

using namespace supv;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kMiB = 1024 * 1024;
/// 2026-03-01 12:00:00.25 UTC, a Sunday.
constexpr std::int64_t kWall = 1'772'366'400 * kSecond + kSecond / 4;

/// What a script sees in these tests, and what it asked for.
struct FakeHost {
  std::map<std::string, std::string> options;
  std::map<std::string, std::string> files = {{"/proc/loadavg", "0.5 0.4 0.3 1/200 4711\n"}};
  std::vector<std::int32_t> processes = {80, 81};
  supv_usage used{};
  supv_usage used_by_one{};
  bool gone = false;
  bool busy = false;
  // What was asked for last.
  std::string command;
  std::int64_t timeout_ms = -1;
  std::map<std::string, std::string> request;
  int redirects = -1;
  int insecure = -1;

  static FakeHost& self(void* context) { return *static_cast<FakeHost*>(context); }
  static std::string text_of(const char* text) { return text == nullptr ? "" : text; }
  static const char* option(void* context, const char* name) {
    const auto found = self(context).options.find(name);
    return found == self(context).options.end() ? nullptr : found->second.c_str();
  }
  static const char* watch_name(void*) { return "web"; }
  static std::int32_t pid(void* context) { return self(context).gone ? 0 : 80; }
  static int usage(void* context, supv_scope scope, int with_pss, supv_usage* usage) {
    FakeHost& host = self(context);
    if (host.gone) return -1;
    *usage = scope == SUPV_SCOPE_TREE ? host.used : host.used_by_one;
    if (with_pss == 0) usage->pss_bytes = 0;
    return 0;
  }
  static void conclude(void*, const supv_verdict*) { FAIL("nothing of ours concludes by itself"); }
  static int http(void* context, const supv_http_request* asked) {
    FakeHost& host = self(context);
    if (host.busy) return -1;
    host.request = {{"method", text_of(asked->method)},
                    {"url", text_of(asked->url)},
                    {"headers", text_of(asked->headers)},
                    {"body", text_of(asked->body)},
                    {"unix_socket", text_of(asked->unix_socket)},
                    {"ca_file", text_of(asked->ca_file)},
                    {"client_cert", text_of(asked->client_cert)},
                    {"client_key", text_of(asked->client_key)},
                    {"tls_server_name", text_of(asked->tls_server_name)}};
    host.redirects = asked->redirects;
    host.insecure = asked->insecure;
    host.timeout_ms = asked->timeout_ms;
    return 0;
  }
  static int run(void* context, const char* command, std::int64_t timeout_ms) {
    if (self(context).busy) return -1;
    self(context).command = command;
    self(context).timeout_ms = timeout_ms;
    return 0;
  }
  static std::int64_t read(void* context, const char* path, char* bytes, std::size_t room) {
    const auto found = self(context).files.find(path);
    if (found == self(context).files.end()) return -ENOENT;
    const std::size_t size = std::min(room, found->second.size());
    std::memcpy(bytes, found->second.data(), size);
    return static_cast<std::int64_t>(size);
  }
  static const char* cgroup(void*) { return nullptr; }
  static std::size_t pids(void* context, supv_scope scope, std::int32_t* pids, std::size_t room) {
    if (self(context).gone) return 0;
    auto all = self(context).processes;
    if (scope == SUPV_SCOPE_PROCESS) all.resize(1);
    std::copy_n(all.begin(), std::min(room, all.size()), pids);
    return all.size();
  }
  supv_host host{sizeof(supv_host), this, option, watch_name, pid,    usage,
                 conclude,          http, run,    read,       cgroup, pids};
};

const supv_condition_descriptor& lua() {
  for (const auto* known : builtin_conditions()) {
    if (std::string(known->name) == "lua") return *known;
  }
  FAIL("there is no lua");
  return *builtin_conditions().front();
}

struct Script {
  explicit Script(const std::string& text, std::map<std::string, std::string> options = {}) {
    host.options = std::move(options);
    host.options["script"] = text;
    host.used = {sizeof(supv_usage), 2, 400 * kMiB, 300 * kMiB, 0, 12, 90 * kSecond};
    host.used_by_one = {sizeof(supv_usage), 1, 100 * kMiB, 90 * kMiB, 0, 5, 90 * kSecond};
    std::array<char, 256> message{};
    self = lua().create(&host.host, message.data(), message.size());
    error = message.data();
  }
  ~Script() {
    if (self != nullptr) lua().destroy(self);
  }
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;

  supv_outcome say(supv_event event) {
    REQUIRE_MESSAGE(self != nullptr, error);
    event.size = sizeof event;
    supv_verdict verdict{};
    verdict.size = sizeof verdict;
    verdict.outcome = SUPV_OK;
    lua().on_event(self, &event, &verdict);
    reason = verdict.reason ? verdict.reason : "";
    metrics = verdict.metrics ? verdict.metrics : "";
    return verdict.outcome;
  }
  supv_outcome poll(std::int64_t at_ns = 0) {
    supv_event event{};
    event.monotonic_ns = at_ns;
    event.wall_ns = kWall + at_ns;
    return say(event);
  }
  supv_outcome answer(int status, const std::string& text = "", int signal = 0) {
    supv_reply reply{};
    reply.size = sizeof reply;
    reply.status = signal == 0 ? status : -1;
    reply.signal = signal;
    reply.text = text.data();
    reply.text_size = text.size();
    return answer(reply);
  }
  supv_outcome failed(const char* why) {
    supv_reply reply{};
    reply.size = sizeof reply;
    reply.error = why;
    return answer(reply);
  }
  supv_outcome answer(const supv_reply& reply) {
    supv_event event{};
    event.kind = SUPV_REPLY;
    event.reply = &reply;
    return say(event);
  }

  FakeHost host;
  void* self = nullptr;
  std::string error;
  std::string reason;
  std::string metrics;
};

std::string refusal(const std::string& text, std::map<std::string, std::string> options = {}) {
  const Script script(text, std::move(options));
  return script.self == nullptr ? script.error : "accepted";
}

/// Outcome and reason of the first poll: "fire: why".
std::string said(const std::string& text) {
  Script script(text);
  constexpr std::array<const char*, 4> kOutcomes = {"ok", "fire", "unknown", "pending"};
  const supv_outcome outcome = script.poll();
  return std::string(kOutcomes.at(outcome)) + ": " + script.reason;
}

/// Expressions that hold.
void hold(const std::vector<std::string>& expressions) {
  for (const std::string& expression : expressions) {
    CAPTURE(expression);
    // A reason shows the beginning of an expression.
    CHECK(said(expression) ==
          "fire: " + (expression.size() > 80 ? expression.substr(0, 80) + "..." : expression));
  }
}

/// CPU time of a poll: others use the machine as well.
double seconds_of(Script& script, supv_outcome expected) {
  const std::clock_t begin = std::clock();
  CHECK(script.poll() == expected);
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

std::string repeated(const std::string& text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("a script says true, false or nothing, and why") {
  struct Row {
    const char* script;
    const char* said;
  };
  constexpr Row kRows[] = {
      {"memory() > 300 * MB", "fire: memory() > 300 * MB"},
      {"memory() > 500 * MB", "ok: memory() > 500 * MB is false"},
      {"  memory()\n   >\n 300 *\tMB\n", "fire: memory() > 300 * MB"},
      {"true, 'because'", "fire: because"},
      {"false, 'all is well'", "ok: all is well"},
      {"nil, 'no idea'", "unknown: no idea"},
      {"nil", "unknown: the script returned nothing"},
      {"return memory() > 300 * MB", "fire: the script returned true"},
      {"local m = memory()\nif m > MB then return true, m // MB .. ' MB' end", "fire: 400 MB"},
      {"if memory() > GB then return true end", "unknown: the script returned nothing"},
      {"fire('on fire')", "fire: on fire"},
      {"return ok('fine')", "ok: fine"},
      {"unknown('who knows')", "unknown: who knows"},
      {"fire()", "fire: fire()"},
      {"return unknown()", "unknown: the script says so"},
      {"memory() > GB and fire('big') or ok('small')", "ok: small"},
      {"memory() > MB and ok('big') or fire('small')", "ok: big"},
      {"memory()", "unknown: the script returned a number, neither true nor false"},
      {"'yes'", "unknown: the script returned a string, neither true nor false"},
      {"{}", "unknown: the script returned a table, neither true nor false"},
      {"true, {}", "unknown: the script's second result, its reason, is a table"},
      {"true, 'two\\nlines\\27 and  blanks '", "fire: two lines and blanks"},
      {"-- only a comment", "unknown: the script returned nothing"},
      {"return true -- with a comment", "fire: the script returned true"},
      {"true -- with a comment", "fire: true -- with a comment"},
  };
  for (const Row& row : kRows) {
    CAPTURE(std::string(row.script));
    CHECK(said(row.script) == row.said);
  }
  const std::string all = said("#'" + std::string(100, 'x') + "' > 3");
  CHECK(all == "fire: #'" + std::string(78, 'x') + "...");
  CHECK(said("true, ('\xc3\xa4'):rep(200)") == "fire: " + repeated("\xc3\xa4", 150) + "...");
}

TEST_CASE("a mistake in the script is told when it is made, with its line, and nothing runs") {
  CHECK(refusal("memory() > 300 *") == "script, line 1: unexpected symbol near <eof>");
  CHECK(refusal("local a = 1\nlocal b = = 2\nreturn a") ==
        "script, line 2: unexpected symbol near '='");
  CHECK(refusal("if memory() > 3 then\n  return true\n") ==
        "script, line 3: 'end' expected (to close 'if' at line 1) near <eof>");
  CHECK(refusal("true and\n\n'open") == "script, line 3: unfinished string near <eof>");
  CHECK(refusal("goto nowhere").find("no visible label 'nowhere'") != std::string::npos);
  CHECK(refusal(" \n\t") == "script: it is empty");
  CHECK(refusal("\x1bLua compiled").rfind("script, line 1: ", 0) == 0);
  CHECK(refusal("error('it ran')") == "accepted");
  CHECK(refusal("while true do end") == "accepted");
  CHECK(refusal("true", {{"memory", "1024"}}) == "memory: not from 128KB to 1GB: '1024'");
  CHECK(refusal("true", {{"memory", "131072"}}) == "accepted");
  CHECK(refusal("true", {{"memory", "much"}}) == "memory: not a number: 'much'");
}

TEST_CASE("an error while it runs is unknown, with the line") {
  CHECK(said("nonsense() > 3") ==
        "unknown: script, line 1: attempt to call a nil value (global 'nonsense')");
  CHECK(said("local a = 1\nlocal b = a + {}\nreturn b") ==
        "unknown: script, line 2: attempt to perform arithmetic on a table value");
  CHECK(said("error('boom')") == "unknown: script, line 1: boom");
  CHECK(said("error('boom', 0)") == "unknown: boom");
  CHECK(said("error({})") == "unknown: script: it raised an error that is no text but a table");
  CHECK(said("error()") == "unknown: script: it raised an error that is no text but a nil");
  CHECK(said("memory('forest')") ==
        "unknown: script, line 1: bad argument #1 to 'memory' (invalid option 'forest')");
  CHECK(said("fire({})") ==
        "unknown: script, line 1: bad argument #1 to 'fire' (string expected, got table)");
  CHECK(said("not pcall(error, 'x')") == "fire: not pcall(error, 'x')");
}

TEST_CASE("the script sees its watch and its processes") {
  hold({"watch == 'web'", "pid() == 80", "memory() == 400 * MB", "memory('tree') == 400 * MB",
        "memory('process') == 100 * MB", "pss() == 300 * MB", "pss('process') == 90 * MB",
        "threads() == 12", "threads('process') == 5", "processes() == 2", "uptime() == 90",
        "#pids() == 2 and pids()[2] == 81", "#pids('process') == 1", "KB == 1024",
        "GB == 1024 * MB", "math.type(memory()) == 'integer'"});
  for (const char* fact : {"pid", "memory", "pss", "threads", "processes", "uptime", "pids"}) {
    CAPTURE(std::string(fact));
    Script nothing(std::string(fact) + "() == nil");
    nothing.host.gone = true;
    CHECK(nothing.poll() == SUPV_FIRE);
  }
  Script gone("memory() > 300 * MB");
  gone.host.gone = true;
  CHECK(gone.poll() == SUPV_UNKNOWN);
  CHECK(gone.reason == "the process is gone (script, line 1: attempt to compare number with nil)");
  gone.host.gone = false;
  CHECK(gone.poll() == SUPV_FIRE);
}

TEST_CASE("cpu is that between two polls") {
  Script busy("cpu() > 50");
  busy.host.used.cpu_ns = 3600ULL * kSecond;
  CHECK(busy.poll(10 * kSecond) == SUPV_UNKNOWN);
  CHECK(busy.reason.rfind("cpu(): first sample (", 0) == 0);
  CHECK(busy.poll(15 * kSecond) == SUPV_OK);
  busy.host.used.cpu_ns += 3 * kSecond;
  CHECK(busy.poll(20 * kSecond) == SUPV_FIRE);
  busy.host.gone = true;
  CHECK(busy.poll(25 * kSecond) == SUPV_UNKNOWN);
  CHECK(busy.reason.rfind("the process is gone (", 0) == 0);
  // Asked twice in a poll, and not in every poll.
  Script seldom(
      "n = (n or 0) + 1\nif n == 2 then return false end\nlocal a, b = cpu(), cpu()\n"
      "return a == b and a == 40, tostring(a)");
  CHECK(seldom.poll(0) == SUPV_OK);
  CHECK(seldom.reason == "nil");
  seldom.host.used.cpu_ns = 9 * kSecond;
  CHECK(seldom.poll(10 * kSecond) == SUPV_OK);
  seldom.host.used.cpu_ns += 4 * kSecond;
  CHECK(seldom.poll(20 * kSecond) == SUPV_FIRE);
  CHECK(seldom.reason == "40.0");
  Script one("cpu('process') == 20 and cpu() == nil");
  CHECK(one.poll(0) == SUPV_OK);
  one.host.used_by_one.cpu_ns = kSecond;
  CHECK(one.poll(5 * kSecond) == SUPV_FIRE);
}

TEST_CASE("globals last from poll to poll, locals do not") {
  Script growth(
      "local before = last\n"
      "last = memory()\n"
      "if not before then return false, 'first look' end\n"
      "return last - before > 10 * MB, (last - before) // MB .. ' MB more'");
  CHECK(growth.poll() == SUPV_OK);
  CHECK(growth.reason == "first look");
  growth.host.used.rss_bytes += 5 * kMiB;
  CHECK(growth.poll() == SUPV_OK);
  growth.host.used.rss_bytes += 20 * kMiB;
  CHECK(growth.poll() == SUPV_FIRE);
  CHECK(growth.reason == "20 MB more");
  Script other("last == nil");
  CHECK(other.poll() == SUPV_FIRE);
}

TEST_CASE("time is that of the poll") {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  hold({"now() == 1772366400.25", "os.time() == 1772366400",
        "os.time{year=2026, month=3, day=1, hour=12} == os.time()",
        "os.date('%Y-%m-%d %H:%M') == '2026-03-01 12:00'", "os.date('*t').wday == 1",
        "os.date('!%H', 0) == '00'", "os.date('%H:%M', now() - 3600) == '11:00'", "#os.date() > 10",
        "os.clock() >= 0"});
  CHECK(said("os.date('%Ez', 'x')").rfind("unknown: ", 0) == 0);
  CHECK(said("os.date('%H', 0/0)").rfind("unknown: ", 0) == 0);
}

TEST_CASE("metrics are perfdata, and are kept with every verdict") {
  Script full(
      "metric('rss', memory(), 'B')\nmetric('load', 0.5)\nmetric('of queue', 7, 'jobs')\n"
      "metric('load', 1.25)\nmetric('gone', nil)\nreturn false, 'ok'");
  CHECK(full.poll() == SUPV_OK);
  CHECK(full.metrics == "'rss'=419430400B 'load'=1.25 'of queue'=7jobs");
  CHECK(full.poll() == SUPV_OK);
  CHECK(full.metrics == "'rss'=419430400B 'load'=1.25 'of queue'=7jobs");
  Script broken("metric('seen', 1)\nerror('then')");
  CHECK(broken.poll() == SUPV_UNKNOWN);
  CHECK(broken.metrics == "'seen'=1");
  for (const char* bad :
       {"metric('a')", "metric('', 1)", "metric('a=b', 1)", "metric('it\\'s', 1)",
        "metric('a|b', 1)", "metric('a\\n', 1)", "metric('a\\0b', 1)", "metric('a', '1x')",
        "metric('a', 0/0)", "metric('a', 1/0)", "metric('a', 1, '5')", "metric('a', 1, 'b c')",
        "metric(('x'):rep(65), 1)", "metric('a', {})", "metric(nil, 1)",
        "for i = 1, 40 do metric('m' .. i, i) end"}) {
    CAPTURE(std::string(bad));
    CHECK(said(std::string(bad) + "\nreturn true").rfind("unknown: script, line 1: ", 0) == 0);
  }
}

TEST_CASE("http goes out, and the script goes on with the answer") {
  Script queue(
      "local status, body, why = http('http://127.0.0.1:7433/queues', {\n"
      "  method = 'POST', headers = {Accept = 'text/plain'}, body = '{}', timeout = 2.5,\n"
      "  unix_socket = '/s', insecure = true, ca_file = '/ca', client_cert = '/c',\n"
      "  client_key = '/k', tls_server_name = 'n', redirects = 3})\n"
      "if not status then return nil, body end\n"
      "local waiting = tonumber(body:match('\"enqueued\":%s*(%d+)'))\n"
      "metric('waiting', waiting)\n"
      "return waiting > 1000, waiting .. ' jobs wait'");
  CHECK(queue.poll() == SUPV_PENDING);
  CHECK(queue.host.request ==
        std::map<std::string, std::string>{{"method", "POST"},
                                           {"url", "http://127.0.0.1:7433/queues"},
                                           {"headers", "Accept: text/plain"},
                                           {"body", "{}"},
                                           {"unix_socket", "/s"},
                                           {"ca_file", "/ca"},
                                           {"client_cert", "/c"},
                                           {"client_key", "/k"},
                                           {"tls_server_name", "n"}});
  CHECK(queue.host.timeout_ms == 2500);
  CHECK(queue.host.redirects == 3);
  CHECK(queue.host.insecure == 1);
  CHECK(queue.answer(200, R"({"enqueued": 1200})") == SUPV_FIRE);
  CHECK(queue.reason == "1200 jobs wait");
  CHECK(queue.metrics == "'waiting'=1200");
  CHECK(queue.poll() == SUPV_PENDING);
  CHECK(queue.answer(200, R"({"enqueued":3})") == SUPV_OK);
  CHECK(queue.poll() == SUPV_PENDING);
  CHECK(queue.failed("connection refused") == SUPV_UNKNOWN);
  CHECK(queue.reason == "connection refused");
  CHECK(queue.poll() == SUPV_PENDING);
  CHECK(queue.answer(200, "nonsense") == SUPV_UNKNOWN);
  CHECK(queue.reason.rfind("script, line 8: ", 0) == 0);
  queue.host.busy = true;
  CHECK(queue.poll() == SUPV_UNKNOWN);
  CHECK(queue.reason == "script, line 1: http: the request cannot be sent");
  queue.host.busy = false;
  CHECK(queue.poll() == SUPV_PENDING);

  Script plain("http('https://h/') ~= 200");
  CHECK(plain.poll() == SUPV_PENDING);
  CHECK(plain.host.request.at("method") == "GET");
  CHECK(plain.host.timeout_ms == 0);
  CHECK(plain.answer(200) == SUPV_OK);
  CHECK(plain.poll() == SUPV_PENDING);
  CHECK(plain.failed("timed out") == SUPV_FIRE);
}

TEST_CASE("several answers in one poll, also within pcall, and bodies with zero bytes") {
  Script both(
      "local good, first = pcall(http, 'http://a/')\n"
      "local second, body = http('http://b/', {headers = {'A: 1', B = 2}})\n"
      "return good and first == 201 and second == 202 and #body == 3 and body == 'a\\0b'");
  CHECK(both.poll() == SUPV_PENDING);
  CHECK(both.host.request.at("url") == "http://a/");
  CHECK(both.answer(201) == SUPV_PENDING);
  CHECK(both.host.request.at("url") == "http://b/");
  CHECK(both.host.request.at("headers") == "A: 1\nB: 2");
  CHECK(both.answer(202, std::string("a\0b", 3)) == SUPV_FIRE);
  CHECK(both.answer(202) == SUPV_UNKNOWN);
  CHECK(both.reason == "an answer that the script does not wait for");
}

TEST_CASE("a poll while a script waits changes nothing, until its answer has been given up") {
  Script waits("n = (n or 0) + 1\nreturn run('x', 3) == 0, 'run ' .. n");
  CHECK(waits.poll(10 * kSecond) == SUPV_PENDING);
  CHECK(waits.poll(12 * kSecond) == SUPV_PENDING);
  CHECK(waits.answer(0) == SUPV_FIRE);
  CHECK(waits.reason == "run 1");
  CHECK(waits.poll(20 * kSecond) == SUPV_PENDING);
  CHECK(waits.poll(23 * kSecond) == SUPV_PENDING);  // Begun anew.
  CHECK(waits.answer(0) == SUPV_FIRE);
  CHECK(waits.reason == "run 3");
  // Without a time of its own: nobody waits longer than 10s for long.
  Script patient("n = (n or 0) + 1\nreturn http('http://h/') == 200, 'run ' .. n");
  CHECK(patient.poll(0) == SUPV_PENDING);
  CHECK(patient.poll(9 * kSecond) == SUPV_PENDING);
  CHECK(patient.poll(10 * kSecond) == SUPV_PENDING);
  CHECK(patient.answer(200) == SUPV_FIRE);
  CHECK(patient.reason == "run 2");
  // One that waits may be destroyed, and what it had to close is not run.
  Script unfinished(
      "local a <close> = setmetatable({}, {__close = function() while true do end end})\n"
      "return http('http://h/') == 200");
  CHECK(unfinished.poll(0) == SUPV_PENDING);
  CHECK(unfinished.poll(20 * kSecond) == SUPV_PENDING);
}

TEST_CASE("http and run refuse what makes no sense, in words") {
  const auto refused = [](const std::string& call) {
    const std::string text = said(call);
    const std::string begin = "unknown: script, line 1: ";
    return text.rfind(begin, 0) == 0 ? text.substr(begin.size()) : text;
  };
  CHECK(refused("http('ftp://h/')") == "bad argument #1 to 'http' (neither http:// nor https://)");
  CHECK(refused("http()") == "bad argument #1 to 'http' (string expected, got no value)");
  CHECK(refused("http('http://h/\\0')") == "bad argument #1 to 'http' (contains a zero byte)");
  CHECK(refused("http('http://h/', 5)") ==
        "bad argument #2 to 'http' (table expected, got number)");
  CHECK(refused("http('http://h/', {methud = 'GET'})") == "http: there is no option 'methud'");
  CHECK(refused("http('http://h/', {'GET'})") ==
        "http: its options have names, such as {timeout = 5}");
  CHECK(refused("http('http://h/', {method = 'EAT'})") ==
        "http: method is none of GET HEAD POST PUT PATCH DELETE OPTIONS");
  CHECK(refused("http('http://h/', {body = 5})") == "http: body is not a text, or has a zero byte");
  CHECK(refused("http('http://h/', {body = 'a\\0b'})") ==
        "http: body is not a text, or has a zero byte");
  CHECK(refused("http('http://h/', {insecure = 1})") == "http: insecure is neither true nor false");
  const std::string timeout = "http: timeout is not a number of seconds above 0";
  for (const char* bad : {"0", "-1", "'soon'", "{}", "0/0", "1/0"}) {
    CHECK(refused("http('http://h/', {timeout = " + std::string(bad) + "})") == timeout);
  }
  CHECK(refused("http('http://h/', {redirects = 21})") ==
        "http: redirects is not a number from 0 to 20");
  CHECK(refused("http('http://h/', {headers = 'A: 1'})") ==
        "http: headers is not a table such as {Accept = \"text/plain\"}");
  CHECK(refused("http('http://h/', {headers = {'nonsense'}})") ==
        "http: headers: not \"Name: value\" in one line: 'nonsense'");
  CHECK(refused("http('http://h/', {headers = {A = 'x\\r\\nB: y'}})").rfind("http: headers: ", 0) ==
        0);
  CHECK(refused("http('http://h/', {headers = {A = {}}})") ==
        "http: the value of a header is not a text");
  CHECK(refused("('x'):gsub('x', function() http('http://h/') end)").rfind("http() must wait", 0) ==
        0);
  CHECK(refused("run('  ')") == "bad argument #1 to 'run' (it is empty)");
  CHECK(refused("run('a\\0b')") == "bad argument #1 to 'run' (contains a zero byte)");
  CHECK(refused("run('x', 0)") == "run: timeout is not a number of seconds above 0");
  CHECK(refused("table.sort({1, 2}, function() run('x') end)").rfind("run() must wait", 0) == 0);
}

TEST_CASE("run gives the exit code and the output") {
  Script command(
      "local code, out, more = run('bin/count --all', 1.5)\nreturn code == 0 and "
      "tonumber(out) > 5, tostring(code) .. '/' .. out .. '/' .. tostring(more)");
  CHECK(command.poll() == SUPV_PENDING);
  CHECK(command.host.command == "bin/count --all");
  CHECK(command.host.timeout_ms == 1500);
  CHECK(command.answer(0, "7\n") == SUPV_FIRE);
  CHECK(command.reason == "0/7 /nil");
  command.poll();
  CHECK(command.answer(3, "bad") == SUPV_OK);
  command.poll();
  CHECK(command.answer(0, "half", 9) == SUPV_OK);
  CHECK(command.reason == "nil/killed by KILL/half");
  command.poll();
  CHECK(command.answer(-1) == SUPV_OK);
  CHECK(command.reason == "nil/ended, status unknown/");
  command.poll();
  CHECK(command.failed("no such user 'x'") == SUPV_OK);
  CHECK(command.reason == "nil/no such user 'x'/nil");
  command.host.busy = true;
  CHECK(command.poll() == SUPV_UNKNOWN);
  CHECK(command.reason == "script, line 1: run: no command can be run");
}

TEST_CASE("files: their text, their age, their size; devices and pipes are none") {
  std::string dir = "/tmp/lua_condition_test.XXXXXX";
  REQUIRE(::mkdtemp(dir.data()) != nullptr);
  std::ofstream(dir + "/small") << "seven\n\n";
  std::ofstream(dir + "/large") << std::string(100'000, 'x');
  REQUIRE(::mkfifo((dir + "/pipe").c_str(), 0600) == 0);
  const timespec changed[2] = {{1'772'366'300, 0}, {1'772'366'300, 500'000'000}};
  REQUIRE(::utimensat(AT_FDCWD, (dir + "/small").c_str(), changed, 0) == 0);
  const auto check = [&dir](std::string expression, const std::string& under) {
    for (std::size_t at = 0; (at = expression.find("D/", at)) != std::string::npos;) {
      expression.replace(at, 2, under);
    }
    CAPTURE(expression);
    Script script(expression, {{"watch.dir", dir}});
    CHECK(script.poll() == SUPV_FIRE);
  };
  for (const std::string& under : {dir + "/", std::string()}) {
    check("file('D/small') == 'seven\\n\\n'", under);
    check("#file('D/large') == 65536 and size('D/large') == 100000", under);
    check("exists('D/small') and exists('D/none') == false and exists('D/small/x') == false",
          under);
    check("now() - mtime('D/small') == 99.75", under);
    check("select(2, file('D/none')) == 'No such file or directory'", under);
    check("select(2, mtime('D/none')) == 'No such file or directory'", under);
    check("select(2, size('D/none')) == 'No such file or directory' and size('D/none') == nil",
          under);
    check("file('D/pipe') == nil and select(2, file('D/pipe')) == 'not a regular file'", under);
  }
  check("select(2, file('/')) == 'Is a directory'", "");
  check("select(2, file('/dev/zero')) == 'not a regular file'", "");
  CHECK(said("file('small')") ==
        "unknown: script, line 1: bad argument #1 to 'file' (not an absolute path)");
  CHECK(said("exists('/etc\\0')") ==
        "unknown: script, line 1: bad argument #1 to 'exists' (contains a zero byte)");
  hold({"tonumber(read('/proc/loadavg'):match('^%S+')) == 0.5",
        "select(2, read('/proc/none')) == 'cannot be read'"});
  std::filesystem::remove_all(dir);
}

TEST_CASE("nothing leads out of the sandbox") {
  hold({
      "load == nil and loadstring == nil and loadfile == nil and dofile == nil",
      "require == nil and package == nil and io == nil and debug == nil",
      "collectgarbage == nil and warn == nil and xpcall == nil and coroutine == nil",
      "os.execute == nil and os.exit == nil and os.getenv == nil and os.remove == nil",
      "os.rename == nil and os.tmpname == nil and os.setlocale == nil and os.difftime == nil",
      "string.dump == nil and ('').dump == nil and getmetatable('').__index == string",
      "_G.load == nil and rawget(_G, 'load') == nil and _G._G == _G",
      "getmetatable(_G) == nil and getmetatable(print) == nil and getmetatable(1) == nil",
      "getmetatable(fire()) == false and not pcall(setmetatable, fire(), {})",
      "not pcall(setmetatable, '', {}) and not pcall(setmetatable, {}, {__gc = print})",
      "not pcall(setmetatable, {}, {__gc = true})",
      "not pcall(setmetatable, setmetatable({}, {__metatable = 1}), {})",
      "getmetatable(setmetatable({}, {__metatable = 'mine'})) == 'mine'",
      "setmetatable({}, {__index = {a = 5}}).a == 5",
      "not pcall(setmetatable, {}, 5) and not pcall(setmetatable)",
  });
  // Whatever is reachable from the globals, by any way, is of a kind that is known here.
  Script all(
      "local seen, names = {}, {}\n"
      "local function walk(value, name)\n"
      "  if type(value) == 'function' then names[#names + 1] = name end\n"
      "  if type(value) ~= 'table' or seen[value] then return end\n"
      "  seen[value] = true\n"
      "  for k, v in next, value do walk(v, name .. '.' .. tostring(k)) walk(k, name) end\n"
      "  walk(getmetatable(value), name .. '!')\n"
      "end\n"
      "walk(_G, '')\nwalk(getmetatable(''), '')\n"
      "local count = 0\n"
      "for _, name in ipairs(names) do\n"
      "  if not name:match('%.string%.') and not name:match('%.table%.') and\n"
      "     not name:match('%.math%.') and not name:match('%.utf8%.') then count = count + 1 end\n"
      "end\n"
      "return #names > 60 and count == 48, count .. ' others'");
  CHECK(all.poll() == SUPV_FIRE);
  CAPTURE(all.reason);
  CHECK(all.reason == "48 others");
  // A script can only spoil itself.
  Script spoiler(
      "getmetatable('').__index = function() return function() return 'x' end end\n"
      "string, os, memory = nil, nil, nil\nreturn ('a'):upper() == 'x'");
  CHECK(spoiler.poll() == SUPV_FIRE);
  CHECK(spoiler.poll() == SUPV_FIRE);
  CHECK(said("('a'):upper() == 'A'") == "fire: ('a'):upper() == 'A'");
  // Functions of ours, called with anything.
  for (const char* name :
       {"http",    "run",     "read",    "file",         "exists", "mtime",  "size",
        "metric",  "fire",    "ok",      "memory",       "cpu",    "pss",    "pids",
        "threads", "os.time", "os.date", "setmetatable", "now",    "uptime", "pid"}) {
    CAPTURE(std::string(name));
    Script script(
        "for _, a in ipairs{{}, print, true, 1e308, -1, fire(), ('x'):rep(1e5)} do\n"
        "  pcall(" +
        std::string(name) +
        ", a, a, a)\n"
        "  pcall(" +
        std::string(name) + ", 'x', a)\nend\nreturn true");
    const supv_outcome outcome = script.poll();
    CHECK((outcome == SUPV_FIRE || outcome == SUPV_PENDING));
  }
}

TEST_CASE("print writes a line, not longer than it may be, to stderr") {
  FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  const int before = ::dup(2);
  ::dup2(::fileno(file), 2);
  Script prints("print('queue', 7, nil, {} ~= nil) print(('x'):rep(1e6)) print()");
  const supv_outcome outcome = prints.poll();
  ::dup2(before, 2);
  ::close(before);
  CHECK(outcome == SUPV_UNKNOWN);
  std::string text(2000, '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  CHECK(text == "queue\t7\tnil\ttrue\n" + std::string(511, 'x') + "\n\n");
}

TEST_CASE("memory is capped, and a script that needed too much works again later") {
  for (const char* hungry :
       {"('x'):rep(1 << 30) == ''", "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local t = {} while true do t = {t} end", "local s = 'x' while true do s = s .. s end",
        "table.concat({('x'):rep(1e7), ('y'):rep(1e7)}) == ''"}) {
    CAPTURE(std::string(hungry));
    Script script(hungry);
    CHECK(script.poll() == SUPV_UNKNOWN);
    CHECK(script.reason == "the script needs more memory than it may have, 16384 KiB");
    CHECK(script.poll() == SUPV_UNKNOWN);
    CHECK(script.reason.find("16384 KiB") != std::string::npos);
  }
  // What it hoards over many polls is lost when it is too much; then it begins anew.
  Script hoarder(
      "hoard = hoard or {}\nhoard[#hoard + 1] = ('x'):rep(MB) .. #hoard\n"
      "return true, tostring(#hoard)");
  int polls = 1;
  while (hoarder.poll() == SUPV_FIRE && polls < 100) ++polls;
  CHECK(polls < 16);
  CHECK(hoarder.reason == "the script needs more memory than it may have, 16384 KiB");
  CHECK(hoarder.poll() == SUPV_FIRE);
  CHECK(hoarder.reason == "1");
  Script roomy("#('x'):rep(20 * MB) == 20 * MB", {{"memory", std::to_string(64 * kMiB)}});
  CHECK(roomy.poll() == SUPV_FIRE);
  // A thousand polls that leave garbage behind stay within little.
  Script garbage("local t = {} for i = 1, 1000 do t[i] = {i} end return #t == 1000",
                 {{"memory", std::to_string(256 * 1024)}});
  for (int i = 0; i < 1000; ++i) REQUIRE(garbage.poll() == SUPV_FIRE);
}

TEST_CASE("a script that runs on and on is ended, whatever it catches") {
  for (const char* endless :
       {"while true do end", "local function f() return f() end return f()",
        "while true do pcall(function() while true do end end) end",
        "local function f() while true do pcall(f) end end return pcall(f)",
        "return pcall(function() while true do end end)",
        "while true do ('x'):rep(100000):find('y') end",
        "('x'):rep(9):gsub('x', function() while true do pcall(function() while true do end end) "
        "end end)",
        "while true do pcall(table.sort, {1, 2, 3}, function() while true do end end) end",
        "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end})\n"
        "while true do pcall(function() return t[1] end) end",
        "local a <close> = setmetatable({}, {__close = function() while true do end end})\n"
        "while true do end"}) {
    CAPTURE(std::string(endless));
    Script script(endless);
    CHECK(seconds_of(script, SUPV_UNKNOWN) < 1.5);
    CHECK(script.reason.find("the script runs too long") != std::string::npos);
  }
  Script once("n = (n or 0) + 1\nwhile n == 1 do end\nreturn n == 2");
  CHECK(once.poll() == SUPV_UNKNOWN);
  CHECK(once.reason == "script, line 2: the script runs too long");
  CHECK(once.poll() == SUPV_FIRE);
  // The time is that of the poll, all its parts together.
  Script parts(
      "while true do\n  local t = os.clock()\n  while os.clock() - t < 0.4 do end\n"
      "  http('http://h/')\nend");
  CHECK(parts.poll() == SUPV_PENDING);
  CHECK(parts.answer(200) == SUPV_PENDING);
  CHECK(parts.answer(200) == SUPV_UNKNOWN);
  CHECK(parts.reason == "script, line 3: the script runs too long");
}

TEST_CASE("scripts of hostile size and nesting are refused or unknown, and nothing else") {
  const auto nested = [](const std::string& open, const std::string& inner,
                         const std::string& close, std::size_t depth) {
    return repeated(open, depth) + inner + repeated(close, depth);
  };
  CHECK(refusal(nested("(", "1", ")", 10'000)).find("C stack overflow") != std::string::npos);
  CHECK(refusal(nested("{", "", "}", 10'000)).find("C stack overflow") != std::string::npos);
  CHECK(refusal(repeated("-", 2) + nested("not ", "1", "", 5'000)) == "accepted");  // A comment.
  CHECK(refusal(nested("not ", "1", "", 5'000)).find("C stack overflow") != std::string::npos);
  CHECK(refusal(nested("function() return ", "1", " end", 1'000)).find("overflow") !=
        std::string::npos);
  CHECK(refusal(nested("do ", "", " end", 3'000)).find("overflow") != std::string::npos);
  CHECK(refusal(repeated("local a = 1\n", 250)).find("too many local variables") !=
        std::string::npos);
  CHECK(refusal("'" + std::string(40'000, 'x') + "' == ''") == "script: longer than 32 KiB");
  CHECK(refusal(repeated("f=function() end ", 1'800), {{"memory", "131072"}}) ==
        "the script needs more memory than it may have, 128 KiB");
  CHECK(said("local function f() return f() + 1 end return f()") ==
        "unknown: the script needs more memory than it may have, 16384 KiB");
  Script deep("local function f() return f() + 1 end return f()",
              {{"memory", std::to_string(256 * kMiB)}});
  CHECK(deep.poll() == SUPV_UNKNOWN);
  CHECK(deep.reason.find("stack overflow") != std::string::npos);
  CHECK(said("local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x")
            .find("'__index' chain too long") != std::string::npos);
  CHECK(said("return table.unpack({}, 1, 1e6)").rfind("unknown: ", 0) == 0);
  CHECK(said("return table.unpack({}, 1, 1e5)") == "unknown: the script returned nothing");
  CHECK(said("local a, b = pcall(string.rep, 'x', -1) return a and b == ''") ==
        "fire: the script returned true");
  CHECK(said("string.format('%d', 'x')").rfind("unknown: script, line 1: bad argument", 0) == 0);
}

TEST_CASE("it is declared as one that lives in a process of its own") {
  CHECK(lua().kind == SUPV_POLL);
  CHECK(lua().flags == SUPV_HOSTED);
  CHECK(describe_condition(lua()).find("- lua: { script: memory() > 300 * MB") !=
        std::string::npos);
}
