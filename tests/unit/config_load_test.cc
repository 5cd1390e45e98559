#include <doctest/doctest.h>

#include <csignal>
#include <string>

#include "config/load.h"
#include "config_texts.h"

using namespace supv;
using namespace supv::test;

namespace {

const WatchSpec& only(const Loaded& loaded) {
  CAPTURE(brief(loaded));
  REQUIRE(loaded.ok);
  REQUIRE(loaded.config.watches.size() == 1);
  return loaded.config.watches.front();
}

std::string option(const ConditionSpec& condition, const std::string& name) {
  for (const auto& [key, value] : condition.options) {
    if (key == name) return value;
  }
  return "(none)";
}

}  // namespace

TEST_CASE("every key of a watch") {
  const auto loaded = load_text(R"(
watches:
  w:
    start: [prog, a b]
    stop: prog stop
    restart: cd x && prog restart
    reload: USR1
    dir: app
    env: {A: 1, B: "x y", C: true, D: ~, E: , F: 010}
    env_file: [.env, .env.local]
    clean_env: true
    uid: deploy
    gid: 1000
    umask: "0027"
    chroot: /jail
    log: log/w.log
    err_log: log/w.err
    pid_file: tmp/w.pid
    start_timeout: 1m
    stop_signal: QUIT
    stop_timeout: 20s
    kill: process
    keepalive: false
    interval: 10s
    autostart: false
    essential: true
    group: web
    groups: [all, web]
    labels: {tier: front}
    backoff: {initial: 1s, max: 2m, factor: 1.5, jitter: 5%, reset_after: 3m}
    flapping: {times: 4, within: 1m, retry_in: 5m, retry_times: 3, retry_within: 1h}
    grace: 1s
    start_grace: 2s
    stop_grace: 3s
    restart_grace: 4s
    hooks: {before_start: a, after_start: b, before_stop: c, after_stop: d, before_restart: e, after_restart: [f]}
    ready: {tcp: "127.0.0.1:3000"}
    watchdog: 30s
    notify_if: [{process_running: {running: true}}]
)");
  const WatchSpec& w = only(loaded);
  CHECK(w.process.start.argv == std::vector<std::string>{"prog", "a b"});
  CHECK(w.process.dir == "/etc/app");
  const std::vector<std::pair<std::string, std::string>> env = {
      {"A", "1"}, {"B", "x y"}, {"C", "true"}, {"D", "~"}, {"E", ""}, {"F", "010"}};
  CHECK(w.process.env == env);
  CHECK(w.process.env_files == std::vector<std::string>{".env", ".env.local"});
  CHECK(w.process.clean_env);
  CHECK(w.process.uid == "deploy");
  CHECK(w.process.gid == "1000");
  CHECK(w.process.umask == 027u);
  CHECK(w.process.chroot == "/jail");
  CHECK(w.process.log == "log/w.log");
  CHECK(w.process.err_log == "log/w.err");
  CHECK(w.process.pid_file == "tmp/w.pid");
  CHECK_FALSE(w.process.whole_tree);
  CHECK(w.start_timeout == Duration{60000});
  CHECK(w.ladder == std::vector<LadderStep>{{SIGQUIT, Duration{20000}}, {SIGKILL, Duration{0}}});
  CHECK(w.stop_timeout == Duration{20000});
  CHECK_FALSE(w.keepalive);
  CHECK_FALSE(w.autostart);
  CHECK(w.essential);
  CHECK(w.groups == std::vector<std::string>{"web", "all"});
  CHECK(w.backoff == BackoffSpec{Duration{1000}, Duration{120000}, 1.5, 5, Duration{180000}});
  CHECK(w.grace == Duration{1000});
  CHECK(w.start_grace == Duration{2000});
  CHECK(w.stop_grace == Duration{3000});
  CHECK(w.restart_grace == Duration{4000});
  CHECK(w.ready == ReadySpec{ReadySpec::Kind::tcp, {}, "127.0.0.1:3000"});
  CHECK(w.watchdog == Duration{30000});
  CHECK(w.file == "/etc/a.yaml");
  REQUIRE(w.rare);
  CHECK(w.rare->stop->argv == std::vector<std::string>{"prog", "stop"});
  CHECK(w.rare->restart->argv[2] == "cd x && exec prog restart");
  CHECK(w.rare->reload_signal == SIGUSR1);
  CHECK(w.rare->flapping ==
        FlappingSpec{4, Duration{60000}, Duration{300000}, 3, Duration{3600000}, {}});
  CHECK(w.rare->labels.front() == std::pair<std::string, std::string>{"tier", "front"});
  CHECK(w.rare->hooks.before_start->argv.front() == "a");
  CHECK(w.rare->hooks.after_restart->argv.front() == "f");
  REQUIRE(w.conditions.size() == 1);
  CHECK(w.conditions[0].interval == Duration{10000});
  CHECK(w.conditions[0].action == Action::notify);
}

TEST_CASE("a watch that says only what it must has the defaults of the contract") {
  const auto loaded = load_text("watches: {w: {start: prog}}");
  const WatchSpec& w = only(loaded);
  WatchSpec plain;
  plain.name = "w";
  plain.process.start.argv = {"prog"};
  plain.process.dir = "/";
  plain.ladder = {{SIGTERM, Duration{30000}}, {SIGKILL, Duration{0}}};
  CHECK(same_spec(w, plain));
  CHECK(w.rare == nullptr);
  CHECK(loaded.diagnostics.empty());
  CHECK(loaded.config.clusters.size() == 1);
}

TEST_CASE("stop sequences") {
  const auto loaded = load_watch("stop_sequence: [TSTP 5s, TERM 25s]");
  const WatchSpec& w = only(loaded);
  CHECK(w.ladder == std::vector<LadderStep>{{SIGTSTP, Duration{5000}},
                                            {SIGTERM, Duration{25000}},
                                            {SIGKILL, Duration{0}}});
  CHECK(w.stop_timeout == Duration{30000});
  CHECK(only(load_watch("stop_signal: KILL")).ladder.size() == 1);
}

TEST_CASE("conditions are normalised") {
  const auto loaded = load_watch(R"(restart_if:
      - memory_usage: {above: 1.5GiB, times: [3, 5], interval: 7s, splay: 2s}
      - cpu_usage: {above: 50%, scope: process, times: 4, id: cpu}
      - memory_usage: {above: 17}
    stop_if: [process_exits])");
  const WatchSpec& w = only(loaded);
  REQUIRE(w.conditions.size() == 4);
  CHECK(w.conditions[0].id == "memory_usage#1");
  CHECK(option(w.conditions[0], "above") == "1610612736");
  CHECK(option(w.conditions[0], "scope") == "tree");
  CHECK(w.conditions[0].times == TimesSpec{3, 5});
  CHECK(w.conditions[0].interval == Duration{7000});
  CHECK(w.conditions[0].splay == Duration{2000});
  CHECK(w.conditions[1].id == "cpu");
  CHECK(option(w.conditions[1], "above") == "50");
  CHECK(option(w.conditions[1], "scope") == "process");
  CHECK(w.conditions[1].times == TimesSpec{4, 4});
  CHECK(w.conditions[1].interval == Duration{30000});
  CHECK(w.conditions[2].id == "memory_usage#2");
  CHECK(option(w.conditions[2], "above") == "17");
  CHECK(w.conditions[3].kind == ConditionKind::exit);
  CHECK(w.conditions[3].action == Action::stop);
}

TEST_CASE("the limits of keepalive are conditions") {
  const auto loaded = load_watch("keepalive: {memory_max: 300MB, cpu_max: 90%, cpu_times: 4}");
  const WatchSpec& w = only(loaded);
  CHECK(w.keepalive);
  REQUIRE(w.conditions.size() == 2);
  CHECK(w.conditions[0].id == "keepalive.memory");
  CHECK(w.conditions[0].name == "memory_usage");
  CHECK(w.conditions[0].interval == Duration{5000});
  CHECK(w.conditions[0].times == TimesSpec{3, 5});
  CHECK(option(w.conditions[0], "above") == "314572800");
  CHECK(w.conditions[1].id == "keepalive.cpu");
  CHECK(w.conditions[1].times == TimesSpec{4, 4});
}

TEST_CASE("consul_kv in full") {
  const auto loaded = load_text(R"(
consul: {clusters: {east: {address: "https://e:8501"}}}
watches:
  w:
    start: prog
    restart_if:
      - consul_kv:
          prefix: //app//conf/
          select: [/redis, /a~1b/0]
          ignore: /redis/at
          window: 4
          interval: 7s
          mode: poll
          settle: 3s
          settle_max: 9s
          min_interval: 1s
          on_delete: change
          on_invalid: raw
          missed: notify
          datacenter: dc2
          consul: east
          splay: 30s
      - consul_kv: {prefix: other, splay: 0s}
      - consul_kv: {key: one, splay: 0s}
)");
  const WatchSpec& w = only(loaded);
  REQUIRE(w.conditions.size() == 3);
  KvSpec kv;
  kv.cluster = "east";
  kv.datacenter = "dc2";
  kv.path = "app/conf/";
  kv.prefix = true;
  kv.select = {"/redis", "/a~1b/0"};
  kv.ignore = {"/redis/at"};
  kv.window = 4;
  kv.interval = Duration{7000};
  kv.mode = KvSpec::Mode::poll;
  kv.settle = Duration{3000};
  kv.settle_max = Duration{9000};
  kv.min_interval = Duration{1000};
  kv.on_delete = KvSpec::OnDelete::change;
  kv.on_invalid = KvSpec::OnInvalid::raw;
  kv.missed = KvSpec::Missed::notify;
  CHECK(w.conditions[0].kv == kv);
  CHECK(w.conditions[0].splay == Duration{30000});
  CHECK(w.conditions[0].kind == ConditionKind::change);
  CHECK(w.conditions[1].kv->settle == Duration{2000});
  CHECK(w.conditions[2].kv->settle == Duration{0});
  CHECK(w.conditions[2].kv->window == 2);
  CHECK(w.conditions[2].kv->interval == Duration{5000});
  CHECK(w.conditions[2].kv->min_interval == Duration{5000});
  CHECK(brief(loaded) == "8:19: '//app//conf/' is read as 'app/conf/'");
}

TEST_CASE("interpolation") {
  const auto loaded = load_text(R"(
vars: {a: A, b: "${vars.a}B"}
watches:
  w:
    dir: ${env.HOME}/x
    start: run $X $(y) ${vars.b} $${z} ${watch.name} ${watch.dir} ${file.dir} ${node.hostname}
    env: {IP: "${node.ip}", MAC: "${node.mac}", P: "${env.PORT}"}
    stop_timeout: ${env.PORT}s
)");
  const WatchSpec& w = only(loaded);
  CHECK(w.process.dir == "/root/x");
  CHECK(w.process.start.argv[2] == "exec run $X $(y) AB ${z} w /root/x /etc host1");
  CHECK(w.process.env[0].second == "10.0.0.1");
  CHECK(w.process.env[1].second == "aa:bb:cc:dd:ee:ff");
  CHECK(w.stop_timeout == Duration{3000000});
  const auto chosen = load_text(
      "node: {interface: eth1, mac: m}\nwatches: {w: {start: \"x ${node.ip} ${node.mac}\"}}");
  CHECK(only(chosen).process.start.argv == std::vector<std::string>{"x", "10.9.9.9", "m"});
}

TEST_CASE("defaults, extends and null") {
  const auto loaded = load_text(R"(
defaults:
  env: {A: d, B: d}
  groups: [all]
  stop_timeout: 9s
watches:
  base: {start: b, env: {B: base, C: base}, ready: {notify: true}, stop_sequence: [INT 2s, KILL]}
  w: {extends: base, env: {C: w}, groups: [x], ready: {after: 2s}, stop_signal: QUIT}
  v: {extends: w, start: v, stop_timeout: null, ready: null}
)");
  CAPTURE(brief(loaded));
  REQUIRE(loaded.ok);
  const WatchSpec& w = loaded.config.watches[1];
  CHECK(w.process.start.argv.front() == "b");
  const std::vector<std::pair<std::string, std::string>> env = {
      {"A", "d"}, {"B", "base"}, {"C", "w"}};
  CHECK(w.process.env == env);
  CHECK(w.groups == std::vector<std::string>{"x"});
  CHECK(w.ready.kind == ReadySpec::Kind::after);
  CHECK(w.ladder[0] == LadderStep{SIGQUIT, Duration{9000}});
  const WatchSpec& v = loaded.config.watches[2];
  CHECK(v.process.env == env);
  CHECK(v.ready.kind == ReadySpec::Kind::alive);
  CHECK(v.stop_timeout == Duration{30000});
}

TEST_CASE("includes, vars files and ready-made watches") {
  Texts texts = {
      {"/etc/a.yaml",
       "include: [conf.d/*.yaml]\nvars_file: v.yaml\nvars: {x: 1}\n"
       "defaults: {env: {D: \"${vars.y}\"}}\nwatches: {s: {extends: side, dir: app}}"},
      {"/etc/v.yaml", "x: 0\ny: Y\n"},
      {"/etc/conf.d/1.yaml", "watches: {one: {start: \"p ${vars.x} ${vars.y}\", dir: .}}"},
      {"/etc/conf.d/2.yaml", "vars: {x: 2}\nwatches: {two: {start: \"p ${vars.x} ${file.dir}\"}}"},
      {"/share/side.watch.yaml",
       "vars: {n: 5, x: 9}\nwatches: {side: {start: \"s ${vars.n} ${vars.x} ${watch.name}\", "
       "watchdog: 9s}}"},
  };
  const auto loaded = load(input_of(texts));
  CAPTURE(brief(loaded));
  REQUIRE(loaded.ok);
  REQUIRE(loaded.config.watches.size() == 3);
  const auto& s = loaded.config.watches[0];
  CHECK(s.process.start.argv == std::vector<std::string>{"s", "5", "1", "s"});
  CHECK(s.process.dir == "/etc/app");
  CHECK(s.watchdog == Duration{9000});
  CHECK(s.file == "/etc/a.yaml");
  const auto& one = loaded.config.watches[1];
  CHECK(one.process.start.argv == std::vector<std::string>{"p", "1", "Y"});
  CHECK(one.process.env.front().second == "Y");
  CHECK(one.process.dir == "/etc/conf.d");
  CHECK(one.file == "/etc/conf.d/1.yaml");
  CHECK(loaded.config.watches[2].process.start.argv ==
        std::vector<std::string>{"p", "2", "/etc/conf.d"});
  CHECK(loaded.config.files.size() == 5);
}

TEST_CASE("a directory stands for its *.watch.yaml") {
  const Texts texts = {{"/d/b.watch.yaml", "watches: {b: {start: b}}"},
                       {"/d/a.watch.yaml", "watches: {a: {start: a}}"},
                       {"/d/c.yaml", "nonsense"}};
  const auto loaded = load(input_of(texts, "/d"));
  REQUIRE(loaded.ok);
  REQUIRE(loaded.config.watches.size() == 2);
  CHECK(loaded.config.watches[0].name == "a");
}

TEST_CASE("consul and daemon") {
  const auto loaded = load_text(R"(
consul:
  address: unix:///run/consul.sock
  token_file: /t
  insecure: false
  namespace: ns
  consistency: stale
  timeout: 3s
  clusters: {east: {address: "[::1]:8500"}}
daemon: {operators: [deploy, "@ops"], readers: "@dev", socket_mode: "0660", log: /l, log_level: debug, log_format: json, shutdown_timeout: 9s}
)");
  CAPTURE(brief(loaded));
  REQUIRE(loaded.ok);
  const ConsulSpec& consul = loaded.config.clusters.at("");
  CHECK(consul.address == "unix:///run/consul.sock");
  CHECK(consul.token_file == "/t");
  CHECK(consul.insecure == false);
  CHECK(consul.name_space == "ns");
  CHECK(consul.consistency == "stale");
  CHECK(consul.timeout == Duration{3000});
  CHECK(loaded.config.clusters.at("east").address == "[::1]:8500");
  const DaemonSpec& daemon = loaded.config.daemon;
  CHECK(daemon.operators == std::vector<std::string>{"deploy", "@ops"});
  CHECK(daemon.readers == std::vector<std::string>{"@dev"});
  CHECK(daemon.socket_mode == 0660u);
  CHECK(daemon.log_level == "debug");
  CHECK(daemon.log_format == "json");
  CHECK(daemon.shutdown_timeout == Duration{9000});
}

TEST_CASE("two files may say the same about Consul, not different things") {
  Texts texts = {{"/d/a.watch.yaml", "consul: {address: \"http://a:1\"}"},
                 {"/d/b.watch.yaml", "consul: {address: \"http://a:1\"}"}};
  CHECK(load(input_of(texts, "/d")).ok);
  texts["/d/b.watch.yaml"] = "consul: {address: \"http://b:1\"}";
  const auto loaded = load(input_of(texts, "/d"));
  CHECK_FALSE(loaded.ok);
  CHECK(brief(loaded) == "1:9: 'consul' says something else than before");
}
