// Where conditions stand and what they lead to: transitions, lifecycle, all, any, not, degrading,
// flapping; and what else a watch says about them: tasks, behaviors, adopt, notify.
#include <doctest/doctest.h>

#include <csignal>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "config/schema.h"
#include "config_texts.h"

using namespace supv;
using namespace supv::test;
using Json = nlohmann::json;

namespace {

const std::string kOps = "contacts: {ops: {syslog: {}}, night: {syslog: {}, groups: [team]}}\n";

/// What a file says that is in order.
Config good(const std::string& text) {
  const Loaded loaded = load_text(text);
  CAPTURE(text);
  REQUIRE(brief(loaded) == "");
  REQUIRE(loaded.ok);
  return loaded.config;
}

/// One watch called w that is in order; its keys begin in line 4, column 5, in a file that ends
/// with the contacts.
WatchSpec watch_of(const std::string& keys) {
  return good("watches:\n  w:\n    start: prog\n    " + keys + "\n" + kOps).watches.front();
}

std::string wrong(const std::string& keys) {
  const Loaded loaded = load_text("watches:\n  w:\n    start: prog\n    " + keys + "\n" + kOps);
  CHECK_FALSE(loaded.ok);
  return brief(loaded);
}

/// One task called t; its keys begin in line 3, column 5.
std::string wrong_task(const std::string& keys) {
  const Loaded loaded = load_text("tasks:\n  t:\n    " + keys + "\n" + kOps);
  CHECK_FALSE(loaded.ok);
  return brief(loaded);
}

WatchSpec task_of(const std::string& keys) {
  return good("tasks:\n  t:\n    " + keys + "\n" + kOps).watches.front();
}

std::string option(const ConditionSpec& condition, std::string_view name) {
  for (const auto& [key, value] : condition.options)
    if (key == name) return value;
  return "(none)";
}

const std::string kTrue = "always: {what: true}";

/// A transition and what it becomes.
ConditionSpec transition(const std::string& from, const std::string& to) {
  const WatchSpec watch =
      watch_of("transitions: [{from: " + from + ", to: " + to + ", if: [" + kTrue + "]}]");
  REQUIRE(watch.conditions.size() == 1);
  return watch.conditions.front();
}

std::string wrong_transition(const std::string& from, const std::string& to) {
  return wrong("transitions: [{from: " + from + ", to: " + to + ", if: [" + kTrue + "]}]");
}

}  // namespace

TEST_CASE("each state that a transition comes from is a phase") {
  const std::map<std::string, std::uint8_t> phases = {
      {"up", phase::kUp},
      {"start", phase::kStarting},
      {"restart", phase::kRestarting},
      {"stop", phase::kRest},
      {"[up, restart]", phase::kUp | phase::kRestarting},
      {"[start, restart, stop]", phase::kStarting | phase::kRestarting | phase::kRest}};
  for (const auto& row : phases) {
    CAPTURE(row.first);
    const ConditionSpec one = transition(row.first, "stop");
    CHECK(one.phases == row.second);
    CHECK(one.action == Action::stop);
    CHECK(one.list == ConditionList::transitions);
    CHECK_FALSE(one.otherwise);
  }
  CHECK(transition("init", "start").phases == phase::kInit);
}

TEST_CASE("each state that a transition leads to is an action") {
  CHECK(transition("start", "up").action == Action::up);
  CHECK(transition("up", "restart").action == Action::restart);
  CHECK(transition("up", "stop").action == Action::stop);
  CHECK(transition("up", "unmonitored").action == Action::unmonitor);
  // What god judges in `up` when nothing runs belongs to the rest here.
  const ConditionSpec start = transition("up", "start");
  CHECK(start.action == Action::start);
  CHECK(start.phases == phase::kRest);
  CHECK(transition("[up, start]", "start").phases == (phase::kRest | phase::kStarting));
}

TEST_CASE("a transition may lead somewhere when its condition is false") {
  const ConditionSpec both = transition("init", "{true: up, false: start}");
  CHECK(both.action == Action::up);
  REQUIRE(both.otherwise);
  CHECK(*both.otherwise == Action::start);
  const ConditionSpec falsely = transition("up", "{false: restart}");
  CHECK(falsely.action == Action::none);
  REQUIRE(falsely.otherwise);
  CHECK(*falsely.otherwise == Action::restart);
  const ConditionSpec truly = transition("up", "{true: stop}");
  CHECK(truly.action == Action::stop);
  CHECK_FALSE(truly.otherwise);
}

TEST_CASE("a transition without `if` is always true, and several have one count of names") {
  const WatchSpec watch = watch_of(
      "transitions:\n"
      "      - {from: start, to: up, if: [tries: {times: 3}, always: {what: false}]}\n"
      "      - {from: up, to: restart, if: [memory_usage: {above: 1MB, times: [3, 5]}]}\n"
      "      - {from: stop, to: start}");
  REQUIRE(watch.conditions.size() == 4);
  CHECK(watch.conditions[0].id == "tries#1");
  CHECK(watch.conditions[1].id == "always#1");
  CHECK(watch.conditions[2].times == TimesSpec{3, 5});
  CHECK(watch.conditions[3].id == "always#2");
  CHECK(watch.conditions[3].name == "always");
  CHECK(option(watch.conditions[3], "what") == "true");
  CHECK(watch.conditions[3].phases == phase::kRest);
  CHECK(watch.conditions[3].action == Action::start);
}

TEST_CASE("what is wrong with a transition is said at its place") {
  CHECK(wrong_transition("unmonitored", "start") ==
        "4:26: nothing is judged while a watch is unmonitored");
  CHECK(wrong_transition("[up, unmonitored]", "stop") ==
        "4:31: nothing is judged while a watch is unmonitored");
  CHECK(wrong_transition("upp", "start") ==
        "4:26: 'upp' is not one of init, up, start, restart, stop");
  CHECK(wrong_transition("up", "rest") ==
        "4:34: 'rest' is not one of up, start, restart, stop, unmonitored");
  CHECK(wrong_transition("up", "{true: stop, perhaps: start}") ==
        "4:47: this must be true or false");
  CHECK(wrong_transition("up", "up") == "4:34: 'up' follows 'start', 'restart' or 'init' only");
  CHECK(wrong_transition("stop", "{true: start, false: up}") ==
        "4:36: 'up' follows 'start', 'restart' or 'init' only");
  CHECK(wrong_transition("[start, up]", "up") ==
        "4:43: 'up' follows 'start', 'restart' or 'init' only");
  CHECK(wrong_transition("init", "up") ==
        "4:36: a transition from 'init' that never leads to 'start' starts nothing");
  CHECK(wrong_transition("up", "{}") == "4:34: 'to' names no state");
  CHECK(wrong("transitions: [{to: stop, if: [" + kTrue + "]}]") ==
        "4:19: a transition needs 'from' and 'to'");
  CHECK(wrong("transitions: {from: up, to: stop}") ==
        "4:18: this must be a list of transitions, not a map");
  CHECK(wrong("transitions: [up]") == "4:19: this must be a map of from, to and if, not text");
  CHECK(wrong("transitions: [{from: up, to: stop, when: [" + kTrue + "]}]") ==
        "4:40: unknown key 'when' of a transition");
}

TEST_CASE("a transition to `up` is how the watch becomes ready") {
  const WatchSpec watch =
      watch_of("transitions: [{from: [start, restart], to: up, if: [tries: {times: 2}]}]");
  CHECK(watch.ready.kind == ReadySpec::Kind::condition);
  // Before a start nothing can be up: it says whether there is something to start.
  CHECK(watch_of("transitions: [{from: init, to: {true: up, false: start}}]").ready.kind ==
        ReadySpec::Kind::alive);
  CHECK(watch_of("transitions: [{from: up, to: restart}]").ready.kind == ReadySpec::Kind::alive);
  CHECK(wrong("ready: {notify: true}\n    transitions: [{from: start, to: up}]") ==
        "5:18: 'ready' and a transition to 'up' exclude each other");
  CHECK(wrong("ready: {notify: true}\n    transitions: [{from: start, to: {false: up}}]") ==
        "5:18: 'ready' and a transition to 'up' exclude each other");
  CHECK(watch_of("ready: {notify: true}\n    transitions: [{from: up, to: stop}]").ready.kind ==
        ReadySpec::Kind::notify);
}

TEST_CASE("lifecycle is judged always, unmonitor_if while the watch is up") {
  const WatchSpec watch = watch_of(
      "lifecycle: [disk_usage: {above: 90%, mount_point: /}]\n"
      "    unmonitor_if: [tries: {times: 2}]");
  REQUIRE(watch.conditions.size() == 2);
  const auto& steady = watch.conditions[watch.conditions[0].name == "disk_usage" ? 0 : 1];
  const auto& leave = watch.conditions[watch.conditions[0].name == "disk_usage" ? 1 : 0];
  CHECK(steady.phases == phase::kAlways);
  CHECK(steady.list == ConditionList::lifecycle);
  CHECK(steady.action == Action::notify);
  CHECK(leave.phases == phase::kUp);
  CHECK(leave.list == ConditionList::unmonitor_if);
  CHECK(leave.action == Action::unmonitor);
}

TEST_CASE("`transition` on a condition leads elsewhere than its list") {
  const auto leads = [](const std::string& list, const std::string& to) {
    return watch_of(list + ": [always: {what: true, transition: " + to + "}]").conditions[0].action;
  };
  CHECK(leads("lifecycle", "restart") == Action::restart);
  CHECK(leads("lifecycle", "unmonitored") == Action::unmonitor);
  CHECK(leads("restart_if", "stop") == Action::stop);
  CHECK(leads("notify_if", "restart") == Action::restart);
  // What runs is not started beside itself.
  CHECK(leads("restart_if", "start") == Action::restart);
  CHECK(leads("lifecycle", "start") == Action::restart);
  CHECK(leads("start_if", "start") == Action::start);
  CHECK(wrong("restart_if: [always: {what: true, transition: down}]") ==
        "4:51: 'down' is not one of up, start, restart, stop, unmonitored");
}

TEST_CASE("`transition: up` belongs where a start can be under way") {
  const auto in = [](const std::string& list) {
    return wrong(list + ": [always: {what: true, transition: up}]");
  };
  CHECK(in("restart_if") == "4:51: 'up' follows 'start', 'restart' or 'init' only");
  CHECK(in("start_if") == "4:49: 'up' follows 'start', 'restart' or 'init' only");
  CHECK(in("notify_if") == "4:50: 'up' follows 'start', 'restart' or 'init' only");
  const WatchSpec watch = watch_of(
      "lifecycle: [always: {what: true, transition: up}]\n    transitions: "
      "[{from: start, to: stop, if: [always: {what: true, transition: up}]}]");
  for (const ConditionSpec& one : watch.conditions) CHECK(one.action == Action::up);
}

TEST_CASE("a process's end is told in every phase that a run has") {
  const std::uint8_t of_run = phase::kStarting | phase::kRestarting | phase::kUp;
  CHECK(watch_of("start_if: [process_exits]").conditions[0].phases == of_run);
  CHECK(watch_of("lifecycle: [process_exits]").conditions[0].phases == of_run);
  CHECK(watch_of("lifecycle: [consul_kv: {key: a}]").conditions[0].phases == phase::kUp);
}

TEST_CASE("all, any and not come before their parts, in both forms") {
  const std::string list =
      "restart_if:\n"
      "      - all: [always: {what: true}, any: [always: {what: false}, tries: {times: 2}]]\n"
      "      - not: {process_running: {running: true}}\n";
  const std::string map =
      "restart_if:\n"
      "      - all:\n"
      "          conditions:\n"
      "            - always: {what: true}\n"
      "            - any: {conditions: [always: {what: false}, tries: {times: 2}]}\n"
      "      - not: {conditions: [process_running: {running: true}]}\n";
  for (const std::string& keys : {list, map}) {
    CAPTURE(keys);
    const auto parts = watch_of(keys).conditions;
    REQUIRE(parts.size() == 7);
    CHECK(parts[0].kind == ConditionKind::all);
    CHECK(parts[0].id == "all#1");
    CHECK(parts[0].parent == -1);
    CHECK(parts[1].name == "always");
    CHECK(parts[1].parent == 0);
    CHECK(parts[2].kind == ConditionKind::any);
    CHECK(parts[2].parent == 0);
    CHECK(parts[3].parent == 2);
    CHECK(parts[4].name == "tries");
    CHECK(parts[4].parent == 2);
    CHECK(parts[5].kind == ConditionKind::none);
    CHECK(parts[5].parent == -1);
    CHECK(parts[6].name == "process_running");
    CHECK(parts[6].parent == 5);
    for (const ConditionSpec& one : parts) {
      CHECK(one.phases == phase::kUp);
      CHECK(one.action == Action::restart);
      CHECK(one.list == ConditionList::restart_if);
    }
  }
}

TEST_CASE("a whole has parameters of its own, and its parts the interval that it says") {
  const auto parts = watch_of(
                         "interval: 20s\n"
                         "    start_if:\n"
                         "      - any:\n"
                         "          interval: 2s\n"
                         "          times: [2, 3]\n"
                         "          notify: ops\n"
                         "          id: both\n"
                         "          conditions:\n"
                         "            - load_average: {above: 3, interval: 7s, times: 4}\n"
                         "            - always: {what: false}\n"
                         "      - always: {what: false}")
                         .conditions;
  REQUIRE(parts.size() == 4);
  CHECK(parts[0].id == "both");
  CHECK(parts[0].times == TimesSpec{2, 3});
  REQUIRE(parts[0].notify);
  CHECK(parts[0].notify->contacts == std::vector<std::string>{"ops"});
  CHECK(parts[0].phases == phase::kRest);
  CHECK(parts[1].interval == Duration(7000));
  CHECK(parts[1].times == TimesSpec{4, 4});
  CHECK(parts[1].phases == phase::kRest);
  CHECK(parts[2].interval == Duration(2000));
  CHECK(parts[2].times == TimesSpec{1, 1});
  CHECK(parts[3].interval == Duration(20000));
  CHECK(parts[3].parent == -1);
}

TEST_CASE("parts of a whole in transitions and lifecycle are judged when it is") {
  const auto both = watch_of(
                        "transitions: [{from: [init], to: {true: up, false: start}, "
                        "if: [not: [always: {what: true}]]}]")
                        .conditions;
  REQUIRE(both.size() == 2);
  CHECK(both[0].phases == phase::kInit);
  CHECK(both[1].phases == phase::kInit);
  CHECK(both[0].otherwise == Action::start);
  const auto steady = watch_of("lifecycle: [all: [always: {what: true}]]").conditions;
  REQUIRE(steady.size() == 2);
  CHECK(steady[1].phases == phase::kAlways);
}

TEST_CASE("what cannot be a part of a whole is refused") {
  CHECK(wrong("notify_if: [all: [consul_kv: {key: a}, " + kTrue + "]]") ==
        "4:23: 'consul_kv' cannot be a part of all, any or not");
  CHECK(wrong("restart_if: [any: [process_exits, " + kTrue + "]]") ==
        "4:24: 'process_exits' cannot be a part of all, any or not");
  CHECK(wrong("restart_if: [all: [always: {what: true, notify: ops}]]") ==
        "4:53: 'notify' belongs to the whole, not to one of its parts");
  CHECK(wrong("restart_if: [all: [always: {what: true, splay: 1s}]]") ==
        "4:52: 'splay' belongs to the whole, not to one of its parts");
  CHECK(wrong("restart_if: [not: {always: {what: true, transition: stop}}]") ==
        "4:57: 'transition' belongs to the whole, not to one of its parts");
  CHECK(wrong("restart_if: [all: [any: {splay: 1s, conditions: [" + kTrue + "]}]]") ==
        "4:37: 'splay' belongs to the whole, not to one of its parts");
  CHECK(wrong("restart_if: [all: [degrading: {command: x, splay: 1s}]]") ==
        "4:55: 'splay' belongs to the whole, not to one of its parts");
  CHECK(wrong("lifecycle: [all: [flapping: {}]]") ==
        "4:23: 'flapping' stands in 'lifecycle', or in 'notify_if'");
}

TEST_CASE("a whole without conditions is refused") {
  CHECK(wrong("restart_if: [all: []]") == "4:18: 'all' has no conditions");
  CHECK(wrong("restart_if: [any: {conditions: []}]") == "4:18: 'any' has no conditions");
  CHECK(wrong("restart_if: [not: []]") == "4:18: 'not' has no conditions");
  CHECK(wrong("restart_if: [all: {interval: 1s}]") ==
        "4:18: 'all' is made of a list of conditions");
  CHECK(wrong("restart_if: [all: true]") == "4:18: 'all' is made of a list of conditions");
  CHECK(wrong("restart_if: [all]") == "4:18: 'all' is made of a list of conditions");
  CHECK(wrong("restart_if: [any: {conditions: [" + kTrue + "], when: 1s}]") ==
        "4:60: unknown parameter 'when' of any");
}

TEST_CASE("degrading is an exec that is looked at more closely while it fails") {
  const auto plain = watch_of("restart_if: [degrading: {command: check}]").conditions;
  REQUIRE(plain.size() == 1);
  CHECK(plain[0].name == "exec");
  CHECK(plain[0].id == "degrading#1");
  CHECK(plain[0].degrading);
  CHECK(plain[0].kind == ConditionKind::poll);
  CHECK(plain[0].times == TimesSpec{3, 3});
  CHECK(option(plain[0], "command") == "check");
  CHECK(option(plain[0], "fires_on") == "nonzero");
  const auto own = watch_of(
                       "restart_if: [degrading: {command: check, fires_on: warning, times: 5, "
                       "interval: 8s}, exec: {command: check}]")
                       .conditions;
  REQUIRE(own.size() == 2);
  CHECK(own[0].times == TimesSpec{5, 5});
  CHECK(own[0].interval == Duration(8000));
  CHECK(option(own[0], "fires_on") == "warning");
  CHECK_FALSE(own[1].degrading);
  CHECK(option(own[1], "fires_on") == "critical");
  CHECK(wrong("restart_if: [degrading: {}]") == "4:18: exec needs 'command'");
  CHECK(wrong("restart_if: [degrading: {command: ' '}]") == "4:18: exec: command: it is empty");
}

TEST_CASE("flapping in lifecycle is the watch's own, in notify_if it only tells") {
  const WatchSpec watch = watch_of(
      "lifecycle: [flapping: {to_state: [start, restart], times: 4, within: 2m, retry_in: 10m, "
      "retry_times: 3, retry_within: 2h, transition: unmonitored, notify: ops}]");
  CHECK(watch.conditions.empty());
  REQUIRE(watch.rare);
  REQUIRE(watch.rare->flapping);
  const FlappingSpec& flapping = *watch.rare->flapping;
  CHECK(flapping.times == 4);
  CHECK(flapping.within == Duration(120'000));
  CHECK(flapping.retry_in == Duration(600'000));
  CHECK(flapping.retry_times == 3);
  CHECK(flapping.retry_within == Duration(7'200'000));
  REQUIRE(flapping.notify);
  CHECK(flapping.notify->contacts == std::vector<std::string>{"ops"});
  CHECK_FALSE(watch.rare->flapping_notice);
  const WatchSpec telling =
      watch_of("notify_if: [flapping: {times: 4, within: 2m, notify: night}]");
  REQUIRE(telling.rare);
  CHECK_FALSE(telling.rare->flapping);
  REQUIRE(telling.rare->flapping_notice);
  CHECK(telling.rare->flapping_notice->failures == 4);
  CHECK(telling.rare->flapping_notice->within == Duration(120'000));
  REQUIRE(telling.rare->flapping_notice->notify);
  CHECK(telling.rare->flapping_notice->notify->contacts == std::vector<std::string>{"night"});
}

TEST_CASE("what flapping cannot be is refused") {
  CHECK(wrong("restart_if: [flapping: {}]") ==
        "4:18: 'flapping' stands in 'lifecycle', or in 'notify_if'");
  CHECK(wrong("flapping: {times: 3}\n    lifecycle: [flapping: {times: 4}]") ==
        "5:17: this watch says twice what flapping is");
  CHECK(wrong("lifecycle: [flapping: {from_state: up}]") ==
        "4:40: what counts are deaths, failed starts and restarts of something wrong");
  CHECK(wrong("lifecycle: [flapping: {to_state: [start, stop]}]") ==
        "4:38: what counts are deaths, failed starts and restarts of something wrong");
  CHECK(wrong("lifecycle: [flapping: {transition: stop}]") ==
        "4:40: a flapping watch is taken out; that is 'unmonitored'");
  CHECK(wrong("lifecycle: [flapping: {retry_times: 2}]") == "4:41: 'retry_times' needs 'retry_in'");
  CHECK(wrong("lifecycle: [flapping: {every: 2}]") == "4:28: unknown key 'every' of flapping");
}

TEST_CASE("tries has a `times` of its own, which is no trial") {
  const auto tries = watch_of("restart_if: [tries: {times: 5, within: 1m}]").conditions;
  REQUIRE(tries.size() == 1);
  CHECK(tries[0].times == TimesSpec{1, 1});
  CHECK(option(tries[0], "times") == "5");
  CHECK(option(tries[0], "within") == "60000");
  CHECK(wrong("restart_if: [tries: {times: [3, 5]}]").starts_with("4:33: "));
  CHECK(wrong("restart_if: [tries]") == "4:18: tries needs 'times'");
}

TEST_CASE("what a condition refuses when it is made is said where it stands") {
  CHECK(wrong("restart_if: [tries: {times: 0}]") == "4:18: tries: times: not from 1 to 10000: '0'");
  CHECK(wrong("restart_if:\n      - exec: {command: ''}") == "5:9: exec: command: it is empty");
  CHECK(wrong("restart_if: [http_response_code: {url: 'http://127.0.0.1/'}]")
            .starts_with("4:18: http_response_code: exactly one of code_is and code_is_not"));
  CHECK(wrong("start_if: [schedule: {cron: 'a b c d e'}]").starts_with("4:16: schedule: "));
  CHECK(wrong("restart_if: [all: [always: {what: true}, tries: {times: 0}]]") ==
        "4:46: tries: times: not from 1 to 10000: '0'");
  CHECK(wrong("transitions: [{from: up, to: stop, if: [tries: {times: 0}]}]") ==
        "4:45: tries: times: not from 1 to 10000: '0'");
}

TEST_CASE("a task is a watch that is started by its conditions alone") {
  const WatchSpec task = task_of(
      "run: [backup, --all]\n    if: [always: {what: true}, any: [load_average: {above: 1}]]\n"
      "    interval: 5s\n    timeout: 2m\n    retry: 3\n    max_parallel: 1\n    notify: ops\n"
      "    dir: /srv\n    env: {A: b}\n    uid: root\n    log: t.log\n    groups: [g, h]");
  CHECK(task.name == "t");
  CHECK(task.process.start.argv == std::vector<std::string>{"backup", "--all"});
  CHECK(task.process.dir == "/srv");
  CHECK(task.process.env == std::vector<std::pair<std::string, std::string>>{{"A", "b"}});
  CHECK(task.process.uid.text() == "root");
  CHECK(task.process.log.text() == "t.log");
  CHECK(task.groups == std::vector<std::string>{"g", "h"});
  CHECK_FALSE(task.autostart);
  CHECK_FALSE(task.keepalive);
  REQUIRE(task.rare);
  REQUIRE(task.rare->task);
  CHECK(task.rare->task->timeout == Duration(120'000));
  CHECK(task.rare->task->retry == 3);
  CHECK(task.rare->notify.contacts == std::vector<std::string>{"ops"});
  REQUIRE(task.ladder.size() == 2);
  CHECK(task.ladder[0].signal == SIGTERM);
  CHECK(task.ladder[1].signal == SIGKILL);
  REQUIRE(task.conditions.size() == 3);
  for (const ConditionSpec& one : task.conditions) {
    CHECK(one.phases == phase::kRest);
    CHECK(one.action == Action::start);
    CHECK(one.interval == Duration(5000));
  }
}

TEST_CASE("a task may do without everything but `run` and `if`") {
  const WatchSpec task = task_of("run: backup\n    if: [" + kTrue + "]");
  CHECK(task.rare->task->timeout == Duration(0));
  CHECK(task.rare->task->retry == 0);
  CHECK(task.conditions[0].interval == Duration(30'000));
  CHECK(wrong_task("run: backup") == "2:3: task 't' needs 'if'");
  CHECK(wrong_task("if: [" + kTrue + "]") == "2:3: task 't' needs 'run'");
}

TEST_CASE("what a task cannot have is refused") {
  const std::string keys = "run: backup\n    if: [" + kTrue + "]\n    ";
  CHECK(wrong_task(keys + "max_parallel: 2") == "5:19: 2 is not between 1 and 1");
  CHECK(wrong_task(keys + "retry: 1001") == "5:12: 1001 is not between 0 and 1000");
  CHECK(wrong_task(keys + "start: x") == "5:5: unknown key 'start' of a task");
  CHECK(wrong_task(keys + "extends: x") == "5:5: unknown key 'extends' of a task");
  CHECK(wrong_task(keys + "timeout: 0s") == "5:14: 0s is too short: at least 1ms");
  for (const char* one :
       {"process_exits", "process_running: {running: true}", "memory_usage: {above: 1MB}",
        "cpu_usage: {above: 1%}", "fd_usage: {above: 1}", "threads: {above: 1}"}) {
    CAPTURE(one);
    const std::string name = std::string(one).substr(0, std::string(one).find(':'));
    CHECK(wrong_task("run: backup\n    if: [" + std::string(one) + "]") ==
          "4:10: a task has no process that '" + name + "' could look at");
    CHECK(wrong_task("run: backup\n    if: [all: [" + std::string(one) + "]]") ==
          "4:16: a task has no process that '" + name + "' could look at");
  }
  // A watch of the same file may have them: the rule ends with the task.
  good(
      "watches: {w: {start: x, restart_if: [memory_usage: {above: 1MB}]}}\n"
      "tasks: {t: {run: x, if: [" +
      kTrue + "]}}\n");
}

TEST_CASE("a task and a watch cannot have one name") {
  const Loaded loaded = load_text("watches:\n  w: {start: x}\ntasks:\n  w: {run: x, if: [" + kTrue +
                                  "]}\n  t: {run: x, if: [" + kTrue + "]}\n");
  CHECK_FALSE(loaded.ok);
  REQUIRE(loaded.diagnostics.size() == 1);
  CHECK(loaded.diagnostics[0].place.line == 4);
  CHECK(loaded.diagnostics[0].place.column == 3);
  CHECK(loaded.diagnostics[0].text.find("'w'") != std::string::npos);
}

TEST_CASE("the defaults of watches are not those of tasks") {
  const Config config = good(
      "defaults: {dir: /srv, interval: 3s, env: {A: b}, restart_if: [tries: {times: 3}]}\n"
      "watches: {w: {start: x}}\n"
      "tasks: {t: {run: x, if: [" +
      kTrue + "]}}\n");
  REQUIRE(config.watches.size() == 2);
  const WatchSpec& task = config.watches[config.watches[0].name == "t" ? 0 : 1];
  const WatchSpec& watch = config.watches[config.watches[0].name == "t" ? 1 : 0];
  CHECK(watch.process.dir == "/srv");
  CHECK(task.process.dir == "/");
  CHECK(task.process.env.empty());
  REQUIRE(task.conditions.size() == 1);
  CHECK(task.conditions[0].interval == Duration(30'000));
}

TEST_CASE("behaviors need what they are about") {
  const WatchSpec watch = watch_of(
      "pid_file: w.pid\n    unix_socket: w.sock\n    notify: [ops, team]\n    behaviors: "
      "[clean_pid_file, clean_unix_socket, notify_when_flapping]");
  REQUIRE(watch.rare);
  CHECK(watch.rare->clean_pid_file);
  CHECK(watch.rare->clean_unix_socket);
  CHECK(watch.rare->unix_socket == "w.sock");
  REQUIRE(watch.rare->flapping_notice);
  CHECK(watch.rare->flapping_notice->failures == 5);
  CHECK(watch.rare->flapping_notice->within == Duration(60'000));
  const WatchSpec own = watch_of(
      "behaviors: [{notify_when_flapping: {failures: 2, within: 9s, notify: {contacts: team, "
      "priority: high, category: x}}}]");
  REQUIRE(own.rare->flapping_notice);
  CHECK(own.rare->flapping_notice->failures == 2);
  CHECK(own.rare->flapping_notice->within == Duration(9000));
  REQUIRE(own.rare->flapping_notice->notify);
  CHECK(own.rare->flapping_notice->notify->contacts == std::vector<std::string>{"team"});
  CHECK(own.rare->flapping_notice->notify->priority.text() == "high");
  CHECK(own.rare->flapping_notice->notify->category.text() == "x");
  CHECK(wrong("behaviors: [clean_pid_file]") == "4:16: 'clean_pid_file' needs 'pid_file'");
  CHECK(wrong("behaviors: [clean_unix_socket]") == "4:16: 'clean_unix_socket' needs 'unix_socket'");
  CHECK(wrong("behaviors: [notify_when_flapping]") ==
        "4:16: 'notify_when_flapping' needs somebody to notify");
  CHECK(wrong("behaviors: [clean_everything]") ==
        "4:17: 'clean_everything' is not one of clean_pid_file, clean_unix_socket, "
        "notify_when_flapping");
  CHECK(wrong("behaviors: clean_pid_file") == "4:16: this must be a list of behaviors, not text");
}

TEST_CASE("adopt and notify are kept, and neither changes the process") {
  const WatchSpec plain = watch_of("dir: /srv");
  const WatchSpec watch = watch_of("dir: /srv\n    adopt: tmp/god.pid\n    notify: night");
  REQUIRE(watch.rare);
  CHECK(watch.rare->adopt == "tmp/god.pid");
  CHECK(watch.process == plain.process);
  CHECK(changed_keys(plain, watch) == std::vector<std::string>{"notify", "adopt"});
}

TEST_CASE("whoever is to be told must be a contact or a group of contacts") {
  const auto said = [](const std::string& keys) {
    const Loaded loaded = load_text("watches:\n  w:\n    start: prog\n    " + keys + "\n" + kOps);
    REQUIRE(loaded.diagnostics.size() == 1);
    CHECK_FALSE(loaded.ok);
    return brief(loaded) + " | " + loaded.diagnostics[0].help;
  };
  CHECK(said("notify: opps") ==
        "4:13: there is no contact or group of contacts 'opps' | did you mean 'ops'?");
  CHECK(said("restart_if: [always: {what: true, notify: [ops, teem]}]") ==
        "4:53: there is no contact or group of contacts 'teem' | did you mean 'team'?");
  CHECK(said("flapping: {notify: {contacts: nigth}}") ==
        "4:35: there is no contact or group of contacts 'nigth' | did you mean 'night'?");
  CHECK(wrong("notify: {priority: high}") == "4:13: 'contacts' is missing");
  CHECK(wrong("notify: []") == "4:13: nobody is named here");
}

namespace {

/// As far as a draft-07 schema says so here: a value that the schema allows.
bool allows(const Json& root, const Json& schema, const Json& value) {
  if (const auto ref = schema.find("$ref"); ref != schema.end())
    return allows(root, root.at(Json::json_pointer(ref->get<std::string>().substr(1))), value);
  if (const auto any = schema.find("anyOf"); any != schema.end()) {
    bool one = false;
    for (const Json& way : *any) one = one || allows(root, way, value);
    if (!one) return false;
  }
  if (const auto words = schema.find("enum"); words != schema.end()) {
    bool one = false;
    for (const Json& word : *words) one = one || word == value;
    if (!one) return false;
  }
  if (const auto type = schema.find("type"); type != schema.end()) {
    const auto is = [&](const Json& name) {
      if (name == "integer") return value.is_number_integer();
      if (name == "number") return value.is_number();
      return name == value.type_name();
    };
    bool one = false;
    if (type->is_array())
      for (const Json& name : *type) one = one || is(name);
    else
      one = is(*type);
    if (!one) return false;
  }
  if (value.is_array() && schema.contains("items") && schema["items"].is_object())
    for (const Json& item : value)
      if (!allows(root, schema["items"], item)) return false;
  if (!value.is_object()) return true;
  for (const auto& [key, inner] : value.items()) {
    const bool known = schema.contains("properties") && schema["properties"].contains(key);
    if (known && !allows(root, schema["properties"][key], inner)) return false;
    if (known || !schema.contains("additionalProperties")) continue;
    const Json& others = schema["additionalProperties"];
    if (others.is_boolean() ? !others.get<bool>() : !allows(root, others, inner)) return false;
  }
  for (const Json& key : schema.value("required", Json::array()))
    if (!value.contains(key.get<std::string>())) return false;
  return true;
}

}  // namespace

TEST_CASE("the JSON Schema accepts what the loader accepts") {
  const Json schema = Json::parse(json_schema(builtin_conditions()));
  for (const std::string text :
       {R"({"start": "x", "transitions": [{"from": "init", "to": {"true": "up", "false": "start"},
            "if": [{"always": {"what": true}}]}, {"from": ["start", "restart"], "to": "up"}]})",
        R"({"start": "x", "lifecycle": [{"flapping": {"times": 4, "within": "2m", "to_state":
            ["start", "restart"], "transition": "unmonitored", "retry_in": "1m"}}]})",
        R"({"start": "x", "notify_if": [{"flapping": {"notify": "ops"}}]})",
        R"({"start": "x", "unmonitor_if": [{"tries": {"times": 3, "within": "1m"}}]})",
        R"({"start": "x", "restart_if": [{"all": [{"always": {"what": true}},
            {"any": [{"tries": {"times": 1}}, "oom_killed"]}]}]})",
        R"({"start": "x", "restart_if": [{"any": {"times": [2, 3], "notify": ["ops"],
            "conditions": [{"tries": {"times": 1}}]}}]})",
        R"({"start": "x", "restart_if": [{"not": {"process_running": {"running": true}}}]})",
        R"({"start": "x", "restart_if": [{"not": [{"process_running": {"running": true}}]}]})",
        R"({"start": "x", "restart_if": [{"degrading": {"command": "c", "times": 4}}]})",
        R"({"start": "x", "restart_if": [{"always": {"what": true, "transition": "stop", "notify":
            {"contacts": ["ops"], "priority": "1", "category": "c"}, "splay": "3s"}}]})",
        R"({"start": "x", "pid_file": "p", "unix_socket": "s", "notify": "ops", "adopt": "a",
            "behaviors": ["clean_pid_file", "clean_unix_socket",
            {"notify_when_flapping": {"failures": 2, "within": "9s", "notify": "ops"}}]})"}) {
    CAPTURE(text);
    Json file = {{"watches", {{"w", Json::parse(text)}}},
                 {"contacts", {{"ops", {{"syslog", Json::object()}}}}}};
    CHECK(brief(load_text(file.dump())) == "");
    CHECK(allows(schema, schema, file));
    file["watches"]["w"]["strat"] = "y";
    CHECK_FALSE(allows(schema, schema, file));
  }
  Json task = Json::parse(R"({"tasks": {"t": {"run": ["a", "b"], "timeout": "1m", "retry": 2,
      "max_parallel": 1, "dir": "/srv", "group": "g",
      "if": [{"schedule": {"cron": "0 4 * * *"}}]}}})");
  CHECK(brief(load_text(task.dump())) == "");
  CHECK(allows(schema, schema, task));
  task["tasks"]["t"]["extends"] = "u";
  CHECK_FALSE(allows(schema, schema, task));
}
