"""supvctl probe: asks conditions now, beside the supvd that runs or without one, and changes
nothing: no verdict counts, nothing is started, nothing is left."""
import os
import pathlib
import signal
import subprocess
import time

import supv
from plugin_lab import PLUGINS, all_processes, condition, host, hosts, metric, wait_verdict
from supv import contains, equal, wait_until

CONFIG = f"""
plugins: {PLUGINS}
tasks:
  t:
    run: touch @DIR@/task
    interval: 100ms
    if: [always: {{what: true}}]
watches:
  w:
    start: sh -c 'touch @DIR@/started; exec @WORKER@ --witness @DIR@/w.witness'
    interval: 200ms
    restart_if:
      - steady: {{file: @DIR@/go, timeout: 2s}}
      - memory_usage: {{id: memory, above: 1GB}}
      - exec: {{command: sh -c 'echo >> @DIR@/asked; test ! -e @DIR@/bad || exit 2', interval: 1h}}
"""


def rows(text):
    """CONDITION -> (VERDICT, the rest of the line)."""
    lines = [line.split(None, 3) for line in text.splitlines()[1:] if line.strip()]
    return {line[1]: (line[2], line[3]) for line in lines}


def running(lab, text=CONFIG):
    lab.supvd(config=text)
    lab.wait_up("w")


def test_a_running_watch(lab):
    running(lab)
    result = lab.ctl("probe", "w").ok()
    equal(result.out.split()[:5], ["WATCH", "CONDITION", "VERDICT", "TOOK", "REASON"])
    seen = rows(result.out)
    equal({name: row[0] for name, row in seen.items()},
          {"steady#1": "false", "memory": "false", "exec#1": "false"})
    contains(seen["steady#1"][1], f"ms  {lab.dir}/go, 0 names | rss=")
    lab.write("go", "")
    lab.write("bad", "")
    found = {one["id"]: one for one in
             lab.ctl("probe", "w", "--json").ok().json["watches"][0]["conditions"]}
    equal({name: one["verdict"] for name, one in found.items()},
          {"steady#1": "true", "memory": "false", "exec#1": "true"})
    for one in found.values():
        assert 0 <= one["took_ms"] < 5000, one
    equal([one["label"] for one in found["steady#1"]["metrics"]], ["rss", "polls so far"])


def test_one_condition(lab):
    running(lab)
    equal(list(rows(lab.ctl("probe", "w", "memory").ok().out)), ["memory"])
    equal(list(rows(lab.ctl("probe", "w", "memory_usage").ok().out)), ["memory"])
    equal(list(rows(lab.ctl("probe", "w", "steady#1").ok().out)), ["steady#1"])
    assert not (lab.dir / "asked").exists(), "the others are not asked"
    lab.ctl("probe", "w", "exec").ok()
    equal((lab.dir / "asked").read_text().count("\n"), 1, "how often it was asked")
    said = lab.ctl("probe", "w", "nonsense").exits(5).err
    for part in ("nonsense", "steady#1", "memory", "exec#1"):
        contains(said, part)
    lab.ctl("probe", "nobody").exits(5)
    lab.ctl("probe").exits(2)
    lab.ctl("probe", "w", "memory", "more").exits(2)


def test_it_does_not_count(lab):
    """A condition that must be true three times in a row is not, however often it is probed."""
    running(lab, CONFIG.replace("exit 2', interval: 1h", "exit 2', interval: 1h, times: 3"))
    wait_verdict(lab, "w", "steady#1", "false")
    before = condition(lab, "w", "exec#1")
    lab.write("bad", "")
    for _ in range(6):
        equal(rows(lab.ctl("probe", "w", "exec").ok().out)["exec#1"][0], "true")
    equal(condition(lab, "w", "exec#1"), before, "what is judged")
    polls = metric(lab, "w", "steady#1", "polls so far")
    lab.ctl("probe", "w", "steady").ok()
    assert metric(lab, "w", "steady#1", "polls so far") >= polls, "its own instance goes on"
    host("steady")
    watch = lab.watch("w")
    equal((watch["state"], watch["restarts"], len(lab.starts())), ("up", 0, 1))
    assert "restart" not in lab.ctl("history", "w").ok().out


def test_a_stopped_watch(lab):
    running(lab)
    lab.ctl("stop", "w").ok()
    seen = rows(lab.ctl("probe", "w").exits(1).out)
    equal({name: row[0] for name, row in seen.items()},
          {"steady#1": "unknown", "memory": "unknown", "exec#1": "false"})
    contains(seen["steady#1"][1], "the process is gone")
    equal(lab.watch("w")["state"], "stopped")


def test_a_plugin_that_hangs(lab):
    running(lab, CONFIG + "      - naughty: {how: loop, if_exists: @DIR@/now, timeout: 500ms}\n")
    wait_verdict(lab, "w", "naughty#1", "false")
    lab.write("now", "")
    began = time.monotonic()
    result = lab.ctl("probe", "w", "naughty").exits(1)
    assert time.monotonic() - began < 5, "it has half a second, twice"
    equal(rows(result.out)["naughty#1"][0], "unknown")
    (lab.dir / "now").unlink()
    wait_verdict(lab, "w", "naughty#1", "false", "it behaves")
    equal(len(lab.starts()), 1, "starts")


# --- without a supvd -------------------------------------------------------------------------------
def untouched(lab):
    for name in ("started", "task"):
        assert not (lab.dir / name).exists(), f"{name} was run"
    left = [pid for pid in supv.descendants(os.getpid()) if supv.alive(pid)]
    equal([supv.commandline(pid) for pid in left], [], "processes")


def offline(lab, *words, **options):
    result = lab.ctl("probe", lab.config_file, *words, **options)
    untouched(lab)
    return result


def test_a_file(lab):
    lab.config(CONFIG)
    seen = rows(offline(lab, "w").exits(1).out)
    equal({name: row[0] for name, row in seen.items()},
          {"steady#1": "unknown", "memory": "unknown", "exec#1": "false"})
    lab.write("bad", "")
    seen = rows(offline(lab, "w", "exec").ok().out)
    equal((seen["exec#1"][0], list(seen)), ("true", ["exec#1"]))
    found = offline(lab, "w", "exec", "--json").ok().json["watches"][0]["conditions"]
    equal([(one["id"], one["verdict"]) for one in found], [("exec#1", "true")])
    assert found[0]["took_ms"] > 0
    contains(offline(lab, "w", "nonsense").exits(5).err, "exec#1")
    contains(offline(lab, "nobody").exits(5).err, "nobody")
    offline(lab).exits(2)


def test_a_file_beside_the_supvd_that_runs(lab):
    """It is another supvd: the one that runs, and its watch of that name, do not notice."""
    running(lab)
    wait_verdict(lab, "w", "steady#1", "false")
    before = hosts("steady")
    result = lab.ctl("probe", lab.config_file, "w", "exec").ok()
    equal(rows(result.out)["exec#1"][0], "false")
    equal((hosts("steady"), len(lab.starts())), (before, 1))
    equal(lab.watch("w")["state"], "up")


def test_a_file_with_mistakes(lab):
    lab.config(CONFIG + "      - constructor_crash: {}\n")
    said = offline(lab, "w").exits(6).err
    contains(said, "test.watch.yaml:16:9: error: ")
    contains(said, "killed by ABRT")
    lab.config(CONFIG.replace("start:", "strat:"))
    contains(offline(lab, "w").exits(6).err, "strat")
    contains(lab.ctl("probe", lab.dir / "missing.yaml", "w").exits(6).err, "missing.yaml")


def test_a_file_with_a_plugin_that_hangs(lab):
    lab.config(CONFIG + "      - naughty: {how: loop, timeout: 500ms}\n")
    began = time.monotonic()
    seen = rows(offline(lab, "w", "naughty").exits(1).out)
    equal(seen["naughty#1"][0], "unknown")
    contains(seen["naughty#1"][1], "500ms")
    assert time.monotonic() - began < 6, "it has half a second, twice"


def probes_of(lab):
    """The supvd that a probe of this laboratory's file has started, and where it lives."""
    for pid in all_processes():
        words = supv.commandline(pid).split()
        if "--probe" in words and str(lab.config_file) in words and "--socket" in words:
            return pid, pathlib.Path(words[words.index("--socket") + 1]).parent
    return None


def test_a_probe_that_is_ended_leaves_nothing(lab):
    lab.config(CONFIG + "      - naughty: {how: loop, timeout: 1h}\n")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        probe = subprocess.Popen([supv.BUILD / "supvctl", "probe", lab.config_file, "w", "naughty"],
                                 env=lab.env, stdout=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda: hosts("naughty"), "a plugin that is asked")
        _, folder = probes_of(lab)
        contains(str(folder), "/tmp/supv-probe-")
        if number == signal.SIGINT:
            os.killpg(probe.pid, number)  # As a terminal does.
        else:
            probe.send_signal(number)
        equal(probe.wait(), 130 if number == signal.SIGINT else -number)
        wait_until(lambda: not hosts() and not probes_of(lab) and not folder.exists(),
                   lambda: f"{hosts()} {probes_of(lab)} {folder} after {number.name}", 8)
    for name in ("started", "task"):
        assert not (lab.dir / name).exists(), f"{name} was run"


def test_a_supvd_that_is_told_to_probe_by_hand_removes_nothing(lab):
    """It only looks at its own directories, not at those in which it finds itself."""
    lab.config(CONFIG)
    treasure = lab.write("run/treasure", "")
    child = subprocess.Popen(lab.daemon_args("-D", "--probe", "w"), env=lab.env, cwd=lab.dir)
    wait_until(lab.socket.exists, "its socket")
    child.terminate()
    child.wait(timeout=supv.PATIENCE)
    assert treasure.exists(), "what is beside its socket"
    untouched(lab)


supv.main(globals())
