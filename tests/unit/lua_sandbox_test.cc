// The condition `lua`: no script does any harm, whatever it tries.
#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <string>

#include "../lib/lua_bench.h"

using namespace supv;
using namespace supv::test;

namespace {

/// CPU time of a poll: others use the machine as well.
double seconds_of(Script& script, supv_outcome expected) {
  const std::clock_t begin = std::clock();
  CHECK(script.poll() == expected);
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

}  // namespace

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

TEST_CASE("memory may run out at any point") {
  // How much is left for what follows differs from poll to poll.
  Script script(
      "local hoard = ('x'):rep(os.time() % (100 * KB))\n"
      "metric('hoard', #hoard, 'B')\n"
      "local function all()\n"
      "  local t = {pids(), file('/proc/self/stat'), read('/proc/loadavg'), os.date('*t'), cpu()}\n"
      "  t.f = fire(('why %d'):format(#hoard)) .. ''\n"
      "end\n"
      "for i = 1, 3 do pcall(all) end\n"
      "local status = http('http://h/', {headers = {A = ('b'):rep(100), 'C: d'}, body = 'x'})\n"
      "pcall(error, {}) local s = tostring(status) .. tostring(#hoard)\n"
      "return fire(s)",
      {{"memory", std::to_string(128 * 1024)}});
  std::array<int, 4> seen{};
  for (int i = 0; i < 1200; ++i) {
    supv_outcome outcome = script.poll(i * 1013 * kSecond);
    if (outcome == SUPV_PENDING) {
      outcome = script.answer(200, std::string(static_cast<std::size_t>(i), 'y'));
    }
    ++seen.at(outcome);
    if (outcome == SUPV_UNKNOWN) {
      CHECK(script.reason == "the script needs more memory than it may have, 128 KiB");
    }
  }
  CHECK(seen[SUPV_FIRE] > 100);
  CHECK(seen[SUPV_UNKNOWN] > 100);
  CHECK(seen[SUPV_OK] + seen[SUPV_PENDING] == 0);
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
