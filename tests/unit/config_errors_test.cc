#include <doctest/doctest.h>

#include <string>

#include "config/load.h"
#include "config_texts.h"

using namespace supv;
using namespace supv::test;

TEST_CASE("the form of a diagnostic") {
  const auto loaded = load_text(
      "watches:\n  w:\n    start: prog\n    größe: 1\n    intreval: 5s\n    dir: a\n    dir: b\n");
  CHECK(render(loaded.diagnostics) ==
        "/etc/a.yaml:4:5: error: unknown key 'größe' of a watch\n"
        "    4 |     größe: 1\n"
        "      |     ^^^^^\n"
        "/etc/a.yaml:5:5: error: unknown key 'intreval' of a watch\n"
        "    5 |     intreval: 5s\n"
        "      |     ^^^^^^^^\n"
        "      help: did you mean 'interval'?\n"
        "/etc/a.yaml:7:5: error: key 'dir' is given twice\n"
        "    7 |     dir: b\n"
        "      |     ^^^\n"
        "    6 |     dir: a\n"
        "      |     --- first time here\n");
  CHECK(render(loaded.diagnostics, true).find("\x1b[1;31merror\x1b[0m:") == std::string::npos);
  CHECK(render(loaded.diagnostics, true).find("\x1b[1;31m") != std::string::npos);
}

TEST_CASE("the caret stands under wide characters, and long lines are cut") {
  const auto wide = load_text("watches: {w: {start: x, log: \"日本\", umask: 1}}");
  CHECK(render(wide.diagnostics) ==
        "/etc/a.yaml:1:43: error: an octal number must be quoted\n"
        "    1 | watches: {w: {start: x, log: \"日本\", umask: 1}}\n"
        "      |                                             ^\n"
        "      help: write \"1\"\n");
  const auto lengthy =
      load_text("watches: {w: {start: \"" + std::string(300, 'x') + "\", umask: 1}}");
  const std::string text = render(lengthy.diagnostics);
  CHECK(text.find("| ...xxx") != std::string::npos);
  const auto excerpt = text.find("umask");
  CHECK(text.find('^') - text.rfind('\n', text.find('^')) ==
        text.find("1}}") - text.rfind('\n', excerpt));
}

TEST_CASE("hostile text reaches no terminal") {
  const auto loaded = load_text("watches: {w: {start: x, \"\\e[2J\": 1, env_file: \"\\0\"}}");
  CHECK(render(loaded.diagnostics).find('\x1b') == std::string::npos);
  CHECK(brief(loaded).find("cannot contain a NUL") != std::string::npos);
}

TEST_CASE("what cannot be read is at 1:1") {
  const auto loaded = load(input_of({}, "/etc/none.yaml"));
  CHECK(render(loaded.diagnostics) ==
        "/etc/none.yaml:1:1: error: cannot read this file: No such file or directory\n");
}

TEST_CASE("errors of a watch") {
  struct Row {
    const char* keys;  // of a watch with `start: prog` in line 3, from 4:5 on
    const char* said;
  };
  const Row rows[] = {
      {"keepalive: yes", "4:16: 'yes' is not true or false"},
      {"keepalive: \"true\"", "4:16: this must be true or false, not quoted text"},
      {"interval: 5", "4:15: '5' is not a duration"},
      {"interval: 0s", "4:15: 0s is too short: at least 10ms"},
      {"interval: [5s]", "4:15: this must be a duration, not a list"},
      {"interval:", "4:5: 'interval' has no value"},
      {"instances: 3", "4:5: unknown key 'instances' of a watch"},
      {"depends_on: [x]", "4:5: unknown key 'depends_on' of a watch"},
      {"umask: 0022", "4:12: an octal number must be quoted"},
      {"umask: \"9\"", "4:12: '9' is not an octal number"},
      {"umask: \"1777\"", "4:12: '1777' is more than a umask holds"},
      {"chroot: jail", "4:13: 'chroot' must be an absolute path"},
      {"env: [A=1]", "4:10: this must be a map of names to texts, not a list"},
      {"env: {A: [1]}", "4:14: this must be text, not a list"},
      {"env: {\"A=B\": 1}", "4:11: a name here is not empty and contains no '='"},
      {"stop: ''", "4:11: the command is empty"},
      {"stop: []", "4:11: the command is empty"},
      {"stop: {x: y}", "4:11: this must be a command: text or a list of arguments, not a map"},
      {"stop: \"a 'b\"", "4:11: a quote in this command is never closed"},
      {"reload: HPU", "4:13: 'HPU' is not a signal"},
      {"reload: KILL", "4:13: KILL reloads nothing"},
      {"stop_signal: term", "4:18: 'term' is not a signal"},
      {"stop_sequence: [TERM, KILL]", "4:21: 'TERM' needs a time to wait"},
      {"stop_sequence: [TERM 5, KILL]", "4:21: '5' is not a duration"},
      {"stop_sequence: [TREM 5s]", "4:21: 'TREM' is not a signal"},
      {"stop_sequence: [KILL, TERM 5s]", "4:21: nothing can come after KILL"},
      {"stop_sequence: [KILL 5s]", "4:21: KILL is the end; it has no time"},
      {"stop_sequence: []", "4:20: a stop sequence has at least one signal"},
      {"stop_sequence: TERM 5s", "4:20: this must be a list like [TERM 25s, KILL], not text"},
      {"stop_sequence: [HUP 1s,HUP 1s,HUP 1s,HUP 1s,HUP 1s,HUP 1s,HUP 1s,HUP 1s]",
       "4:20: a stop sequence has at most 8 steps, KILL included"},
      {"kill: proces", "4:11: 'proces' is not one of tree, process"},
      {"group: -x", "4:12: '-x' cannot be the name of a group"},
      {"group: [x]", "4:12: this must be one name, not a list"},
      {"group: w", "2:3: the group 'w' of watch 'w' is also the name of a watch"},
      {"labels: {a b: c}", "4:14: 'a b' cannot be the name of a label"},
      {"backoff: {initial: 2m}", "4:24: 'max' (1m) is less than 'initial' (2m)"},
      {"backoff: {factor: 0.5}", "4:23: 0.5 is too small: at least 1"},
      {"backoff: {factor: nan}", "4:23: 'nan' is not a number"},
      {"backoff: {jitter: 101%}", "4:23: 101% is too much: at most 100%"},
      {"backoff: {jitter: 20}", "4:23: '20' is not a percentage"},
      {"flapping: {times: 0}", "4:23: 0 is not between 1 and 1000"},
      {"flapping: {times: \"5\"}", "4:23: this must be a whole number, not quoted text"},
      {"flapping: {retry_times: 2}", "4:29: 'retry_times' needs 'retry_in'"},
      {"hooks: {before: x}", "4:13: unknown key 'before' of hooks"},
      {"ready: {http: x}", "4:13: unknown key 'http' of ready\n4:12: 'ready' is one of"},
      {"ready: {}", "4:12: 'ready' is one of notify, after, tcp and file"},
      {"ready: {notify: true, after: 1s}", "4:12: 'ready' is one of notify, after, tcp and file"},
      {"ready: {notify: false}", "4:21: 'notify' is true or not written"},
      {"ready: {after: 31s}", "4:20: it would never be ready: 'start_timeout' is 30s"},
      {"ready: {tcp: 3000}", "4:18: '3000' is not HOST:PORT"},
      {"ready: {tcp: \"x:99999\"}", "4:18: 'x:99999' is not HOST:PORT"},
      {"ready: {tcp: \"::1:80\"}", "4:18: '::1:80' is not HOST:PORT"},
      {"reload_if: [process_exits]", "4:16: 'reload_if' needs 'reload' in watch 'w'"},
      {"restart_if: {always: {}}", "4:17: this must be a list of conditions, not a map"},
      {"restart_if: [alway]", "4:18: unknown condition 'alway'"},
      {"restart_if: [[always]]", "4:18: a condition is NAME or NAME: {…}, not a list"},
      {"restart_if: [{memory_usage: 300MB}]", "4:33: this must be a map of parameters, not text"},
      {"restart_if: [memory_usage]", "4:18: memory_usage needs 'above'"},
      {"restart_if: [{memory_usage: {above: 5 apples}}]", "4:41: '5 apples' is not a size"},
      {"restart_if: [{cpu_usage: {above: 50}}]", "4:38: '50' is not a percentage"},
      {"restart_if: [{cpu_usage: {above: 5%, scope: tre}}]",
       "4:49: 'tre' is not one of tree, process"},
      {"restart_if: [{cpu_usage: {abov: 5%, above: 5%}}]",
       "4:31: unknown parameter 'abov' of cpu_usage"},
      {"restart_if: [{cpu_usage: {above: 5%, times: [5, 3]}}]",
       "4:49: 5 of the last 3 can never be"},
      {"restart_if: [{cpu_usage: {above: 5%, times: 65}}]", "4:49: 65 is not between 1 and 64"},
      {"restart_if: [{cpu_usage: {above: 5%, notifies: x}}]",
       "4:42: unknown parameter 'notifies' of cpu_usage"},
      {"restart_if: [{cpu_usage: {above: 5%, notify: x}}]", "4:50: there is no contact 'x'"},
      {"restart_if: [{cpu_usage: {above: 5%, id: a}}, {cpu_usage: {above: 6%, id: a}}]",
       "4:79: this watch has two conditions with the id 'a'"},
      {"restart_if: [{always: {}, cpu_usage: {}}]", "4:31: one item of the list is one condition"},
      {"restart_if:\n      - consul_kv:\n        key: x",
       "6:9: 'key' stands beside 'consul_kv', not inside it"},
      {"keepalive: {memory_times: 3}", "4:31: 'memory_times' needs 'memory_max'"},
      {"keepalive: {memory_max: much}", "4:29: 'much' is not a size"},
      {"extends: nowhere", "4:14: there is no watch 'nowhere' to extend"},
      {"extends: w", "4:14: there is no watch 'w' to extend"},
      {"dir: \"${watch.dir}\"", "4:11: '${watch.dir}' is not known here"},
      {"log: \"a ${x} b\"", "4:13: unknown '${x}'"},
      {"log: \"a ${env.PROT}\"", "4:13: environment variable 'PROT' is not set"},
      {"log: ${vars.x}", "4:10: there is no 'x' in vars"},
      {"log: \"${node.ipp}\"", "4:11: unknown '${node.ipp}'"},
      {"log: \"x ${env.HOME\"", "4:13: this '${' is never closed"},
      {"log: \"${instance}\"", "4:11: unknown '${instance}'"},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.keys));
    const auto loaded = load_watch(row.keys);
    CHECK_FALSE(loaded.ok);
    std::string first(row.said);
    if (const auto cut = first.find('\n'); cut != std::string::npos) {
      CHECK(brief(loaded).find(first.substr(cut + 1)) != std::string::npos);
      first.resize(cut);
      CHECK(brief(loaded).find(first) != std::string::npos);
    } else {
      CHECK(brief(loaded) == first);
    }
  }
}

TEST_CASE("errors of consul_kv") {
  struct Row {
    const char* parameters;
    const char* said;
  };
  const Row rows[] = {
      {"{}", "5:9: consul_kv needs 'key' or 'prefix'"},
      {"{key: a, prefix: b}", "5:37: consul_kv takes 'key' or 'prefix', not both"},
      {"{key: /}", "5:26: 'key' is empty"},
      {"{key: a, window: 1}", "5:37: 'window' is between 2 and 1000"},
      {"{key: a, window: two}", "5:37: 'two' is not a whole number"},
      {"{key: a, select: redis}", "5:37: 'redis' is not a JSON pointer"},
      {"{key: a, ignore: [/a~2]}", "5:37: '/a~2' is not a JSON pointer"},
      {"{key: a, on_invalid: raw}", "5:41: 'on_invalid' counts only with 'select' or 'ignore'"},
      {"{key: a, mode: push}", "5:35: 'push' is not one of watch, poll"},
      {"{prefix: a, settle_max: 1s}", "5:44: 'settle_max' is less than 'settle', which is 2s"},
      {"{key: a, consul: west}", "5:37: there is no 'west' under 'consul: clusters:'"},
      {"{key: a, times: 3}", "5:36: 'times' means nothing to consul_kv: it is not asked in turns"},
      {"{key: a, fleet: {}}", "5:29: unknown parameter 'fleet' of consul_kv"},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.parameters));
    const auto loaded = load_watch(std::string("notify_if:\n      - consul_kv: ") + row.parameters);
    CHECK_FALSE(loaded.ok);
    CHECK(brief(loaded) == std::string(row.said));
  }
  std::string many = "notify_if:";
  for (int i = 0; i < 17; ++i) many += "\n      - consul_kv: {key: k" + std::to_string(i) + "}";
  CHECK(brief(load_watch(many)) ==
        "2:3: a watch can have 16 consul_kv conditions; this one has 17");
}

TEST_CASE("warnings") {
  const auto splay = load_watch("restart_if: [{consul_kv: {key: a}}]");
  CHECK(splay.ok);
  CHECK(brief(splay) == "4:19: a change of this key restarts every host at the same moment");
  CHECK(brief(load_watch("restart_if: [{consul_kv: {key: a, splay: 0s}}]")) == "");
  CHECK(brief(load_watch("notify_if: [{consul_kv: {key: a}}]")) == "");
  const auto kill = load_watch("kill: process");
  CHECK(kill.ok);
  CHECK(brief(kill) == "4:11: 'kill: process' leaves the process's descendants alone");
  const auto timeout = load_watch("stop_sequence: [TERM 5s]\n    stop_timeout: 9s");
  CHECK(timeout.ok);
  CHECK(brief(timeout) == "5:19: 'stop_timeout' does not bound the signals of 'stop_sequence'");
  const auto old = load_text("watches: {s: {start: bundle exec sidekiq -d -P x.pid}}");
  CHECK(old.ok);
  CHECK(brief(old).find("'-d' and '-P'") != std::string::npos);
  CHECK(brief(load_text("")) == "1:1: this file says nothing");
}

TEST_CASE("errors at the top") {
  struct Row {
    const char* text;
    const char* said;
  };
  const Row rows[] = {
      {"watchs: {}", "1:1: unknown key 'watchs' of a watch file"},
      {"- a", "1:1: a watch file is a map, not a list"},
      {"watches: [a]", "1:10: this must be a map of names to watches, not a list"},
      {"watches: {w: prog}", "1:14: this must be a map of the watch's keys, not text"},
      {"watches: {w: }", "1:11: watch 'w' says nothing"},
      {"watches: {w: {}}", "1:11: watch 'w' needs 'start'"},
      {"watches: {.w: {start: x}}", "1:11: '.w' cannot be the name of a watch"},
      {"watches: {a@1: {start: x}}", "1:11: 'a@1' cannot be the name of a watch"},
      {"consul: http://x", "1:9: this must be a map, like {address: …}, not text"},
      {"consul: {adress: x}", "1:10: unknown key 'adress' of consul"},
      {"consul: {address: ftp://x}", "1:19: 'ftp' is not http, https or unix"},
      {"consul: {address: \"x:70000\"}", "1:19: this is not the address of a Consul agent"},
      {"consul: {address: \"unix://x\"}",
       "1:19: a unix address names a socket: unix:///run/consul.sock"},
      {"consul: {token: a, token_file: b}", "1:32: 'token' and 'token_file' exclude each other"},
      {"consul: {client_cert: a}", "1:9: 'client_cert' and 'client_key' need each other"},
      {"daemon: {operators: \"@\"}", "1:21: '@' is not a user or an @group"},
      {"daemon: {socket_mode: 0660}", "1:23: an octal number must be quoted"},
      {"daemon: {log_level: inf}", "1:21: 'inf' is not one of debug, info, warn, error"},
      {"daemon: {http: x}", "1:10: unknown key 'http' of daemon"},
      {"include: gone.yaml", "1:10: cannot read '/etc/gone.yaml': No such file or directory"},
      {"include: a.yaml", "1:10: files include one another: /etc/a.yaml → /etc/a.yaml"},
      {"vars_file: gone.yaml", "1:12: cannot read '/etc/gone.yaml': No such file or directory"},
      {"vars: {a: \"${watch.name}\"}", "1:12: '${watch.name}' is not known here"},
      {"defaults: {strat: x}", "1:12: unknown key 'strat' of a watch"},
      {"defaults: {extends: x}", "1:21: defaults cannot extend a watch"},
      {"task: {}", "1:1: unknown key 'task' of a watch file"},
      {"watches: {a: {extends: b}, b: {extends: c}, c: {extends: a}}",
       "1:58: watches extend one another: a → b → c → a"},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.text));
    const auto loaded = load_text(row.text);
    CHECK_FALSE(loaded.ok);
    CHECK(brief(loaded) == std::string(row.said));
  }
}

TEST_CASE("across files") {
  const auto twice = load(input_of({{"/d/a.watch.yaml", "watches: {w: {start: a}}"},
                                    {"/d/b.watch.yaml", "watches: {w: {start: b}}"}},
                                   "/d"));
  CHECK_FALSE(twice.ok);
  CHECK(render(twice.diagnostics) ==
        "/d/b.watch.yaml:1:11: error: watch 'w' is defined twice\n"
        "    1 | watches: {w: {start: b}}\n"
        "      |           ^\n"
        "      /d/a.watch.yaml:1:11:\n"
        "    1 | watches: {w: {start: a}}\n"
        "      |           - first time here\n");
  const auto circle =
      load(input_of({{"/etc/a.yaml", "include: b.yaml"}, {"/etc/b.yaml", "include: a.yaml"}}));
  CHECK(brief(circle) ==
        "1:10: files include one another: /etc/a.yaml → /etc/b.yaml → /etc/a.yaml");
  // An inherited value is wrong where it is written.
  const auto inherited =
      load(input_of({{"/etc/a.yaml", "watches: {a: {extends: r}, b: {extends: r}}"},
                     {"/share/r.watch.yaml", "watches:\n  r:\n    start: x\n    interval: 5\n"}}));
  REQUIRE(inherited.diagnostics.size() == 1);
  CHECK(inherited.diagnostics[0].place.file == "/share/r.watch.yaml");
  CHECK(brief(inherited) == "4:15: '5' is not a duration");
  const auto slip =
      load(input_of({{"/etc/a.yaml", "watches: {a: {extends: sidkiq}}"},
                     {"/share/sidekiq.watch.yaml", "watches: {sidekiq: {start: x}}"}}));
  REQUIRE(slip.diagnostics.size() == 1);
  CHECK(slip.diagnostics[0].help == "did you mean 'sidekiq'?");
}
