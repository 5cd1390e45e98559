"""Where god fails: each of these was reproduced with god 0.13.7; supv must do better."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import consul
import seed
import supv
from supv import contains, equal, wait_until

W = "start: @WORKER@ --witness @DIR@/w.witness"


def test_01_stop_is_honoured_during_a_slow_start(lab):
    lab.supvd(config=f"watches:\n  w:\n    {W} --pause 60000\n    ready: {{notify: true}}\n"
              "    start_timeout: 60s\n")
    began = time.monotonic()
    lab.ctl("stop", "w").ok()
    equal(time.monotonic() - began < 10, True, "stop waits for the start")
    equal(supv.alive(lab.starts()[0]), False, "alive")


def test_01_stop_is_honoured_during_a_slow_check_and_a_slow_notification(lab):
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(1)  # accepts, and never answers
        lab.supvd(config=f"""
contacts:
  ops: {{webhook: {{url: "http://127.0.0.1:{hole.getsockname()[1]}/", timeout: 10s}}}}
watches:
  w:
    {W}
    restart_if: [exec: {{command: sleep 60, interval: 100ms, timeout: 60s}}]
    notify_if: [always: {{what: true, interval: 100ms, notify: ops}}]
""")
        lab.wait_up("w")
        hole.settimeout(supv.PATIENCE)
        told, _ = hole.accept()
        with told:
            began = time.monotonic()
            lab.ctl("stop", "w").ok()
            equal(time.monotonic() - began < 3, True, "stop waits for somebody")
        equal(supv.alive(lab.starts()[0]), False, "alive")


def test_02_an_instant_failure_is_not_a_fork_bomb(lab):
    lab.supvd(config="watches:\n  w:\n    start: sh -c 'echo x >> @DIR@/tries; exit 1'\n")
    tries = lab.dir / "tries"
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 5, "five seconds")
    count = len(tries.read_text().split())
    equal(3 <= count <= 6, True, f"{count} starts in 5 s with back-off 0.5 1 2 4")


def test_03_a_death_within_a_millisecond_is_noticed(lab):
    lab.supvd(config="watches:\n  w: {start: /bin/false, keepalive: false}\n"
              "  v: {start: /bin/true, keepalive: false}\n")
    equal(lab.wait_state("w", "exited", "failed")["last_exit"]["code"], 1)
    equal(lab.wait_state("v", "exited", "failed")["last_exit"]["code"], 0)


def test_04_a_shell_line_leaves_nothing_behind(lab):
    lab.supvd(config="watches:\n  w:\n    start: 'cd @DIR@ && @WORKER@ --witness "
              "@DIR@/w.witness; true'\n")
    lab.wait_starts(1)
    lab.ctl("stop", "w").ok()
    equal(supv.alive(lab.starts()[0]), False, "the program under the shell")


def test_05_stale_state_naming_a_foreign_pid(lab):
    """The pid of a dead worker may belong to somebody else by the next start of supvd."""
    lab.supvd(config=f"watches:\n  w: {{{W}}}\n")
    pid = lab.wait_up("w")["pid"]
    keeper = lab.keeper()
    os.kill(keeper, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not supv.alive(pid) and not supv.alive(keeper), "their ends")
    stranger = take_pid(lab, pid)
    lab.supvd()
    lab.wait_up("w", other_than=pid)
    lab.ctl("terminate").ok()
    equal((stranger.poll(), lab.diary("s")[1:]), (None, []), "the stranger")


def take_pid(lab, pid):
    """A stranger's process with exactly this pid."""
    wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "the pid is free")
    last = pathlib.Path("/proc/sys/kernel/ns_last_pid")
    end = time.monotonic() + supv.PATIENCE
    while time.monotonic() < end:
        try:
            last.write_text(str(pid - 1))
        except OSError:
            raise supv.Skip("choosing a pid needs the right to") from None
        child = subprocess.Popen([supv.WORKER, "--witness", lab.witness("s"), "--note", "TERM"])
        if child.pid == pid:
            return child
        child.kill()
        child.wait()
        lab.witness("s").with_name("s.witness.diary").unlink(missing_ok=True)
    raise supv.Skip("others took the pid every time")


def test_06_a_zombie_is_dead_and_supvd_is_a_good_pid_1(lab):
    lab.config(f"""
watches:
  w: {{{W}}}
  orphans: {{start: "sh -c '(sleep 0.1 &) ; (sleep 0.2 &) ; exec sleep 1000'"}}
""")
    command = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child",
               *map(str, lab.daemon_args())]
    family = subprocess.Popen(command, env=lab.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        if family.poll() is not None and "unshare" in family.stderr.read():
            raise supv.Skip("a pid namespace needs the right to")
        lab.wait_starts(1)
        lab.wait_up("orphans")
        supvd = next(pid for pid, parent in supv.parents().items() if parent == family.pid)
        inside = lambda: supv.descendants(supvd)
        # Killed, it is replaced at once: not taken for alive as long as somebody has to reap it.
        victim = next(pid for pid in inside() if supv.commandline(pid).startswith(supv.WORKER))
        os.kill(victim, signal.SIGKILL)
        lab.wait_starts(2)
        wait_until(lambda: all(supv.alive(pid) for pid in inside()), "no zombie in the container")
        os.kill(supvd, signal.SIGTERM)
        equal(family.wait(20), 0, "exit code of PID 1")
    finally:
        family.kill()
        family.wait()


def test_07_an_operators_stop_during_the_flapping_pause_holds(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W} --exit-after 30 --exit-code 1
    backoff: {{initial: 0s}}
    flapping: {{times: 2, within: 1m, retry_in: 2s}}
""")
    lab.wait_state("w", "failed")
    lab.ctl("stop", "w").ok()
    count, began = len(lab.starts()), time.monotonic()
    wait_until(lambda: time.monotonic() - began > 3, "the pause is over")
    equal((len(lab.starts()), lab.watch("w")["state"]), (count, "stopped"))


def test_08_reload_during_a_start_gives_one_copy(lab):
    lab.supvd(config=f"watches:\n  w:\n    {W} --pause 1500 --tell READY=1\n"
              "    ready: {notify: true}\n")
    for _ in range(3):
        lab.ctl("load").ok()
    lab.wait_up("w")
    lab.wait_starts(1)
    lab.never_two()


def test_09_a_changed_command_is_reported_and_applied(lab):
    lab.supvd(config=f"watches:\n  w: {{{W}}}\n")
    pid = lab.wait_up("w")["pid"]
    lab.config(f"watches:\n  w: {{{W} --note USR1}}\n")
    contains(lab.ctl("plan").ok().out, "start")
    lab.ctl("load").ok()
    lab.wait_up("w", other_than=pid)
    contains(lab.ctl("why", "w").out, "start")


def test_10_nothing_is_left_alive_silently(lab):
    lab.supvd(config=f"watches:\n  w:\n    {W} --ignore TERM\n    stop_timeout: 4s\n"
              "daemon: {shutdown_timeout: 1s}\n")
    pid = lab.wait_up("w")["pid"]
    lab.ctl("terminate", timeout=40).ok()
    equal(supv.alive(pid), False, "alive after terminate")


def test_11_changes_in_grace_count_and_silence_does_not(lab):
    agent = consul.Agent(lab)
    saboteur = consul.Saboteur(agent)
    agent.put("one")
    seed.start(lab, saboteur.address, more="grace: 2s", kv="mode: poll, interval: 100ms")
    agent.put("two")
    seed.restarted(lab, 1)
    saboteur.mode = "leaderless"
    seed.verdict(lab, "unknown")
    saboteur.mode = "pass"
    seed.verdict(lab, "false", deadline=40)
    agent.delete()
    asked = saboteur.asked
    wait_until(lambda: saboteur.asked > asked + 4, "four more readings of the missing key")
    agent.put("two")
    wait_until(lambda: saboteur.asked > asked + 8, "four more readings of the same value")
    equal(len(lab.starts()), 2, "starts")
    agent.put("three")
    seed.restarted(lab, 2)


def test_12_three_of_five_and_a_fresh_timeline_after_a_restart(lab):
    lab.supvd(config="""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --memory 60
    restart_if: [memory_usage: {above: 50MB, interval: 400ms, times: [3, 5]}]
""")
    lab.wait_starts(1)
    moments = []
    wait_until(lambda: len(lab.starts()) >= 3, "two restarts by memory")
    moments = [int(line.split()[2]) / 1e9 for line in lab.diary() if line.startswith("start")]
    for before, after in zip(moments, moments[1:]):
        equal(after - before > 0.8, True, f"three samples of 400 ms each: {moments}")


def test_13_a_burst_of_three_seconds_is_seen(lab):
    lab.supvd(config="""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --pause 1500 --busy 3000
    restart_if: [cpu_usage: {above: 40%, interval: 1s}]
""")
    watch = lab.wait_watch("w", lambda w: w["restarts"] >= 1, "restarted")
    contains(watch["last_change"]["reason"], "cpu_usage")


def test_14_failures_of_the_client_have_exit_codes(lab):
    lab.supvd(config=f"watches:\n  w: {{{W}}}\n  ghost: {{start: /no/such, autostart: false}}\n")
    for args, code in ((("start", "ghost"), 1), (("start", "nosuch"), 5), (("nosuch",), 2),
                       (("signal", "NOSUCH", "w"), 2), (("load", "/no/such/file"), 6)):
        equal(lab.ctl(*args).code, code, " ".join(args))
    lab.ctl("stop", "w").ok()  # waits: it is gone when the command returns
    equal(supv.alive(lab.starts()[0]), False, "alive")


def test_15_restarting_what_never_ran_is_immediate(lab):
    lab.supvd(config=f"watches:\n  w: {{{W}, autostart: false}}\n")
    began = time.monotonic()
    lab.ctl("restart", "w").ok()
    equal(time.monotonic() - began < 3, True, "immediate")
    lab.wait_starts(1)


def test_16_custom_commands_never_alter_the_tracked_pid(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W} --note USR1
    restart: sh -c 'sleep 0.1'
    stop: sh -c 'sleep 0.2'
    stop_timeout: 1s
""")
    pid = lab.wait_up("w")["pid"]
    lab.ctl("restart", "w").ok()
    equal(lab.watch("w")["pid"], pid, "after the restart command")
    lab.ctl("stop", "w").ok()
    equal(supv.alive(pid), False, "alive after stop")
    equal(lab.watch("w")["pid"], None)


def test_17_conditions_of_the_lifecycle_survive_restarts(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W}
    lifecycle:
      - exec: {{command: 'echo x >> @DIR@/looks; exit 2', interval: 200ms, times: 64}}
""")
    looks = lambda: (lab.dir / "looks").read_text().count("x") if (lab.dir / "looks").exists() else 0
    for _ in range(3):
        lab.ctl("restart", "w").ok()
        before = looks()
        wait_until(lambda: looks() > before + 1, "looks after a restart")


def test_18_a_dead_notifier_delays_nothing(lab):
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(1)
        lab.supvd(config=f"""
contacts:
  ops: {{webhook: {{url: "http://127.0.0.1:{hole.getsockname()[1]}/", timeout: 5s}}}}
watches:
  w: {{{W}, notify: ops}}
""")
        pid = lab.wait_up("w")["pid"]
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        lab.wait_starts(2)
        equal(time.monotonic() - began < 2, True, "the restart waited")


def test_19_three_hundred_watches(lab):
    many = "".join(f"""
  w{i}: {{start: "sleep 100000", restart_if: [memory_usage: {{above: 1GB, interval: 5s}}]}}
""" for i in range(300))
    began = time.monotonic()
    lab.supvd(config="watches:" + many)
    equal(time.monotonic() - began < 4, True, f"started in {time.monotonic() - began:.1f} s")
    family = [pid for pids in lab.family().values() for pid in pids]
    rss = sum(pss(pid) for pid in family)
    equal(rss < 20_000, True, f"{rss} KB for 300 watches; god has 45,000")
    victim = lab.watch("w7")["pid"] or lab.wait_up("w7")["pid"]
    lab.wait_up("w7")
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: lab.watch("w7")["pid"] not in (None, victim), "its replacement")
    equal(time.monotonic() - began < 1, True, "latency with 300 watches")


def test_20_an_ordinary_user_sees_ends_as_root_does(lab):
    if os.geteuid() != 0:
        raise supv.Skip("only root can be somebody else")
    for program in (supv.BUILD / "supvd", supv.WORKER):
        shutil.copy(program, lab.dir)
    lab.config("watches:\n  w: {start: '@DIR@/worker --witness @DIR@/w.witness'}\n")
    lab.run("chown", "-R", "daemon", lab.dir).ok()
    lab.run("setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups", lab.dir / "supvd",
            *lab.daemon_args()[1:], env={"HOME": str(lab.dir)}).ok()
    pid = lab.wait_up("w")["pid"]
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    lab.wait_starts(2)
    equal(time.monotonic() - began < 2, True, "noticed at once")
    equal(lab.watch("w")["last_exit"]["signal"], "KILL")
    lab.ctl("terminate").ok()


def pss(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


supv.main(globals())
