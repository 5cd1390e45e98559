"""supvctl: whom it means, what it does in each state, what it says and exits with."""
import json
import os
import shutil
import signal
import subprocess
import time

import supv
from supv import contains, equal, wait_until

FLEET = """
watches:
  a1: {start: "@WORKER@ --witness @DIR@/a1.witness", groups: [letters], labels: {tier: web}}
  a2: {start: "@WORKER@ --witness @DIR@/a2.witness", groups: [letters, twos]}
  b1: {start: "@WORKER@ --witness @DIR@/b1.witness", labels: {tier: web}}
"""


def fleet(lab):
    lab.supvd(config=FLEET)
    for name in ("a1", "a2", "b1"):
        lab.wait_up(name)


def starts(lab):
    return [len(lab.starts(name)) for name in ("a1", "a2", "b1")]


def test_selectors(lab):
    fleet(lab)
    lab.ctl("restart", "a1").ok()
    equal(starts(lab), [2, 1, 1], "by name")
    lab.ctl("restart", "letters").ok()
    equal(starts(lab), [3, 2, 1], "by group")
    lab.ctl("restart", "*1").ok()
    equal(starts(lab), [4, 2, 2], "by glob")
    lab.ctl("restart", "@tier=web").ok()
    equal(starts(lab), [5, 2, 3], "by label")
    lab.ctl("restart", "a2", "b1").ok()
    equal(starts(lab), [5, 3, 4], "by two names")
    lab.ctl("restart", "--all").ok()
    equal(starts(lab), [6, 4, 5], "--all")
    lab.ctl("restart", "-f", lab.config_file).ok()
    equal(starts(lab), [7, 5, 6], "by file")
    lab.ctl("restart").exits(2)
    result = lab.ctl("restart", "a3").exits(5)
    contains(result.err + result.out, "a3")
    lab.ctl("status", "a3").exits(5)
    equal(starts(lab), [7, 5, 6], "no selector, no effect")


def test_status_exit_codes(lab):
    lab.supvd(config="""
watches:
  good: {start: "@WORKER@ --witness @DIR@/good.witness"}
  idle: {start: "@WORKER@ --witness @DIR@/idle.witness", autostart: false}
  slow: {start: "@WORKER@ --witness @DIR@/slow.witness", ready: {notify: true}, start_timeout: 60s}
""")
    lab.wait_up("good")
    lab.ctl("status", "good").exits(0)
    lab.ctl("status", "idle").exits(3)
    lab.ctl("status", "slow").exits(151)
    lab.ctl("status").exits(151)
    lab.ctl("stop", "slow").ok()
    lab.ctl("status").exits(0)
    lab.ctl("stop", "good").ok()
    lab.ctl("status").exits(0)
    lab.ctl("status", "good").exits(3)
    lab.ctl("status", "nosuch").exits(5)


def test_status_json_has_every_field(lab):
    fleet(lab)
    status = lab.status()
    equal(sorted({"pid", "version", "uptime_s", "consul"} - set(status["supvd"])), [])
    equal(status["supvd"]["consul"], "unused")
    fields = {"name", "groups", "state", "desired", "health", "pid", "uptime_s", "restarts",
              "rss_bytes", "cpu_percent", "last_exit", "last_change", "pending", "warnings",
              "conditions", "hold"}
    for watch in status["watches"]:
        equal(sorted(fields - set(watch)), [], f"missing fields of {watch['name']}")
        equal((watch["state"], watch["desired"], watch["last_exit"], watch["pending"],
               watch["hold"]), ("up", "up", None, None, None))


def test_table_of_commands_and_states(lab):
    lab.supvd(config="""
watches:
  w: {start: "@WORKER@ --witness @DIR@/w.witness"}
  once: {start: "@WORKER@ --witness @DIR@/once.witness --exit-after 1200", keepalive: false}
  broken: {start: "@WORKER@ --witness @DIR@/broken.witness --exit 1", backoff: {initial: 60s}}
""")
    first = lab.wait_up("w")
    lab.ctl("start", "w").ok()  # start of up: nothing
    equal(lab.watch("w")["pid"], first["pid"], "pid after start of up")
    lab.ctl("stop", "w").ok()
    lab.ctl("stop", "w").ok()  # stop of stopped: nothing
    equal((lab.watch("w")["state"], lab.watch("w")["desired"]), ("stopped", "stopped"))
    lab.ctl("restart", "w").ok()  # restart of stopped: starts
    lab.wait_up("w", other_than=first["pid"])
    pid = lab.watch("w")["pid"]
    lab.ctl("unmonitor", "w").ok()
    equal((lab.watch("w")["state"], lab.watch("w")["pid"]), ("unmonitored", pid))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not supv.alive(pid), "its end")
    wait_until(lambda: lab.watch("w")["pid"] is None, "seen")
    equal((lab.watch("w")["state"], len(lab.starts())), ("unmonitored", 2), "left alone")
    lab.ctl("monitor", "w").ok()
    lab.wait_up("w")
    lab.wait_starts(3)
    lab.wait_state("once", "exited")
    lab.ctl("start", "once").ok()
    lab.wait_starts(2, "once")
    lab.wait_state("broken", "backoff")
    count = len(lab.starts("broken"))
    lab.ctl("start", "broken").exits(1)
    equal(len(lab.starts("broken")) > count, True, "start clears the back-off")
    lab.ctl("stop", "broken").ok()
    equal(lab.watch("broken")["state"], "stopped")


def test_hold_refuses_unless_forced(lab):
    fleet(lab)
    lab.ctl("hold", "a1", "--for", "30m", "--reason", "database migration").ok()
    held = lab.watch("a1")["hold"]
    equal(held["reason"], "database migration")
    equal(bool(held["until"]) and bool(held["by"]), True, "until and by")
    for verb in ("restart", "stop", "reload"):
        result = lab.ctl(verb, "a1").exits(154)
        contains(result.out + result.err, "database migration")
    equal(starts(lab), [1, 1, 1])
    os.kill(lab.watch("a1")["pid"], signal.SIGKILL)  # keepalive goes on
    lab.wait_up("a1", restarts=1)
    lab.ctl("restart", "a1", "--force").ok()
    equal(starts(lab), [3, 1, 1])
    lab.ctl("release", "a1").ok()
    equal(lab.watch("a1")["hold"], None)
    lab.ctl("restart", "a1").ok()
    lab.ctl("hold", "a1", "--for", "1s", "--reason", "short").ok()
    lab.wait_watch("a1", lambda w: w["hold"] is None, "the hold runs out")


def test_partial_failure_and_failure(lab):
    lab.supvd(config="""
watches:
  good: {start: "@WORKER@ --witness @DIR@/good.witness"}
  ghost: {start: /no/such/program, autostart: false, group: all}
""")
    lab.wait_up("good")
    lab.ctl("restart", "ghost").exits(1)
    result = lab.ctl("restart", "good", "ghost").exits(153)
    contains(result.out + result.err, "ghost")
    contains(result.out + result.err, "No such file")


def test_timeout_152_and_no_wait(lab):
    lab.supvd(config="""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --ignore TERM
    stop_sequence: [TERM 3s, KILL]
""")
    lab.wait_up("w")
    began = time.monotonic()
    lab.ctl("restart", "w", "--timeout", "500ms").exits(152)
    equal(time.monotonic() - began < 2.5, True, "the timeout is kept")
    lab.wait_up("w", restarts=1)
    began = time.monotonic()
    lab.ctl("restart", "w", "--no-wait").ok()
    equal(time.monotonic() - began < 2, True, "--no-wait does not wait")
    lab.wait_up("w", restarts=2)
    lab.never_two()


def test_wait(lab):
    lab.supvd(config="""
watches:
  w: {start: "@WORKER@ --witness @DIR@/w.witness --pause 1500 --tell READY=1", ready: {notify: true}}
  other: {start: "@WORKER@ --witness @DIR@/other.witness"}
""")
    lab.ctl("wait", "w", "--for", "up").ok()
    equal(lab.watch("w")["state"], "up")
    lab.ctl("wait", "w", "--for", "ready").ok()
    lab.ctl("wait", "w", "--for", "stopped", "--timeout", "300ms").exits(152)
    waiting = subprocess.Popen([supv.BUILD / "supvctl", "wait", "w", "--for", "stopped"],
                               env=lab.env, stdout=subprocess.DEVNULL)
    lab.ctl("stop", "w").ok()
    equal(waiting.wait(timeout=20), 0)
    lab.ctl("wait", "nosuch").exits(5)


def test_wait_survives_the_brain(lab):
    fleet(lab)
    waiting = subprocess.Popen([supv.BUILD / "supvctl", "wait", "a1", "--for", "stopped"],
                               env=lab.env, stdout=subprocess.DEVNULL)
    os.kill(lab.role("brain"), signal.SIGKILL)
    lab.ctl("stop", "a1").ok()
    equal(waiting.wait(timeout=20), 0)


class Follower:
    """A supvctl that goes on talking."""

    def __init__(self, lab, *args):
        self.process = subprocess.Popen([supv.BUILD / "supvctl", *args], env=lab.env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.text = ""

    def hears(self, enough):
        def more():
            try:
                self.text += os.read(self.process.stdout.fileno(), 1 << 20).decode()
            except BlockingIOError:
                pass
            return enough(self.text)
        return wait_until(more, lambda: f"more from {self.process.args}: {self.text!r}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def test_history_why_show_and_events(lab):
    lab.supvd(config=FLEET)
    lab.wait_up("a1")
    pid = lab.watch("a1")["pid"]
    os.kill(pid, signal.SIGSEGV)
    lab.wait_up("a1", restarts=1)
    contains(lab.ctl("why", "a1").ok().out, "SEGV")
    equal(lab.watch("a1")["last_exit"]["signal"], "SEGV")
    contains(lab.ctl("history", "a1").ok().out, "SEGV")
    shown = lab.ctl("show", "a1").ok().out
    contains(shown[shown.index("definition"):], f"start         {supv.WORKER}")
    defined = json.loads(lab.ctl("show", "a1", "--json").ok().out)["watches"][0]["definition"]
    contains(next(one["value"] for one in defined if one["key"] == "start"), supv.WORKER)
    json.loads(lab.ctl("why", "a1", "--json").ok().out)
    json.loads(lab.ctl("history", "a1", "--json").ok().out)
    with Follower(lab, "events", "-f", "--json") as follow:
        def restart_and_hear():
            lab.ctl("restart", "a2").ok()
            end = time.monotonic() + 1
            return follow.hears(lambda text: "a2" in text or time.monotonic() > end) and \
                "a2" in follow.text

        wait_until(restart_and_hear, "an event about a2")
    for line in follow.text.splitlines()[:-1]:
        json.loads(line)
    contains(lab.ctl("events").ok().out, "a2")


def test_logs(lab):
    lab.supvd(config="""
watches:
  w: {start: "@WORKER@ --witness @DIR@/w.witness --count 50 --complain oops"}
  apart: {start: "@WORKER@ --witness @DIR@/apart.witness --say out --complain err", log: "@DIR@/apart.out", err_log: "@DIR@/apart.err"}
""")
    lab.wait_up("w")
    wait_until(lambda: "oops" in lab.log_text("w"), "the output")
    shown = lab.ctl("logs", "w", "-n", "5").ok().out.splitlines()
    equal(len(shown), 5, "lines of logs -n 5")
    contains(shown[-1], "oops")
    contains("\n".join(shown), "line 50")
    wait_until(lambda: (lab.dir / "apart.out").read_text() == "out\n" and
               (lab.dir / "apart.err").read_text() == "err\n", "two files")
    with Follower(lab, "logs", "-f", "w") as follow:
        follow.hears(lambda text: "line 50" in text)
        lab.ctl("restart", "w").ok()
        follow.hears(lambda text: text.count("oops") >= 2)


def test_load_and_plan(lab):
    lab.supvd(config=FLEET)
    pids = {name: lab.wait_up(name)["pid"] for name in ("a1", "a2", "b1")}
    changed = FLEET.replace("groups: [letters, twos]", "groups: [letters], interval: 7s").replace(
        "@DIR@/b1.witness", "@DIR@/b1.witness --note USR1") + \
        "  c1: {start: '@WORKER@ --witness @DIR@/c1.witness'}\n"
    lab.config(changed)
    plan = lab.ctl("plan").ok().out
    for word in ("b1", "restart", "c1"):
        contains(plan, word)
    equal(lab.watch("b1")["pid"], pids["b1"], "plan changes nothing")
    json.loads(lab.ctl("plan", "--json").ok().out)
    result = lab.ctl("load").ok()
    contains(result.out, "b1")
    lab.wait_up("b1", other_than=pids["b1"])
    lab.wait_up("c1")
    equal((lab.watch("a1")["pid"], lab.watch("a2")["pid"]), (pids["a1"], pids["a2"]), "untouched")
    equal(starts(lab), [1, 1, 2])
    equal(lab.watch("b1")["last_change"]["by"], "load")
    lab.ctl("load").ok()
    equal(starts(lab), [1, 1, 2], "loading the same again")


def test_a_bad_load_changes_nothing(lab):
    fleet(lab)
    lab.config(FLEET + "  c1: {start: '@WORKER@', nosuch: 1}\n")
    result = lab.ctl("load").exits(6)
    contains(result.out + result.err, "test.watch.yaml:6:")
    lab.ctl("plan").exits(6)
    equal(len(lab.status()["watches"]), 3)
    equal(starts(lab), [1, 1, 1])


def test_load_missing_and_no_restart(lab):
    fleet(lab)
    pids = {name: lab.watch(name)["pid"] for name in ("a1", "a2", "b1")}
    short = FLEET.replace("  b1:", "  # b1:")
    lab.config(short)
    lab.ctl("load", "--missing", "keep").ok()
    equal(supv.alive(pids["b1"]), True, "kept")
    equal(len(lab.status()["watches"]), 3)
    lab.config(FLEET)
    lab.ctl("load").ok()
    lab.config(short)
    lab.ctl("load").ok()
    wait_until(lambda: not supv.alive(pids["b1"]), "stopped by default")
    wait_until(lambda: len(lab.status()["watches"]) == 2, "and gone")
    lab.config(short.replace("a1.witness", "a1.witness --note USR1"))
    lab.ctl("load", "--no-restart").ok()
    equal(lab.watch("a1")["pid"], pids["a1"], "not restarted")
    equal(lab.watch("a1")["pending"]["action"], "restart")
    lab.ctl("restart", "a1").ok()
    equal(lab.watch("a1")["pending"], None)


def test_load_adds_a_file(lab):
    fleet(lab)
    more = lab.write("more.watch.yaml", f"watches:\n  m1: {{start: '{supv.WORKER} --witness "
                     f"{lab.dir}/m1.witness'}}\n")
    lab.ctl("load", more).ok()
    lab.wait_up("m1")
    equal(len(lab.status()["watches"]), 4)
    lab.ctl("load").ok()
    equal(len(lab.status()["watches"]), 4, "the set of files grew")
    os.kill(lab.role("brain"), signal.SIGKILL)
    lab.wait_up("m1")
    equal(len(lab.starts("m1")), 1, "survives the brain")


def test_kv_through_dev(lab):
    lab.supvd("--dev", config="""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --describe @DIR@/self
    restart_if: [consul_kv: {key: app/x, min_interval: 0s}]
""")
    lab.wait_up("w")
    address = lab.status()["supvd"]["consul_address"]
    contains(address, "127.0.0.1:")
    contains((lab.dir / "self").read_text(), "env CONSUL_HTTP_ADDR=")
    lab.ctl("kv", "get", "app/x").exits(1)
    lab.ctl("kv", "put", "app/x", "one").ok()
    equal(lab.ctl("kv", "get", "app/x").ok().out.strip(), "one")
    wait_until(lambda: any(c["timeline"] for c in lab.watch("w")["conditions"]), "a sample")
    count = lab.wait_up("w")["restarts"]
    lab.ctl("kv", "put", "app/x", "two").ok()
    lab.wait_up("w", restarts=count + 1)
    lab.ctl("kv", "put", "app/x", "two").ok()
    lab.ctl("kv", "delete", "app/x").ok()
    lab.ctl("kv", "get", "app/x").exits(1)
    equal(lab.watch("w")["restarts"], count + 1)


def test_commands_from_inside_a_watch_complete(lab):
    lab.supvd(config=f"""
watches:
  w:
    start: sh -c '{supv.BUILD}/supvctl --socket @DIR@/run/supvd.sock wait other --for up && {supv.BUILD}/supvctl --socket @DIR@/run/supvd.sock restart other > @DIR@/said; exec @WORKER@ --witness @DIR@/w.witness'
  other: {{start: "@WORKER@ --witness @DIR@/other.witness"}}
""")
    lab.wait_starts(1)
    lab.wait_starts(2, "other")


def test_a_watch_may_restart_itself(lab):
    lab.supvd(config=f"""
watches:
  w:
    start: sh -c 'if [ -e @DIR@/done ]; then exec @WORKER@ --witness @DIR@/w.witness; fi; touch @DIR@/done; {supv.BUILD}/supvctl --socket @DIR@/run/supvd.sock restart w; exec sleep 1000'
""")
    wait_until(lambda: lab.starts(), "the second incarnation")
    lab.wait_up("w")
    equal(lab.watch("w")["restarts"], 1)


def test_only_operators_may_act(lab):
    if os.geteuid() != 0:
        raise supv.Skip("changing the user needs root")
    lab.supvd(config=FLEET)
    lab.wait_up("a1")
    os.chmod(lab.socket.parent, 0o755)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    client = shutil.copy(supv.BUILD / "supvctl", lab.dir / "supvctl")  # where nobody may read
    lab.run(*nobody, client, "restart", "a1").exits(4, 7)
    lab.run(*nobody, client, "status").exits(4, 7)
    equal(starts(lab), [1, 1, 1])


supv.main(globals())
