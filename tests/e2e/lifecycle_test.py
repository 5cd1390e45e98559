"""The whole lifecycle: transitions, conditions of every state, wholes, tasks, behaviors, and what
contacts hear of it."""
import json
import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import supv
from supv import contains, equal, wait_until

W = "start: @WORKER@ --witness @DIR@/w.witness"


def held_false(check, seconds, what):
    """`check` stays false for so long: what must not happen had its chance."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            raise AssertionError(what)
        time.sleep(0.02)


def flag(name, interval="100ms"):
    """A condition that is true while the file `name` exists."""
    return f"exec: {{command: test -e @DIR@/{name}, fires_on: zero, interval: {interval}}}"


class Inbox(HTTPServer):
    """A webhook that remembers what it was told."""

    def __init__(self):
        self.got, inbox = [], self

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.got.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args):
                pass

        super().__init__(("127.0.0.1", 0), Hook)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def contact(self):
        return f"{{webhook: {{url: 'http://127.0.0.1:{self.server_port}/'}}}}"

    def texts(self):
        return " | ".join(json.dumps(one) for one in self.got)


def test_a_transition_to_up_is_readiness(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W}
    transitions:
      - {{from: [start, restart], to: up, if: [{flag('warm')}]}}
""")
    lab.wait_starts(1)
    held_false(lambda: lab.watch("w")["state"] != "starting", 1.5, "up without the transition")
    lab.write("warm", "")
    lab.wait_up("w")


def test_tries_give_up_a_start(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W}
    backoff: {{initial: 0s}}
    transitions:
      - {{from: [start, restart], to: up, if: [{flag('warm')}]}}
      - {{from: [start, restart], to: start, if: [tries: {{times: 3, interval: 200ms}}]}}
""")
    lab.wait_starts(3)
    contains(lab.ctl("why", "w").out, "tries")
    lab.write("warm", "")
    lab.wait_up("w")
    lab.never_two()


def test_init_decides_whether_to_start(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W}
    transitions:
      - {{from: init, to: {{true: start}}, if: [{flag('go')}]}}
""")
    watch = lab.watch("w")
    equal((watch["state"], watch["pending"]["waiting_for"]), ("starting", "condition"))
    lab.ctl("stop", "w").ok()
    equal(lab.watch("w")["state"], "stopped")
    lab.ctl("--no-wait", "start", "w")
    held_false(lambda: lab.starts(), 0.5, "started although init says no")
    lab.write("go", "")
    lab.wait_up("w")
    lab.wait_starts(1)


def test_transitions_lead_anywhere(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W}
    transitions:
      - {{from: up, to: restart, if: [{flag('again')}]}}
      - {{from: up, to: unmonitored, if: [{flag('alone')}]}}
      - {{from: up, to: stop, if: [{flag('down')}]}}
      - {{from: stop, to: start, if: [{flag('back')}]}}
""")
    lab.wait_up("w")
    again = lab.write("again", "")
    lab.wait_starts(2)
    again.unlink()
    lab.wait_up("w")
    down = lab.write("down", "")
    lab.wait_state("w", "stopped")
    down.unlink()
    lab.write("back", "")
    lab.wait_up("w")
    lab.write("alone", "")
    watch = lab.wait_state("w", "unmonitored")
    equal(supv.alive(lab.starts()[-1]), True, "unmonitored is left running")
    equal(watch["desired"], "unmonitored")


def test_unmonitor_if(lab):
    lab.supvd(config=f"watches:\n  w:\n    {W}\n    unmonitor_if: [{flag('alone')}]\n")
    lab.wait_up("w")
    lab.write("alone", "")
    lab.wait_state("w", "unmonitored")
    (lab.dir / "alone").unlink()
    lab.ctl("monitor", "w").ok()
    equal(lab.watch("w")["state"], "up")
    lab.wait_starts(1)


def test_another_destination_for_one_condition(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W}
    restart_if:
      - exec: {{command: test -e @DIR@/alone, fires_on: zero, interval: 100ms,
               transition: unmonitored}}
""")
    lab.wait_up("w")
    lab.write("alone", "")
    lab.wait_state("w", "unmonitored")


def test_lifecycle_lives_in_every_state(lab):
    inbox = Inbox()
    lab.supvd(config=f"""
contacts:
  ops: {inbox.contact}
watches:
  w:
    {W} --exit-after 400 --exit-code 1
    backoff: {{initial: 200ms, max: 200ms, jitter: 0%}}
    lifecycle:
      - exec: {{command: test -e @DIR@/full, fires_on: zero, interval: 300ms, times: 4, notify: ops}}
""")
    lab.write("full", "")
    # Four in a row take 1.2 s, and no run lives that long: only what survives restarts gets there.
    wait_until(lambda: inbox.got, "a notice of the lifecycle")
    contains(inbox.texts(), "exec")
    (lab.dir / "full").unlink()
    wait_until(lambda: "no longer" in inbox.texts(), "the recovery")
    equal(sum("no longer" not in json.dumps(one) for one in inbox.got), 1, "told once")


def test_all_any_and_not(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W}
    restart_if:
      - all: [{{{flag('a')}}}, {{{flag('b')}}}]
    stop_if:
      - all: {{times: 2, interval: 100ms, conditions: [{{{flag('c')}}}, {{not: {{{flag('d')}}}}}]}}
""")
    lab.wait_up("w")
    a = lab.write("a", "")
    held_false(lambda: len(lab.starts()) > 1, 0.8, "restarted by one of two")
    b = lab.write("b", "")
    lab.wait_starts(2)
    a.unlink()
    b.unlink()
    lab.wait_up("w")
    d = lab.write("d", "")
    lab.write("c", "")
    held_false(lambda: lab.watch("w")["state"] != "up", 0.8, "stopped although d is there")
    d.unlink()
    lab.wait_state("w", "stopped")
    contains(lab.watch("w")["last_change"]["reason"], "all")


def test_degrading_looks_closer_and_acts_the_third_time(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W}
    restart_if:
      - degrading: {{command: 'echo look >> @DIR@/looks; test ! -e @DIR@/ill', interval: 800ms}}
""")
    lab.wait_up("w")
    looks = lambda: len((lab.dir / "looks").read_text().split()) if (lab.dir / "looks").exists() else 0
    wait_until(looks, "a look")
    lab.write("ill", "")
    before, began = looks(), time.monotonic()
    lab.wait_starts(2)
    equal(3 <= looks() - before <= 4, True, "looks before it acted")
    equal(time.monotonic() - began < 2.3, True, "the interval was halved")


def test_splay_waits_and_forgets_what_is_over(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W}
    restart_if:
      - exec: {{command: test -e @DIR@/ill, fires_on: zero, interval: 100ms, splay: 1h}}
""")
    lab.wait_up("w")
    lab.write("ill", "")
    pending = lambda: lab.watch("w")["pending"]
    wait_until(pending, "something pending")
    equal((pending()["action"], pending()["waiting_for"]), ("restart", "splay"))
    (lab.dir / "ill").unlink()
    wait_until(lambda: not pending(), "nothing pending")
    lab.wait_starts(1)


def test_a_task_runs_its_command_when_its_condition_is_true(lab):
    lab.supvd(config=f"""
tasks:
  t:
    if: [{flag('go')}]
    run: 'echo "ran: $SUPV_REASON" >> @DIR@/ran; rm @DIR@/go'
""")
    ran = lambda: (lab.dir / "ran").read_text().splitlines() if (lab.dir / "ran").exists() else []
    equal(lab.watch("t")["state"], "stopped")
    lab.write("go", "")
    wait_until(lambda: len(ran()) == 1, "the first run")
    contains(ran()[0], "ran: exec")
    lab.wait_state("t", "exited")
    lab.ctl("status", "t").exits(0)
    lab.write("go", "")
    wait_until(lambda: len(ran()) == 2, "the second run")
    lab.wait_state("t", "exited")
    lab.ctl("stop", "t").ok()
    lab.write("go", "")
    held_false(lambda: len(ran()) > 2, 0.6, "a stopped task ran")
    lab.ctl("--no-wait", "start", "t")
    wait_until(lambda: len(ran()) == 3, "started by hand")


def test_a_task_that_fails_is_repeated_and_one_that_hangs_is_ended(lab):
    lab.supvd(config=f"""
tasks:
  bad:
    if: [{flag('go')}]
    run: 'echo x >> @DIR@/bad; exit 3'
    retry: 2
  slow:
    if: [{flag('go')}]
    run: sleep 3600
    timeout: 1500ms
  brief:
    if: [{flag('go')}]
    run: sleep 3600
    timeout: 300ms
""")
    lab.write("go", "")
    wait_until(lambda: lab.watch("slow")["state"] == "failed", "the end of slow")
    contains(lab.watch("slow")["warnings"][0], "not done within 1s500ms")
    contains(lab.watch("brief")["warnings"][0], "not done within 300ms")
    (lab.dir / "go").unlink()
    lab.wait_state("bad", "failed")
    runs = len((lab.dir / "bad").read_text().split())
    equal(runs % 3, 0, f"each time once and two repetitions, {runs}")
    lab.ctl("status", "bad").exits(1)


def test_a_task_survives_the_brain(lab):
    lab.supvd(config=f"""
tasks:
  t:
    if: [{flag('go')}]
    run: 'rm @DIR@/go; echo x >> @DIR@/ran; sleep 3; echo done >> @DIR@/ran'
""")
    lab.write("go", "")
    wait_until(lambda: (lab.dir / "ran").exists(), "the run")
    brain = lab.role("brain")
    os.kill(brain, signal.SIGKILL)
    wait_until(lambda: (lab.dir / "ran").read_text() == "x\ndone\n", "the end of the same run")
    lab.wait_state("t", "exited")


def test_clean_pid_file_and_socket_take_only_what_is_dead(lab):
    pid_file, path = lab.dir / "w.pid", lab.dir / "w.sock"
    pid_file.write_text("4194300")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    lab.supvd(config=f"""
watches:
  w:
    start: 'ls @DIR@ > @DIR@/seen; exec @WORKER@ --witness @DIR@/w.witness'
    pid_file: @DIR@/w.pid
    unix_socket: @DIR@/w.sock
    behaviors: [clean_pid_file, clean_unix_socket]
""")
    lab.wait_up("w")
    seen = (lab.dir / "seen").read_text()
    equal("w.pid" in seen or "w.sock" in seen, False, f"before the start: {seen}")
    pid_file.write_text(str(lab.starts()[0]))
    live = socket.socket(socket.AF_UNIX)
    live.bind(str(path))
    live.listen()
    lab.ctl("restart", "w").ok()
    contains((lab.dir / "seen").read_text(), "w.sock")
    live.close()


def test_notify_of_a_watch_tells_its_state(lab):
    inbox = Inbox()
    lab.supvd(config=f"""
contacts:
  ops: {inbox.contact}
watches:
  w:
    {W}
    notify: ops
    behaviors: [{{notify_when_flapping: {{failures: 2, within: 1m}}}}]
""")
    lab.wait_up("w")
    os.kill(lab.starts()[0], signal.SIGKILL)
    lab.wait_up("w", restarts=1)
    wait_until(lambda: "killed by KILL" in inbox.texts(), inbox.texts)
    wait_until(lambda: "was started 2 times" in inbox.texts(), inbox.texts)


def test_process_exits_restarts_what_keepalive_does_not(lab):
    """Its verdict may come before the last of the tree is gone, or after."""
    lab.supvd(config=f"""
watches:
  w:
    {W} --exit-after 1200
    keepalive: false
    restart_if: [process_exits]
""")
    lab.wait_starts(4)
    equal(lab.watch("w")["last_change"]["by"], "condition")
    lab.never_two()


def test_show_tells_the_whole_definition(lab):
    lab.supvd(config=f"""
contacts: {{ops: {{exec: {{command: "true"}}}}}}
watches:
  w:
    {W}
    unmonitor_if: [load_average: {{above: 9999}}]
    lifecycle: [disk_usage: {{mount_point: /, above: 99.9%}}]
    transitions:
      - {{from: [start, restart], to: up, if: [always: {{what: true}}]}}
      - {{from: init, to: {{true: up, false: start}}, if: [process_running: {{running: true}}]}}
    restart_if: [all: [threads: {{above: 1000}}, not: fd_usage: {{above: 1}}]]
    notify: ops
    unix_socket: /tmp/none.sock
    behaviors: [clean_unix_socket, notify_when_flapping]
    adopt: other.pid
tasks:
  t: {{run: "true", if: [always: {{what: false}}], retry: 2, timeout: 3s}}
""".replace("not: fd_usage: {above: 1}", "{not: {fd_usage: {above: 1}}}")
              .replace("[all: [threads: {above: 1000},", "[all: [{threads: {above: 1000}},"))
    lab.wait_up("w")
    shown = lab.ctl("show", "w").ok().out
    for text in ("unmonitor_if", "lifecycle", "from start, restart to up: always",
                 "from init to up, when false: start", "part of all#1: threads", "ops",
                 "clean_unix_socket", "/tmp/none.sock", "other.pid"):
        contains(shown, text)
    contains(lab.ctl("show", "t").ok().out, "retry")


def test_what_flaps_is_not_started_by_its_conditions(lab):
    """god's classic file: start_if process_running false beside flapping."""
    lab.supvd(config=f"""
watches:
  w:
    {W} --exit-after 30 --exit-code 1
    backoff: {{initial: 0s}}
    flapping: {{times: 3, within: 1m}}
    start_if: [process_running: {{running: false, interval: 100ms}}]
    lifecycle: [process_running: {{running: false, interval: 100ms, transition: restart}}]
""")
    lab.wait_state("w", "failed")
    count = len(lab.starts())
    held_false(lambda: len(lab.starts()) > count, 0.6, "started although it is out")
    brain = lab.role("brain")
    os.kill(brain, signal.SIGKILL)
    wait_until(lambda: lab.role("brain") not in (None, brain), "a new brain")
    lab.wait_state("w", "failed")
    held_false(lambda: len(lab.starts()) > count, 0.6, "started by the next brain")
    lab.ctl("--no-wait", "start", "w")
    wait_until(lambda: len(lab.starts()) > count, "an operator's start")


def test_remove_forgets_a_watch_until_a_load(lab):
    lab.supvd(config=f"watches:\n  w:\n    {W}\n    group: g\n  v: {{start: sleep 3600}}\n")
    pid = lab.wait_up("w")["pid"]
    lab.ctl("remove", "g").ok()
    equal(supv.alive(pid), False, "removed is gone")
    lab.ctl("status", "w").exits(5)
    brain = lab.role("brain")
    os.kill(brain, signal.SIGKILL)
    wait_until(lambda: lab.role("brain") != brain, "a new brain")
    lab.wait_up("v")
    lab.ctl("status", "w").exits(5)
    lab.ctl("load").ok()
    lab.wait_up("w")
    lab.wait_starts(2)


if __name__ == "__main__":
    supv.main(globals())
