"""Conditions that may wait, in a real supvd: what hangs costs itself alone, and the host may die."""
import os
import pathlib
import signal
import socket
import time

import supv
from supv import contains, equal, wait_until


def condition(lab, watch="w", which=0):
    found = lab.watch(watch).get("conditions", [])
    return found[which] if len(found) > which else {}


def wait_reason(lab, part, watch="w", which=0):
    wait_until(lambda: part in str(condition(lab, watch, which).get("reason")),
               lambda: f"{part!r}; it is {condition(lab, watch, which)}")


def wait_verdict(lab, verdict, watch="w", which=0):
    wait_until(lambda: condition(lab, watch, which).get("verdict") == verdict,
               lambda: f"{verdict}; it is {condition(lab, watch, which)}")


def start(lab, conditions, more=""):
    lab.supvd(config=f"""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness
    restart_if: {conditions}
{more}""")
    lab.wait_up("w")


def test_file_touched_restarts_once_per_touch(lab):
    start(lab, "[file_touched: {path: @DIR@/restart.txt, interval: 200ms}]")
    wait_verdict(lab, "false")
    for count in (1, 2):
        lab.write("restart.txt", "")
        wait_until(lambda: len(lab.starts()) == 1 + count, f"restart {count}")
        lab.wait_up("w", restarts=count)
        wait_verdict(lab, "false")
    lab.wait_starts(3)
    lab.never_two()


def test_log_match_reads_the_own_output(lab):
    lab.supvd(config="""
watches:
  w:
    start: /bin/sh -c 'echo started; while sleep 0.1; do [ -e @DIR@/go ] && rm @DIR@/go && echo FATAL it; done'
    restart_if: [log_match: {pattern: '^FATAL', interval: 200ms}]
""")
    lab.wait_up("w")
    wait_verdict(lab, "false")
    lab.write("go", "")
    lab.wait_up("w", restarts=1)
    contains(lab.watch("w")["last_change"]["reason"], "log_match: FATAL it")
    wait_verdict(lab, "false")  # the line is of the run before
    equal(lab.watch("w")["restarts"], 1)


def test_socket_and_disk_and_age(lab):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    lab.write("beat", "")
    start(lab, f"""
      - socket_responding: {{port: {port}, responding: true, interval: 1s, times: 64}}
      - disk_usage: {{mount_point: /, above: 0%, interval: 1s, times: 64}}
      - file_mtime: {{path: beat, max_age: 1h, interval: 200ms}}
      - file_mtime: {{path: gone, max_age: 1h, interval: 200ms}}
    dir: @DIR@""")
    wait_verdict(lab, "true", which=0)
    wait_verdict(lab, "true", which=1)
    wait_verdict(lab, "false", which=2)
    wait_verdict(lab, "unknown", which=3)
    contains(condition(lab, which=3)["reason"], f"{lab.dir}/gone: No such file")
    listener.close()
    wait_verdict(lab, "false", which=0)
    equal(len(lab.starts()), 1)


def test_what_hangs_costs_itself_alone(lab):
    os.mkfifo(lab.dir / "fifo")  # opening it waits for ever
    start(lab, """
      - certificate_expiry: {path: "@DIR@/fifo", timeout: 1s, interval: 3s}
      - file_touched: {path: "@DIR@/other.txt", interval: 200ms}""", """
  plain:
    start: "@WORKER@ --witness @DIR@/plain.witness"
""")
    wait_reason(lab, "no answer within 2s")
    wait_reason(lab, "still waiting for an answer since ")
    # Its neighbour goes on, and so does another watch, as fast as ever.
    lab.write("other.txt", "")
    lab.wait_up("w", restarts=1)
    for count in range(1, 4):
        pid = lab.wait_up("plain")["pid"]
        began = time.monotonic()
        lab.ctl("restart", "plain").ok()
        lab.wait_up("plain", other_than=pid)
        if time.monotonic() - began > 5:
            raise AssertionError(f"restart {count} took {time.monotonic() - began:.1f} s")
    took = []
    for _ in range(20):
        began = time.monotonic()
        lab.ctl("status").exits(0)
        took.append(time.monotonic() - began)
    if sorted(took)[10] > 0.5:
        raise AssertionError(f"status took {took}")


def test_a_killed_host_is_unknown_then_back(lab):
    lab.write("beat", "")
    start(lab, "[file_mtime: {path: @DIR@/beat, max_age: 1h, interval: 100ms}]")
    wait_verdict(lab, "false")
    first = lab.role("host")

    def kill_until_seen():
        for pid in lab.family().get("host", []):
            os.kill(pid, signal.SIGKILL)
        return "started again" in str(condition(lab).get("reason"))

    wait_until(kill_until_seen, "a verdict without a host")
    equal(condition(lab)["verdict"], "unknown")
    wait_verdict(lab, "false")
    if lab.role("host") == first:
        raise AssertionError("the host is the one that was killed")
    equal(len(lab.starts()), 1)
    contains(lab.log_text(), "the host ended; it is started again")


def test_the_host_serves_the_next_brain(lab):
    start(lab, "[file_touched: {path: @DIR@/restart.txt, interval: 200ms}]")
    wait_verdict(lab, "false")
    host, brain = lab.role("host"), lab.role("brain")
    os.kill(brain, signal.SIGKILL)
    wait_until(lambda: lab.role("brain") != brain, "a new brain")
    wait_verdict(lab, "false")
    equal(lab.role("host"), host)
    lab.write("restart.txt", "")
    lab.wait_up("w", restarts=1)
    lab.never_two()


def rss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"no memory of {pid}")


def test_the_brain_does_not_grow(lab):
    lab.write("beat", "")
    many = "".join("      - file_mtime: {path: \"@DIR@/beat\", max_age: 1h, interval: 20ms}\n"
                   for _ in range(100))
    start(lab, "\n" + many)
    wait_verdict(lab, "false", which=99)
    brain = lab.role("brain")

    def cpu():
        return sum(map(int, pathlib.Path(f"/proc/{brain}/stat").read_text().rsplit(")", 1)[1]
                       .split()[11:13]))

    # Until it has settled, then through thousands of answers.
    spent = cpu()
    wait_until(lambda: cpu() - spent > 30, "the beginning of its work", 60)
    before, spent = rss_kib(brain), cpu()
    wait_until(lambda: cpu() - spent > 30, "as much work again", 60)
    grown = rss_kib(brain) - before
    if grown > 512:
        raise AssertionError(f"the brain grew by {grown} KiB")


def test_a_wrong_option_is_said_at_its_place(lab):
    lab.config("""
watches:
  w:
    start: sleep 1000
    restart_if: [socket_responding: {socket: "udp:1"}]
""")
    result = lab.run(supv.BUILD / "supvd", "--check", "-c", lab.config_file)
    if result.code == 0:
        raise AssertionError(f"check takes it: {result!r}")
    contains(result.out + result.err, "'udp:1' is none of tcp:PORT, tcp:ADDR:PORT and unix:PATH")


supv.main(globals())
