"""Plugins that do what they must not do, in a real supvd: the condition becomes unknown and says why,
in time; nothing else notices; nothing is left of it."""
import math
import re
import time

import supv
from plugin_lab import (PLUGINS, Asker, all_processes, condition, host, hosts, metric,
                        wait_verdict)
from supv import contains, equal, wait_until

INTERVAL = 0.2
TIMEOUT = 1.0
MARGIN = 1.5  # Of a machine on which much else is tested meanwhile.

# The watch `bad` has the fault, `sibling` uses the same plugin well, `other` has nothing to do with
# it. None of the conditions is ever true.
WATCHES = """
plugins: @PLUGINS@
watches:
  bad:
    start: @WORKER@ --witness @DIR@/bad.witness
    interval: 200ms
    restart_if:
      - @FAULT@
  sibling:
    start: @WORKER@ --witness @DIR@/sibling.witness
    interval: 200ms
    restart_if:
      - @SIBLING@: {timeout: 1s@SIBLING_OPTIONS@}
  other:
    start: @WORKER@ --witness @DIR@/other.witness
    interval: 200ms
    restart_if:
      - steady: {file: @DIR@/never, timeout: 1s}
      - exec: {command: sh -c 'echo >> @DIR@/asked'}
      - memory_usage: {above: 1GB}
"""


def start(lab, fault, sibling="naughty", sibling_options=""):
    text = WATCHES.replace("@PLUGINS@", str(PLUGINS)).replace("@FAULT@", fault)
    text = text.replace("@SIBLING_OPTIONS@", sibling_options).replace("@SIBLING@", sibling)
    lab.supvd(config=text)
    for watch in ("bad", "sibling", "other"):
        lab.wait_up(watch)
    wait_verdict(lab, "other", "steady#1", "false")
    wait_verdict(lab, "other", "memory_usage#1", "false")


def asked(lab):
    """How often the built-in condition has been asked."""
    path = lab.dir / "asked"
    return path.read_text().count("\n") if path.exists() else 0


def warnings(lab):
    return [line for line in lab.log_text().splitlines() if " warn: plugin " in line]


def watch_for(lab, seconds, began):
    """Asks for the status until then, at least 200 times; everybody else must be served meanwhile."""
    polls, builtin = metric(lab, "other", "steady#1", "polls so far"), asked(lab)
    since = time.monotonic()
    steady = host("steady")
    asker = Asker(lab)

    def over():
        for watch in asker.status()["watches"]:
            if watch["name"] == "other":
                equal({one["verdict"] for one in watch["conditions"]}, {"false"}, str(watch))
        return len(asker.times) >= 200 and time.monotonic() > began + seconds

    wait_until(over, "200 answers")
    asker.close()
    enough = (time.monotonic() - since) / INTERVAL * 0.5
    made = metric(lab, "other", "steady#1", "polls so far") - polls
    print(f"  p99 of {len(asker.times)} status: {asker.p99() * 1000:.2f} ms, "
          f"max {max(asker.times) * 1000:.2f} ms; steady {made:.0f}, exec {asked(lab) - builtin}, "
          f"of {2 * enough:.0f} polls")
    assert made >= enough, f"steady was asked {made} times only, not {enough}"
    assert asked(lab) - builtin >= enough, f"exec was asked {asked(lab) - builtin} times only"
    equal(host("steady"), steady, "the process of steady")
    assert asker.p99() < 0.5, f"p99 of status is {asker.p99()} s"


def nobody_was_restarted(lab):
    for name in ("bad", "sibling", "other"):
        equal(len(lab.starts(name)), 1, f"starts of {name}")


def nothing_is_left(lab):
    workers = {name: lab.starts(name)[0] for name in ("bad", "sibling", "other")}
    lab.ctl("terminate").ok()
    wait_until(lambda: not hosts() and not any(map(supv.alive, workers.values())),
               lambda: f"an end; {[supv.commandline(pid) for pid in all_processes()]}")


def fault(lab, how, reason, in_time=0.0):
    """The fault itself costs `in_time`. From its first sight on, everything is told and counted."""
    start(lab, f"naughty: {{how: {how}, if_exists: @DIR@/now, timeout: 1s}}")
    wait_verdict(lab, "bad", "naughty#1", "false", "it behaves")
    wait_verdict(lab, "sibling", "naughty#1", "false", "it behaves")
    began = time.monotonic()
    lab.write("now", "")
    seen = wait_verdict(lab, "bad", "naughty#1", "unknown", reason, INTERVAL + in_time + MARGIN)
    took = time.monotonic() - began
    print(f"{how}: {seen['reason']!r} after {took:.2f} s")
    watch_for(lab, 4.0, began)
    wait_verdict(lab, "bad", "naughty#1", "unknown", "not asked again for")
    # The good condition of the same plugin is back, with one process that nobody has left a child.
    wait_verdict(lab, "sibling", "naughty#1", "false", "it behaves", 2.0)
    host("naughty")
    nobody_was_restarted(lab)
    said = warnings(lab)
    # After 1, 2, 4, ... s it is asked again, and each time it can fail once.
    most = int(math.log2(time.monotonic() - began + 1)) + 1
    assert 1 <= len(said) <= most, f"{len(said)} lines, not 1 to {most}: {said}"
    for line in said:
        contains(line, "plugin naughty: ")
        contains(line, reason)
        contains(line, "started again")
    nothing_is_left(lab)


FAULTS = {
    "segfault": ("killed by SEGV in a call for bad: naughty#1",),
    "stack": ("killed by SEGV in a call for bad: naughty#1",),
    "abort": ("killed by ABRT in a call for bad: naughty#1",),
    "exit": ("exited with code 3 in a call for bad: naughty#1",),
    "close": ("it closed its channel in a call for bad: naughty#1",),
    "loop": ("its call for bad: naughty#1 did not return within 1s", TIMEOUT),
    "fork": ("it left a process behind",),
    "daemon": ("it left a process behind",),
    "leak": ("it has used up the memory that it may have",),
}
for name, expected in FAULTS.items():
    globals()[f"test_{name}"] = lambda lab, name=name, expected=expected: fault(lab, name, *expected)


def test_print(lab):
    """It says far too much, and is told so in the log; its verdict counts all the same."""
    start(lab, "naughty: {how: print, if_exists: @DIR@/now, timeout: 5s}")
    wait_verdict(lab, "bad", "naughty#1", "false", "it behaves")
    lab.write("now", "")
    wait_until(lambda: "plugin naughty: ... and more, which is dropped" in lab.log_text(),
               "a word about what is dropped")
    watch_for(lab, 4.0, time.monotonic())
    equal(condition(lab, "bad", "naughty#1")["verdict"], "false")
    lines = [line for line in lab.log_text().splitlines() if "plugin naughty: " in line]
    assert len(lines) <= 42, f"{len(lines)} lines in 5 s"
    assert max(map(len, lines)) < 600, "no line is very long"
    equal(warnings(lab), [])
    nobody_was_restarted(lab)
    nothing_is_left(lab)


def test_garbage(lab):
    """What it answers is no verdict, and its reason has no end: that harms nobody."""
    start(lab, "naughty: {how: garbage, if_exists: @DIR@/now, timeout: 1s}")
    wait_verdict(lab, "bad", "naughty#1", "false", "it behaves")
    process = host("naughty")
    lab.write("now", "")
    wait_verdict(lab, "bad", "naughty#1", "unknown", "it answered 4711, which is no verdict")
    watch_for(lab, 2.0, time.monotonic())
    equal(condition(lab, "sibling", "naughty#1")["verdict"], "false")
    equal(host("naughty"), process, "the process of the plugin")
    nobody_was_restarted(lab)
    nothing_is_left(lab)


def test_an_exception(lab):
    start(lab, "thrower: {timeout: 1s}")
    began = time.monotonic()
    seen = wait_verdict(lab, "bad", "thrower#1", "unknown", "plugin thrower: ")
    assert re.search("ABRT|threw", seen["reason"]), seen
    watch_for(lab, 3.0, began)
    nobody_was_restarted(lab)
    assert len(warnings(lab)) <= 5, warnings(lab)
    nothing_is_left(lab)


def test_two_culprits_do_not_starve_the_third(lab):
    start(lab, "naughty: {how: loop, timeout: 500ms}\n      - naughty: {how: segfault}",
          sibling_options=", how: behave")
    wait_verdict(lab, "bad", "naughty#1", "unknown", "not asked again for")
    wait_verdict(lab, "bad", "naughty#2", "unknown", "not asked again for")
    # Each of them has its own penalty, which grows: in the end there is room.
    wait_verdict(lab, "sibling", "naughty#1", "false", "it behaves")
    wait_verdict(lab, "bad", "naughty#1", "unknown", "did not return within 500ms")
    wait_verdict(lab, "bad", "naughty#2", "unknown", "killed by SEGV")
    nobody_was_restarted(lab)


def test_an_impatient_one_does_not_end_a_slow_one(lab):
    """Its call takes 300 ms and may take 5 s: that another one waits for 100 ms is no fault of it."""
    start(lab, "naughty: {how: slow, timeout: 5s, interval: 1s}\n"
          "      - naughty: {how: behave, timeout: 100ms, interval: 50ms}")
    wait_verdict(lab, "bad", "naughty#1", "false")
    process = host("naughty")
    wait_verdict(lab, "bad", "naughty#2", "unknown", "no answer within 100ms")
    watch_for(lab, 3.0, time.monotonic())
    wait_verdict(lab, "bad", "naughty#2", "false", "it behaves")
    equal(condition(lab, "bad", "naughty#1")["verdict"], "false")
    equal((warnings(lab), host("naughty")), ([], process))


def test_one_that_gets_well_is_asked_again(lab):
    start(lab, "naughty: {how: abort, if_exists: @DIR@/now, timeout: 1s}")
    lab.write("now", "")
    wait_verdict(lab, "bad", "naughty#1", "unknown", "not asked again for")
    (lab.dir / "now").unlink()
    wait_verdict(lab, "bad", "naughty#1", "false", "it behaves")
    process, polls = host("naughty"), metric(lab, "other", "steady#1", "polls so far")
    wait_until(lambda: metric(lab, "other", "steady#1", "polls so far") > polls + 5, "more polls")
    equal(condition(lab, "bad", "naughty#1")["verdict"], "false")
    equal(host("naughty"), process, "the process of the plugin")


def test_destroy_that_crashes_costs_only_itself(lab):
    start(lab, "naughty: {how: segfault, when: destroy, if_exists: @DIR@/now, timeout: 1s}")
    wait_verdict(lab, "bad", "naughty#1", "false", "it behaves")
    lab.write("now", "")
    lab.ctl("stop", "bad").ok()  # Ends the run, and with it the instance.
    wait_until(lambda: any("killed by SEGV" in line for line in warnings(lab)), "a word of warning")
    wait_verdict(lab, "sibling", "naughty#1", "false", "it behaves", 3.0)
    lab.ctl("start", "bad").ok()
    wait_verdict(lab, "bad", "naughty#1", "false", "it behaves")


supv.main(globals())
