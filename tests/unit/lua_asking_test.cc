// What scripts of the condition `lua` ask for: servers, commands, files.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "../lib/lua_bench.h"

using namespace supv;
using namespace supv::test;

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
