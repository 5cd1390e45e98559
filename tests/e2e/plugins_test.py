"""Condition plugins in a real supvd: where they are found, whose rights they have, how long their
processes live, and what check and load say of those that cannot be used."""
import json
import os
import pathlib
import shutil
import signal
import time

import supv
from plugin_lab import (PLUGINS, Asker, condition, host, hosts, metric, wait_verdict)
from supv import contains, equal, wait_until

TWO = """
plugins: @PLUGINS@
watches:
  one:
    start: @WORKER@ --witness @DIR@/one.witness
    interval: 200ms
    restart_if:
      - steady: {file: @DIR@/go, timeout: 2s}
  two:
    start: @WORKER@ --witness @DIR@/two.witness
    interval: 200ms
    restart_if:
      - steady: {file: @DIR@/never, timeout: 2s}
"""


def own(lab, *names, folder="conditions"):
    """Copies of plugins in a directory beside the watch file."""
    (lab.dir / folder).mkdir(exist_ok=True)
    for name in names:
        shutil.copy(PLUGINS / f"{name}.so", lab.dir / folder)
    return lab.dir / folder


def start(lab, text=TWO, plugins=PLUGINS, **options):
    lab.supvd(config=text.replace("@PLUGINS@", str(plugins)), **options)
    lab.wait_up("one")
    wait_verdict(lab, "one", "steady#1", "false")


def fires(lab):
    """It restarts the watch, once, and the history knows why."""
    lab.write("go", "")
    lab.wait_up("one", restarts=1)
    (lab.dir / "go").unlink()
    contains(lab.watch("one")["last_change"]["reason"], f"steady: {lab.dir}/go, 0 names")
    contains(lab.ctl("history", "one").ok().out, f"steady: {lab.dir}/go, 0 names")
    wait_verdict(lab, "one", "steady#1", "false")


# --- where they are --------------------------------------------------------------------------------
def test_in_a_directory_beside_the_watch_file(lab):
    own(lab, "steady")
    start(lab, plugins="[conditions]")
    fires(lab)


def test_named_as_a_file(lab):
    own(lab, "steady", folder="else where*")  # What a pattern would make of it.
    start(lab, plugins="else where*/steady.so")
    fires(lab)


def test_in_the_environment(lab):
    own(lab, "steady")
    start(lab, TWO.replace("plugins: @PLUGINS@\n", ""),
          env={"SUPV_PLUGIN_PATH": f"/nonexistent:{lab.dir}/conditions"})
    fires(lab)
    lab.ctl("load", lab.config_file).ok()
    os.kill(lab.role("brain"), signal.SIGKILL)  # The next one has the same environment.
    wait_until(lambda: lab.ctl("load", lab.config_file).code == 0, "a load by the next brain")


def test_the_file_that_is_named_goes_before_the_directory(lab):
    own(lab, "steady", folder="first")
    own(lab, "steady", folder="second")
    start(lab, plugins="[second, first/steady.so]")
    contains(supv.commandline(host("steady")), f"{lab.dir}/first/steady.so")


# --- their processes -------------------------------------------------------------------------------
def test_one_process_without_rights(lab):
    start(lab)
    wait_verdict(lab, "two", "steady#1", "false")
    process = host("steady")
    status = dict(line.split(":", 1) for line in
                  pathlib.Path(f"/proc/{process}/status").read_text().splitlines())
    equal(status["NoNewPrivs"].strip(), "1")
    if os.geteuid() == 0:
        equal(status["Uid"].split(), ["65534"] * 4)
        equal(status["Gid"].split(), ["65534"] * 4)
        equal(status["Groups"].split(), [])
        equal(int(status["CapEff"], 16), 0)
    limits = {line[:25].strip(): line[25:].split() for line in
              pathlib.Path(f"/proc/{process}/limits").read_text().splitlines()}
    equal(limits["Max core file size"][:2], ["0", "0"])
    equal(limits["Max data size"][:2], [str(256 << 20)] * 2)
    equal(limits["Max open files"][:2], ["256", "256"])
    nice = int(pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[16])
    equal(nice - os.nice(0), 5, "niceness")
    targets = [os.readlink(f"/proc/{process}/fd/{fd}") for fd in os.listdir(f"/proc/{process}/fd")]
    equal(sorted(one.split(":")[0] for one in targets if "steady.so" not in one),
          ["/dev/null", "pipe", "pipe", "socket"], "its descriptors")


def test_usage_and_pid(lab):
    """What it knows of its watch is the watch's own, although all live in one process."""
    start(lab, TWO.replace("one.witness\n", "one.witness --memory 60\n"))
    for name, least in (("one", 60e6), ("two", 1e5)):
        wait_until(lambda: (metric(lab, name, "steady#1", "rss") or 0) > least, f"memory of {name}")
    assert metric(lab, "two", "steady#1", "rss") < 30e6, "the memory of the other one"
    lab.config_file.write_text(lab.config_file.read_text().replace("never,", "never, above: 50MB,"))
    lab.config_file.write_text(lab.config_file.read_text().replace("go,", "go, above: 50MB,"))
    lab.ctl("load", lab.config_file).ok()
    lab.wait_watch("one", lambda one: one["restarts"] >= 1, "restarted for its memory")
    equal(lab.watch("two")["restarts"], 0)


def test_thirty_watches_one_process(lab):
    lines = "".join(f"""
  w{i}:
    start: sleep 1000
    interval: 200ms
    notify_if:
      - steady: {{file: @DIR@/go{i}, timeout: 2s}}""" for i in range(30))
    lab.supvd(config=f"plugins: {PLUGINS}\nwatches:{lines}\n")
    names = [f"w{i}" for i in range(30)]

    def polls():
        return {watch["name"]: next((one["value"] for one in
                                     (watch["conditions"] or [{}])[0].get("metrics") or []
                                     if one["label"] == "polls so far"), 0)
                for watch in lab.status()["watches"]}

    wait_until(lambda: all(polls()[name] >= 1 for name in names), lambda: f"a poll each: {polls()}")
    before, began = polls(), time.monotonic()
    wait_until(lambda: all(polls()[name] >= before[name] + 10 for name in names),
               lambda: f"ten more: {before} {polls()}", 10)
    took = time.monotonic() - began
    print(f"ten polls of 30 watches each 200 ms took {took:.1f} s")
    assert took < 6, "ten intervals are two seconds"
    host("steady")
    lab.write("go17", "")
    wait_verdict(lab, "w17", "steady#1", "true")
    equal(condition(lab, "w16", "steady#1")["verdict"], "false")


# --- how long they live ----------------------------------------------------------------------------
def busy(pid):
    """It has used half a second of processor time."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12]) >= os.sysconf("SC_CLK_TCK") / 2


def test_brain_killed(lab):
    start(lab)
    old, workers = host("steady"), (lab.starts("one"), lab.starts("two"))
    os.kill(lab.role("brain"), signal.SIGKILL)
    wait_until(lambda: not supv.alive(old), "the end of the old process", 1 + 1)
    host("steady", other_than=[old])
    fires(lab)
    equal((lab.starts("one")[:1], lab.starts("two")), workers, "the workers stayed")


def test_brain_killed_while_the_plugin_hangs(lab):
    start(lab, TWO + "      - naughty: {how: loop, if_exists: @DIR@/now, timeout: 1h}\n")
    wait_verdict(lab, "two", "naughty#1", "false")
    old = host("naughty")
    lab.write("now", "")
    wait_until(lambda: busy(old), "a loop")
    (lab.dir / "now").unlink()
    os.kill(lab.role("brain"), signal.SIGKILL)
    wait_until(lambda: not supv.alive(old), "the end of the one that hangs", 1 + 1)
    wait_verdict(lab, "two", "naughty#1", "false", "it behaves")


def test_keeper_killed(lab):
    start(lab, TWO + "      - naughty: {how: loop, if_exists: @DIR@/now, timeout: 1h}\n")
    wait_verdict(lab, "two", "naughty#1", "false")
    old = [host("steady"), host("naughty")]
    lab.write("now", "")
    wait_until(lambda: busy(old[1]), "a loop")
    os.kill(lab.keeper(), signal.SIGKILL)
    (lab.dir / "now").unlink()
    wait_until(lambda: not any(map(supv.alive, old)), "the end of its hosts", 5)
    wait_until(lambda: lab.run(*lab.daemon_args()).code == 0, "another supvd")
    lab.wait_up("one")
    wait_verdict(lab, "one", "steady#1", "false")
    wait_verdict(lab, "two", "naughty#1", "false", "it behaves")
    assert not set(hosts()) & set(old), hosts()


def test_quit_ends_them_and_leaves_the_workers(lab):
    start(lab)
    workers = lab.starts("one") + lab.starts("two")
    lab.ctl("quit").ok()
    wait_until(lambda: not hosts(), hosts, 5)
    equal([supv.alive(pid) for pid in workers], [True, True], "workers")


def test_another_file_in_its_place(lab):
    folder = own(lab, "naughty")
    lab.supvd(config=f"""
plugins: conditions
watches:
  one:
    start: @WORKER@ --witness @DIR@/one.witness
    interval: 200ms
    notify_if:
      - naughty: {{}}
""")
    wait_verdict(lab, "one", "naughty#1", "false", "it behaves")
    old = host("naughty")
    lab.ctl("load", lab.config_file).ok()
    equal(host("naughty"), old, "the same file")
    # The same plugin, built from other source.
    built = (folder / "naughty.so").read_bytes()
    (folder / "new").write_bytes(built.replace(b"it behaves", b"it is good"))
    (folder / "new").rename(folder / "naughty.so")
    lab.ctl("load", lab.config_file).ok()
    wait_verdict(lab, "one", "naughty#1", "false", "it is good")
    host("naughty", other_than=[old])
    assert "warn: plugin" not in lab.log_text(), "that was no fault"


def test_a_plugin_that_no_watch_uses_any_more(lab):
    start(lab)
    text = lab.config_file.read_text()
    lab.config("watches:\n  one:\n    start: sleep 1000\n")
    lab.ctl("load", lab.config_file).ok()
    wait_until(lambda: not lab.watch("one")["conditions"], "no condition")
    lab.config(text)
    lab.ctl("load", lab.config_file).ok()
    wait_verdict(lab, "two", "steady#1", "false")
    host("steady")


supv.main(globals())
