// The condition `lua`: what scripts say, and what they see.
#include <doctest/doctest.h>
#include <stdlib.h>

#include <ctime>
#include <string>

#include "../lib/lua_bench.h"

using namespace supv;
using namespace supv::test;

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
