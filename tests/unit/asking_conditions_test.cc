// One table for each condition that asks, counts or keeps time: true, false, unknown, bad
// parameters.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "conditions/catalog.h"

using namespace supv;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
using Options = std::map<std::string, std::string>;

/// What a condition sees in these tests, and what it asked for. Options are in base units.
struct FakeHost {
  Options options;
  std::map<std::string, std::string> files;
  std::string cgroup_path;
  std::vector<std::int32_t> processes = {::getpid()};
  supv_usage used{};
  bool gone = false;
  bool busy = false;
  // What was asked for last.
  std::string command;
  std::map<std::string, std::string> request;
  int redirects = -1;
  int insecure = -1;

  static FakeHost& self(void* context) { return *static_cast<FakeHost*>(context); }
  static const char* option(void* context, const char* name) {
    const auto found = self(context).options.find(name);
    return found == self(context).options.end() ? nullptr : found->second.c_str();
  }
  static const char* watch_name(void*) { return "web"; }
  static std::int32_t pid(void*) { return ::getpid(); }
  static int usage(void* context, supv_scope, int, supv_usage* usage) {
    if (self(context).gone) return -1;
    *usage = self(context).used;
    return 0;
  }
  static void conclude(void*, const supv_verdict*) { FAIL("nothing of ours concludes by itself"); }
  static int http(void* context, const supv_http_request* asked) {
    FakeHost& host = self(context);
    if (host.busy) return -1;
    host.request = {{"method", asked->method},           {"url", asked->url},
                    {"headers", asked->headers},         {"body", asked->body},
                    {"unix_socket", asked->unix_socket}, {"ca_file", asked->ca_file},
                    {"client_cert", asked->client_cert}, {"client_key", asked->client_key}};
    host.redirects = asked->redirects;
    host.insecure = asked->insecure;
    return 0;
  }
  static int run(void* context, const char* command, std::int64_t) {
    if (self(context).busy) return -1;
    self(context).command = command;
    return 0;
  }
  static std::int64_t read(void* context, const char* path, char* bytes, std::size_t room) {
    std::string text;
    const auto found = self(context).files.find(path);
    if (found != self(context).files.end()) {
      text = found->second;
    } else {
      std::ifstream file(self(context).files.empty() ? path : "/nowhere");
      if (!file) return -ENOENT;
      text.assign(std::istreambuf_iterator<char>(file), {});
    }
    const std::size_t size = std::min(room, text.size());
    std::memcpy(bytes, text.data(), size);
    return static_cast<std::int64_t>(size);
  }
  static const char* cgroup(void* context) {
    const std::string& path = self(context).cgroup_path;
    return path.empty() ? nullptr : path.c_str();
  }
  static std::size_t pids(void* context, supv_scope, std::int32_t* pids, std::size_t room) {
    const auto& all = self(context).processes;
    std::copy_n(all.begin(), std::min(room, all.size()), pids);
    return all.size();
  }
  supv_host host{sizeof(supv_host), this, option, watch_name, pid,    usage,
                 conclude,          http, run,    read,       cgroup, pids};
};

const supv_condition_descriptor& find(const std::string& name) {
  for (const auto* known : builtin_conditions()) {
    if (known->name == name) return *known;
  }
  FAIL("no such condition");
  return *builtin_conditions().front();
}

struct Subject {
  Subject(const std::string& name, const Options& options) : descriptor(find(name)) {
    for (std::uint32_t i = 0; i < descriptor.option_count; ++i) {
      const supv_option& declared = descriptor.options[i];
      if (declared.fallback) host.options[declared.name] = declared.fallback;
    }
    for (const auto& [key, value] : options) host.options[key] = value;
    std::array<char, 256> message{};
    self = descriptor.create(&host.host, message.data(), message.size());
    error = message.data();
  }
  ~Subject() {
    if (self != nullptr) descriptor.destroy(self);
  }
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  supv_outcome say(supv_event event) {
    REQUIRE_MESSAGE(self != nullptr, error);
    event.size = sizeof event;
    supv_verdict verdict{sizeof(supv_verdict), SUPV_UNKNOWN, nullptr, nullptr};
    descriptor.on_event(self, &event, &verdict);
    reason = verdict.reason ? verdict.reason : "";
    metrics = verdict.metrics ? verdict.metrics : "";
    return verdict.outcome;
  }
  supv_outcome poll(std::int64_t monotonic_ns = 0) {
    supv_event event{};
    event.monotonic_ns = monotonic_ns;
    return say(event);
  }
  supv_outcome at(std::int64_t wall_s, std::int64_t armed_s = 0) {
    supv_event event{};
    event.wall_ns = wall_s * kSecond;
    event.armed_wall_ns = armed_s * kSecond;
    return say(event);
  }
  supv_outcome answer(const supv_reply& reply) {
    supv_event event{};
    event.kind = SUPV_REPLY;
    event.reply = &reply;
    return say(event);
  }
  supv_outcome exited(int code, const std::string& text = "", int signal = 0) {
    supv_reply reply{};
    reply.size = sizeof reply;
    reply.status = signal == 0 ? code : -1;
    reply.signal = signal;
    reply.text = text.data();
    reply.text_size = text.size();
    return answer(reply);
  }
  supv_outcome code(int status, const std::string& body = "") { return exited(status, body); }
  supv_outcome failed(const char* why) {
    supv_reply reply{};
    reply.size = sizeof reply;
    reply.error = why;
    return answer(reply);
  }

  const supv_condition_descriptor& descriptor;
  FakeHost host;
  void* self = nullptr;
  std::string error;
  std::string reason;
  std::string metrics;
};

std::string refusal(const std::string& name, const Options& options) {
  const Subject subject(name, options);
  return subject.self == nullptr ? subject.error : "accepted";
}

}  // namespace

TEST_CASE("exec understands the exit codes of Nagios") {
  struct Row {
    const char* fires_on;
    std::array<supv_outcome, 5> said;  // For the exit codes 0, 1, 2, 3 and 127.
  };
  constexpr Row kRows[] = {
      {"critical", {SUPV_OK, SUPV_OK, SUPV_FIRE, SUPV_UNKNOWN, SUPV_UNKNOWN}},
      {"warning", {SUPV_OK, SUPV_FIRE, SUPV_FIRE, SUPV_UNKNOWN, SUPV_UNKNOWN}},
      {"nonzero", {SUPV_OK, SUPV_FIRE, SUPV_FIRE, SUPV_FIRE, SUPV_FIRE}},
      {"zero", {SUPV_FIRE, SUPV_OK, SUPV_OK, SUPV_OK, SUPV_OK}},
  };
  for (const Row& row : kRows) {
    CAPTURE(std::string(row.fires_on));
    Subject exec("exec", {{"command", "check it"}, {"fires_on", row.fires_on}});
    CHECK(exec.poll() == SUPV_PENDING);
    CHECK(exec.host.command == "check it");
    constexpr std::array<int, 5> kCodes = {0, 1, 2, 3, 127};
    for (std::size_t i = 0; i < kCodes.size(); ++i) CHECK(exec.exited(kCodes[i]) == row.said[i]);
    CHECK(exec.exited(0, "", 11) == SUPV_UNKNOWN);
    CHECK(exec.reason == "killed by SEGV");
    CHECK(exec.failed("no such user 'x'") == SUPV_UNKNOWN);
    CHECK(exec.reason == "no such user 'x'");
  }
}

TEST_CASE("exec tells the text of a plugin's output from its perfdata") {
  struct Row {
    const char* output;
    const char* reason;
    const char* metrics;
  };
  constexpr Row kRows[] = {
      {"", "exit 0", ""},
      {"\n \t\r\n", "exit 0", ""},
      {"OK", "exit 0: OK", ""},
      {"\n DISK OK - free: 3% | /=97%;80;90\nmore\n", "exit 0: DISK OK - free: 3%", "/=97%;80;90"},
      {"LOAD OK|load1=6.7;5;10;0; load5=4.8;4;6;0; \n", "exit 0: LOAD OK",
       "load1=6.7;5;10;0; load5=4.8;4;6;0;"},
      {"|only=1", "exit 0", "only=1"},
      {"OK |", "exit 0: OK", ""},
      {"OK | \r\n", "exit 0: OK", ""},
      // The example of the guidelines: further perfdata behind the long text.
      {"DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968\n"
       "/ 15272 MB (77%);\n/boot 68 MB (69%);\n"
       "/var/log 819 MB (84%); | /boot=68MB;88;93;0;98\n"
       "/home=69357MB;253404;253409;0;253414 \n/var/log=818MB;970;975;0;980\n",
       "exit 0: DISK OK - free space: / 3326 MB (56%);",
       "/=2643MB;5948;5958;0;5968  /boot=68MB;88;93;0;98 /home=69357MB;253404;253409;0;253414  "
       "/var/log=818MB;970;975;0;980"},
      {"OK\nlong\n|\na=1\nb=2", "exit 0: OK", "a=1 b=2"},
      {"OK | a=1 | b=2", "exit 0: OK", "a=1 | b=2"},
      {"OK | a=1\tb=2\x01", "exit 0: OK", "a=1 b=2"},
      // A '|' that means something else.
      {"| id | name |\n| 1 | one |", "exit 0: | id | name |", ""},
      {"a || b", "exit 0: a || b", ""},
  };
  Subject exec("exec", {{"command", "x"}});
  for (const Row& row : kRows) {
    CAPTURE(row.output);
    CHECK(exec.exited(0, row.output) == SUPV_OK);
    CHECK(exec.reason == row.reason);
    CHECK(exec.metrics == row.metrics);
  }
  exec.exited(0, std::string("a\0b | c=1\0 d=2", 14));
  CHECK(exec.metrics == "c=1  d=2");
}

TEST_CASE("exec has metrics with every exit code, and none of what has not ended by itself") {
  Subject exec("exec", {{"command", "x"}});
  for (const int code : {0, 1, 2, 3, 127}) {
    exec.exited(code, "text | a=1");
    CHECK(exec.metrics == "a=1");
  }
  exec.exited(0, "text | a=1", 9);
  CHECK(exec.metrics.empty());
  exec.exited(0, "text | a=1");
  exec.failed("no answer within 1s");
  CHECK(exec.metrics.empty());
}

TEST_CASE("exec shortens what is too long") {
  Subject exec("exec", {{"command", "x"}});
  CHECK(exec.exited(0, std::string(5000, 'x') + "|" + std::string(5000, 'y') + "=1") == SUPV_OK);
  CHECK(exec.reason == "exit 0: " + std::string(200, 'x') + "...");
  CHECK(exec.metrics.empty());
  exec.exited(0, std::string(199, 'x') + "\xc3\xa4\xc3\xa4");
  CHECK(exec.reason == "exit 0: " + std::string(199, 'x') + "...");
  // 2048 bytes, and never half a number.
  std::string line = "OK |";
  std::string lines = "OK\n|";
  for (int i = 10000; i < 16000; ++i) {
    line += " m=" + std::to_string(i);
    lines += " m=" + std::to_string(i) + "\n";
  }
  for (const std::string& output : {line, lines}) {
    exec.exited(0, output);
    CHECK(exec.metrics.size() <= 2048);
    CHECK(exec.metrics.size() > 2030);
    CHECK(exec.metrics.starts_with("m=10000 "));
    CHECK(exec.metrics.rfind(" m=") + 8 == exec.metrics.size());
  }
}

TEST_CASE("exec needs a command, and nothing else under way") {
  Subject exec("exec", {{"command", "x"}});
  exec.host.busy = true;
  CHECK(exec.poll() == SUPV_UNKNOWN);
  CHECK(refusal("exec", {{"command", "  "}}) == "command: it is empty");
}

TEST_CASE("http_response_code: an endpoint that does not answer is not answering with that code") {
  Subject is("http_response_code", {{"url", "http://h/"}, {"code_is", "500\n503"}});
  CHECK(is.poll() == SUPV_PENDING);
  CHECK(is.code(503) == SUPV_FIRE);
  CHECK(is.reason == "503");
  CHECK(is.code(200) == SUPV_OK);
  CHECK(is.failed("connection refused") == SUPV_OK);
  Subject is_not("http_response_code", {{"url", "http://h/"}, {"code_is_not", "200\n3xx"}});
  CHECK(is_not.code(200) == SUPV_OK);
  CHECK(is_not.code(302) == SUPV_OK);
  CHECK(is_not.code(404) == SUPV_FIRE);
  CHECK(is_not.failed("no complete answer within 10s") == SUPV_FIRE);
  CHECK(is_not.reason == "no complete answer within 10s");
  is_not.host.busy = true;
  CHECK(is_not.poll() == SUPV_UNKNOWN);
  Subject body("http_response_code",
               {{"url", "http://h/"}, {"code_is_not", "200"}, {"body_match", "^ok( |$)"}});
  CHECK(body.code(200, "ok then") == SUPV_OK);
  CHECK(body.code(200, "okay") == SUPV_FIRE);
  CHECK(body.reason == "200, the body does not match");
  CHECK(body.code(404, "ok") == SUPV_FIRE);
  CHECK(body.code(200, std::string("ok \0x", 5)) == SUPV_OK);
}

TEST_CASE("http_response_code makes the request that it is told to") {
  Subject full("http_response_code", {{"host", "::1"},
                                      {"port", "443"},
                                      {"path", "health"},
                                      {"code_is", "200"},
                                      {"method", "POST"},
                                      {"headers", "A: 1\nB: 2"},
                                      {"body", "{}"},
                                      {"redirects", "3"},
                                      {"ca_file", "/ca"},
                                      {"client_cert", "/c"},
                                      {"client_key", "/k"},
                                      {"insecure", "true"},
                                      {"unix_socket", "/s"}});
  full.poll();
  CHECK(full.host.request == Options{{"method", "POST"},
                                     {"url", "https://[::1]:443/health"},
                                     {"headers", "A: 1\nB: 2"},
                                     {"body", "{}"},
                                     {"unix_socket", "/s"},
                                     {"ca_file", "/ca"},
                                     {"client_cert", "/c"},
                                     {"client_key", "/k"}});
  CHECK(full.host.redirects == 3);
  CHECK(full.host.insecure == 1);
  Subject plain("http_response_code", {{"host", "localhost"}, {"code_is", "200"}});
  plain.poll();
  CHECK(plain.host.request.at("url") == "http://localhost/");
  CHECK(plain.host.redirects == 0);
}

TEST_CASE("http_response_code refuses what makes no sense, in words") {
  const auto with = [](Options more) {
    if (!more.contains("url") && !more.contains("host")) more["url"] = "http://h/";
    if (!more.contains("code_is") && !more.contains("code_is_not")) more["code_is"] = "200";
    return refusal("http_response_code", more);
  };
  CHECK(with({}) == "accepted");
  CHECK(refusal("http_response_code", {{"url", "http://h/"}}) ==
        "exactly one of code_is and code_is_not is needed");
  CHECK(with({{"code_is", "200"}, {"code_is_not", "200"}}) ==
        "exactly one of code_is and code_is_not is needed");
  CHECK(with({{"code_is", "2000"}}) == "code_is: no code of HTTP: '2000'");
  CHECK(with({{"code_is_not", "ok"}}) == "code_is_not: no code of HTTP: 'ok'");
  CHECK(with({{"url", "http://h/"}, {"host", "h"}}) == "exactly one of url and host is needed");
  CHECK(with({{"url", "ftp://h/"}}) == "url: neither http:// nor https://: 'ftp://h/'");
  CHECK(with({{"url", "http://h/"}, {"port", "1"}}) == "port belongs to host; write it in the url");
  CHECK(with({{"host", "h"}, {"port", "70000"}}) == "port: not from 1 to 65535: '70000'");
  CHECK(with({{"redirects", "-1"}}) == "redirects: not from 0 to 20: '-1'");
  CHECK(with({{"headers", "nonsense"}}) == "headers: not \"Name: value\": 'nonsense'");
  CHECK(with({{"client_key", "/k"}}) == "client_key needs client_cert");
  CHECK(with({{"body_match", "("}}).rfind("body_match: ", 0) == 0);
  CHECK(with({{"body_match", "(a)\\1"}}) == "body_match: back-references are not supported");
}

TEST_CASE("threads") {
  Subject threads("threads", {{"above", "10"}});
  threads.host.used.threads = 10;
  CHECK(threads.poll() == SUPV_OK);
  threads.host.used.threads = 11;
  CHECK(threads.poll() == SUPV_FIRE);
  CHECK(threads.reason == "11 threads, above 10");
  threads.host.gone = true;
  CHECK(threads.poll() == SUPV_UNKNOWN);
  CHECK(refusal("threads", {{"above", "many"}}) == "above: not a number: 'many'");
  CHECK(refusal("threads", {{"above", "-1"}}) == "above: below 0: '-1'");
}

TEST_CASE("fd_usage counts what a real process has open, against a number or its limit") {
  Subject few("fd_usage", {{"above", "100000"}});
  CHECK(few.poll() == SUPV_OK);
  CHECK(few.reason.find(" open files, pid " + std::to_string(::getpid())) != std::string::npos);
  Subject many("fd_usage", {{"above", "2"}});
  CHECK(many.poll() == SUPV_FIRE);
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  // Whoever runs this may have left descriptors open, or none, not even 0.
  const auto inherited = std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  const auto allowed = static_cast<rlim_t>(4 * (inherited + 10));
  const rlimit low{allowed, limit.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
  Subject half("fd_usage", {{"above", "75%"}});
  CHECK(half.poll() == SUPV_OK);
  std::vector<int> open;
  while (open.size() < allowed - static_cast<rlim_t>(inherited) - 3) {
    open.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    REQUIRE(open.back() >= 0);
  }
  CHECK(half.poll() == SUPV_FIRE);
  CHECK(half.reason.find(" of " + std::to_string(allowed) + ", pid ") != std::string::npos);
  for (const int fd : open) ::close(fd);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  CHECK(half.poll() == SUPV_OK);
  half.host.processes = {2'000'000'000};
  CHECK(half.poll() == SUPV_UNKNOWN);
  half.host.processes.clear();
  CHECK(half.poll() == SUPV_UNKNOWN);
  CHECK(half.reason == "the process is gone");
  CHECK(refusal("fd_usage", {{"above", "lots"}}) ==
        "above: neither a number nor a percentage: 'lots'");
  CHECK(refusal("fd_usage", {{"above", "1.5"}}) ==
        "above: neither a number nor a percentage: '1.5'");
  CHECK(refusal("fd_usage", {{"above", "120%"}}) == "above: more than 100%: '120%'");
  CHECK(refusal("fd_usage", {{"above", "%"}}) == "above: neither a number nor a percentage: '%'");
}

TEST_CASE("load_average") {
  Subject load("load_average", {{"above", "1.5"}, {"of", "1m"}});
  load.host.files["/proc/loadavg"] = "1.60 0.80 0.40 1/100 4711\n";
  CHECK(load.poll() == SUPV_FIRE);
  CHECK(load.reason == "1.60, above 1.5");
  load.host.options["of"] = "15m";
  CHECK(load.poll() == SUPV_OK);
  CHECK(load.reason == "0.40");
  load.host.files["/proc/loadavg"] = "nonsense";
  CHECK(load.poll() == SUPV_UNKNOWN);
  load.host.files = {{"/else", ""}};
  CHECK(load.poll() == SUPV_UNKNOWN);
  Subject each("load_average", {{"above", "2"}, {"per_cpu", "true"}});
  each.host.files["/proc/loadavg"] = "0 11 0 1/100 4711\n";
  CHECK(each.poll() == SUPV_UNKNOWN);
  each.host.files["/sys/devices/system/cpu/online"] = "0-2,4,6\n";
  CHECK(each.poll() == SUPV_FIRE);
  CHECK(each.reason == "2.20 per CPU, above 2");
  CHECK(refusal("load_average", {{"above", "high"}}) == "above: not a number: 'high'");
  CHECK(refusal("load_average", {{"above", "-1"}}) == "above: below 0: '-1'");
}

TEST_CASE("pressure") {
  Subject memory("pressure", {{"resource", "memory"}, {"above", "10"}});
  memory.host.files["/proc/pressure/memory"] =
      "some avg10=50.00 avg60=12.50 avg300=1.00 total=1\n"
      "full avg10=1.00 avg60=2.00 avg300=3.00 total=1\n";
  CHECK(memory.poll() == SUPV_FIRE);
  CHECK(memory.reason == "12.5%, above 10.0%");
  memory.host.options["of"] = "300s";
  CHECK(memory.poll() == SUPV_OK);
  memory.host.options["of"] = "10s";
  CHECK(memory.poll() == SUPV_FIRE);
  memory.host.options["kind"] = "full";
  CHECK(memory.poll() == SUPV_OK);
  CHECK(memory.reason == "1.0%");
  memory.host.files = {{"/proc/pressure/memory", "some avg10=1\n"}};
  CHECK(memory.poll() == SUPV_UNKNOWN);
  memory.host.files = {{"/else", ""}};
  CHECK(memory.poll() == SUPV_UNKNOWN);
  CHECK(memory.reason == "no /proc/pressure/memory: this kernel was built or booted without PSI");
  CHECK(refusal("pressure", {{"resource", "io"}, {"above", "a lot"}}) ==
        "above: not a number: 'a lot'");
}

TEST_CASE("oom_killed is true once for each time that the count grew") {
  Subject oom("oom_killed", {});
  CHECK(oom.poll() == SUPV_UNKNOWN);
  CHECK(oom.reason == "the run has no cgroup of its own, in which kills are counted");
  oom.host.cgroup_path = "/sys/fs/cgroup/x";
  oom.host.files = {{"/else", ""}};
  CHECK(oom.poll() == SUPV_UNKNOWN);
  const auto count = [&](int kills) {
    oom.host.files = {{"/sys/fs/cgroup/x/memory.events",
                       "low 0\noom 7\noom_kill " + std::to_string(kills) + "\n"}};
    return oom.poll();
  };
  CHECK(count(0) == SUPV_OK);
  CHECK(count(2) == SUPV_FIRE);
  CHECK(oom.reason == "2 killed for want of memory");
  CHECK(count(2) == SUPV_OK);
  CHECK(count(3) == SUPV_FIRE);
}

TEST_CASE("tries") {
  Subject tries("tries", {{"times", "3"}});
  CHECK(tries.poll(1 * kSecond) == SUPV_OK);
  CHECK(tries.poll(2 * kSecond) == SUPV_OK);
  CHECK(tries.reason == "2 of 3");
  CHECK(tries.poll(900 * kSecond) == SUPV_FIRE);
  CHECK(tries.poll(9000 * kSecond) == SUPV_FIRE);
  Subject fast("tries", {{"times", "3"}, {"within", "10000"}});
  fast.poll(0);
  fast.poll(8 * kSecond);
  CHECK(fast.poll(10 * kSecond) == SUPV_OK);
  CHECK(fast.poll(17 * kSecond) == SUPV_FIRE);
  CHECK(fast.poll(60 * kSecond) == SUPV_OK);
  CHECK(refusal("tries", {{"times", "0"}}) == "times: not from 1 to 10000: '0'");
  CHECK(refusal("tries", {{"times", "3"}, {"within", "soon"}}) == "within: not a number: 'soon'");
}

namespace {

/// Seconds since 1970 of a time in UTC: 2026-MONTH-DAY HOUR:MINUTE:SECOND.
std::int64_t utc(int month, int day, int hour, int minute, int second = 0, int year = 2026) {
  std::tm date{};
  date.tm_year = year - 1900;
  date.tm_mon = month - 1;
  date.tm_mday = day;
  date.tm_hour = hour;
  date.tm_min = minute;
  date.tm_sec = second;
  return ::timegm(&date);
}

/// When a schedule is true between two times, looked at every `step` seconds.
std::vector<std::int64_t> due(const Options& options, std::int64_t from, std::int64_t to,
                              std::int64_t step = 20) {
  Subject schedule("schedule", options);
  std::vector<std::int64_t> fired;
  for (std::int64_t now = from; now <= to; now += step) {
    if (schedule.at(now, from) == SUPV_FIRE) fired.push_back(now);
  }
  return fired;
}

using Times = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("schedule: the five fields") {
  ::setenv("TZ", "UTC", 1);
  const auto day = [](const char* cron) {
    return due({{"cron", cron}}, utc(6, 15, 0, 0, 1), utc(6, 16, 0, 0, 1), 60);
  };
  CHECK(day("0 4 * * *") == Times{utc(6, 15, 4, 0, 1)});
  CHECK(day("*/15 4,5 * * *").size() == 8);
  CHECK(day("1-59/29 4 * * *") ==
        Times{utc(6, 15, 4, 1, 1), utc(6, 15, 4, 30, 1), utc(6, 15, 4, 59, 1)});
  CHECK(day("@hourly").size() == 24);
  CHECK(day("@daily") == Times{utc(6, 16, 0, 0, 1)});
  // The 15th of June 2026 is a Monday.
  CHECK(day("0 4 * * mon").size() == 1);
  CHECK(day("0 4 * JUN MON-fri").size() == 1);
  CHECK(day("0 4 * * sat-sun").empty());
  CHECK(day("0 4 15 * sun").size() == 1);  // Either of the two.
  CHECK(day("0 4 16 * 1").size() == 1);
  CHECK(day("0 4 16 * 7").empty());
  CHECK(day("0 4 15 7 *").empty());
  CHECK(due({{"cron", "0 0 29 2 *"}}, utc(2, 27, 0, 0), utc(3, 2, 0, 0, 0, 2028), 3600) ==
        Times{utc(2, 29, 0, 0, 0, 2028)});
}

TEST_CASE("schedule: true at the first look at or after it, and never twice") {
  ::setenv("TZ", "UTC", 1);
  Subject schedule("schedule", {{"cron", "0 4 * * *"}});
  CHECK(schedule.at(utc(6, 15, 3, 59, 50), utc(6, 15, 3, 59, 45)) == SUPV_OK);
  CHECK(schedule.reason == "next at 2026-06-15 04:00");
  CHECK(schedule.at(utc(6, 15, 4, 7)) == SUPV_FIRE);
  CHECK(schedule.reason == "it was due at 2026-06-15 04:00");
  CHECK(schedule.at(utc(6, 15, 4, 7)) == SUPV_OK);
  // Asleep for three days: once.
  CHECK(schedule.at(utc(6, 18, 12, 0)) == SUPV_FIRE);
  CHECK(schedule.at(utc(6, 18, 12, 1)) == SUPV_OK);
  // The clock is set back by less than it takes to be wrong, and by more.
  CHECK(schedule.at(utc(6, 18, 11, 0)) == SUPV_OK);
  CHECK(schedule.at(utc(6, 18, 3, 59)) == SUPV_OK);
  CHECK(schedule.at(utc(6, 18, 4, 0)) == SUPV_FIRE);
  // Armed before it is due, looked at for the first time after it.
  Subject late("schedule", {{"cron", "0 4 * * *"}});
  CHECK(late.at(utc(6, 15, 4, 0, 25), utc(6, 15, 3, 59, 55)) == SUPV_FIRE);
  // What it restarted at 4:00 is not restarted again at 4:00.
  Subject again("schedule", {{"cron", "0 4 * * *"}});
  CHECK(again.at(utc(6, 15, 4, 0, 45), utc(6, 15, 4, 0, 26)) == SUPV_OK);
}

TEST_CASE("schedule: summer time, in a zone that is not the machine's") {
  ::setenv("TZ", "UTC", 1);
  const std::string zone = "Europe/Berlin";
  // 2026-03-29 02:00 becomes 03:00, at 01:00 UTC.
  CHECK(due({{"cron", "30 2 * * *"}, {"timezone", zone}}, utc(3, 28, 12, 0), utc(3, 29, 12, 0)) ==
        Times{utc(3, 29, 1, 0)});
  CHECK(due({{"cron", "0 4 * * *"}, {"timezone", zone}}, utc(3, 27, 12, 0), utc(3, 29, 12, 0)) ==
        Times{utc(3, 28, 3, 0), utc(3, 29, 2, 0)});
  // 2026-10-25 03:00 becomes 02:00, at 01:00 UTC.
  CHECK(due({{"cron", "30 2 * * *"}, {"timezone", zone}}, utc(10, 24, 12, 0), utc(10, 25, 12, 0)) ==
        Times{utc(10, 25, 0, 30)});
  CHECK(due({{"cron", "0 3 * * *"}, {"timezone", zone}}, utc(10, 24, 12, 0), utc(10, 25, 12, 0)) ==
        Times{utc(10, 25, 2, 0)});
  CHECK(due({{"cron", "30 * * * *"}, {"timezone", zone}}, utc(10, 24, 23, 0), utc(10, 25, 2, 45)) ==
        Times{utc(10, 24, 23, 30), utc(10, 25, 0, 30), utc(10, 25, 2, 30)});
  CHECK(std::string(::getenv("TZ")) == "UTC");
}

TEST_CASE("schedule refuses what is no time") {
  const auto cron = [](const char* text) { return refusal("schedule", {{"cron", text}}); };
  CHECK(cron("* * * *") == "cron: needs five fields: '* * * *'");
  CHECK(cron("* * * * * *") == "cron: needs five fields: '* * * * * *'");
  CHECK(cron("60 * * * *") == "cron: not a minute from 0 to 59: '60'");
  CHECK(cron("* 24 * * *") == "cron: not a hour from 0 to 23: '24'");
  CHECK(cron("* * 0 * *") == "cron: not a day of month from 1 to 31: '0'");
  CHECK(cron("* * * foo *") == "cron: not a month from 1 to 12: 'foo'");
  CHECK(cron("* * * * 8") == "cron: not a day of week from 0 to 7: '8'");
  CHECK(cron("*/0 * * * *") == "cron: not a minute from 0 to 59: '*/0'");
  CHECK(cron("5-1 * * * *") == "cron: not a minute from 0 to 59: '5-1'");
  CHECK(cron("1, * * * *") == "cron: not a minute from 0 to 59: '1,'");
  CHECK(cron("0 0 30 2 *") == "cron: there is no such day: '0 0 30 2 *'");
  CHECK(cron("@sometimes") == "cron: unknown: '@sometimes'");
  CHECK(refusal("schedule", {{"cron", "@daily"}, {"timezone", "Mars/Olympus"}}) ==
        "timezone: there is no 'Mars/Olympus' in /usr/share/zoneinfo");
  CHECK(refusal("schedule", {{"cron", "@daily"}, {"timezone", "../../etc/passwd"}})
            .rfind("timezone: there is no", 0) == 0);
}
