"""What happens to processes: starting, being up, being stopped, leaving nothing behind."""
import os
import signal

import supv
from supv import contains, equal, wait_until

W = "start: @WORKER@ --witness @DIR@/w.witness"


def up(lab, watch, name="w"):
    lab.supvd(config=f"watches:\n  {name}:\n" + "".join(
        f"    {line}\n" for line in watch.strip().splitlines()))
    return lab.wait_up(name)


def test_a_daemon_with_a_pid_file_is_followed(lab):
    watch = up(lab, f"""
dir: @DIR@
pid_file: d.pid
start: @WORKER@ --daemonise @DIR@/d.pid --witness @DIR@/w.witness
""")
    pid = int((lab.dir / "d.pid").read_text())
    wait_until(lambda: lab.watch("w")["pid"] == pid, "the daemon is tracked")
    equal(lab.watch("w")["restarts"], 0, "the launcher's exit counts as no death")
    os.kill(pid, signal.SIGKILL)
    lab.wait_up("w", other_than=pid, restarts=1)
    second = int((lab.dir / "d.pid").read_text())
    wait_until(lambda: lab.watch("w")["pid"] == second, "the new daemon is tracked")
    lab.ctl("stop", "w").ok()
    equal(supv.alive(second), False, "the daemon alive after stop")
    contains(lab.diary(), "signal TERM")
    lab.never_two()


def test_a_pid_file_that_is_never_written_is_warned_of(lab):
    up(lab, f"pid_file: never.pid\ndir: @DIR@\n{W}")
    lab.wait_watch("w", lambda w: any("pid_file never written" in text for text in w["warnings"]),
                   "the warning")
    equal(lab.watch("w")["state"], "up")


def test_a_foreign_pid_is_neither_adopted_nor_signalled(lab):
    stranger = lab.run("sh", "-c", f"{supv.WORKER} --witness {lab.dir}/s.witness --note TERM "
                       ">/dev/null 2>&1 & echo $!").ok().out.strip()
    wait_until(lambda: lab.starts("s"), "the stranger")
    lab.write("d.pid", stranger + "\n")
    lab.supvd(config="""
watches:
  w:
    dir: @DIR@
    pid_file: d.pid
    start_timeout: 2s
    start: sh -c 'exit 0'
  x:
    dir: @DIR@
    pid_file: d.pid
    start: @WORKER@ --witness @DIR@/w.witness
""")
    lab.wait_up("x")
    lab.wait_state("w", "backoff", "failed")
    equal(lab.watch("w")["pid"], None, "pid of the failed start")
    equal(lab.watch("x")["pid"] == int(stranger), False, "the stranger is tracked")
    lab.ctl("stop", "--all").ok()
    equal(lab.diary("s")[1:], [], "what the stranger heard")
    equal(supv.alive(int(stranger)), True, "the stranger alive")


def test_cd_and_prog_semicolon_true_leaves_nothing(lab):
    watch = up(lab, f"start: cd @DIR@ && @WORKER@ --witness @DIR@/w.witness; true")
    pid = lab.starts()[0]
    lab.ctl("stop", "w").ok()
    equal(supv.alive(pid), False, "the program alive")
    equal(supv.alive(watch["pid"]), False, "the shell alive")
    contains(lab.diary(), "signal TERM")
    lab.ctl("start", "w").ok()
    second = wait_until(lambda: lab.starts()[1:], "the second start")[0]
    os.kill(lab.wait_up("w")["pid"], signal.SIGKILL)
    lab.wait_starts(3)
    wait_until(lambda: not supv.alive(second), "the leftover's end")
    lab.never_two()


def test_a_plain_string_needs_no_shell_and_a_list_gets_exec(lab):
    lab.supvd(config="""
watches:
  plain: {start: "@WORKER@ --witness @DIR@/plain.witness"}
  assigned: {start: "X=1 @WORKER@ --witness @DIR@/assigned.witness --describe @DIR@/assigned.self"}
  chained: {start: "cd @DIR@ && @WORKER@ --witness @DIR@/chained.witness --describe @DIR@/chained.self"}
  argv: {start: [@WORKER@, --witness, "@DIR@/argv.witness"]}
""")
    for name in ("plain", "assigned", "chained", "argv"):
        equal(lab.wait_up(name)["pid"], lab.starts(name)[0], f"the main process of {name}")
    contains((lab.dir / "assigned.self").read_text(), "env X=1")
    contains((lab.dir / "chained.self").read_text(), f"cwd {lab.dir}\n")


def test_a_worker_that_ignores_term_is_killed(lab):
    watch = up(lab, f"{W} --ignore TERM\nstop_timeout: 1s")
    lab.ctl("stop", "w").ok()
    equal(supv.alive(watch["pid"]), False, "alive")
    contains(lab.diary(), "signal TERM")
    equal(lab.watch("w")["last_exit"]["signal"], "KILL")
    equal(lab.watch("w")["state"], "stopped")


def test_nobody_escapes_a_stop(lab):
    marker = f"supv-escapee-{os.getpid()}"
    watch = up(lab, f"{W} --escape {marker} --escape {marker}")
    wait_until(lambda: len(lab.marked(marker)) == 2, "two escapees")
    lab.ctl("stop", "w").ok()
    equal(lab.marked(marker), [], "escapees after stop")
    lab.ctl("start", "w").ok()
    wait_until(lambda: len(lab.marked(marker)) == 2, "two escapees again")
    old = set(lab.marked(marker))
    os.kill(lab.wait_up("w")["pid"], signal.SIGKILL)
    lab.wait_starts(3)
    wait_until(lambda: len(lab.marked(marker)) == 2 and not old & set(lab.marked(marker)),
               "only the new one's escapees")
    lab.ctl("terminate").ok()
    equal(lab.marked(marker), [], "escapees after terminate")


def test_kill_process_leaves_what_was_daemonised(lab):
    marker = f"supv-left-{os.getpid()}"
    up(lab, f"{W} --escape {marker}\nkill: process")
    wait_until(lambda: lab.marked(marker), "the descendant")
    lab.ctl("stop", "w").ok()
    equal(len(lab.marked(marker)), 1, "descendants left alone")


def test_leftovers_get_term_before_the_replacement_starts(lab):
    up(lab, "start: sh -c '@WORKER@ --witness @DIR@/child.witness & @WORKER@ --witness "
       "@DIR@/w.witness --exit-after 1500 --exit-code 3'")
    child = wait_until(lambda: lab.starts("child"), "the child")[0]
    wait_until(lambda: len(lab.starts("child")) == 2, "the replacement")
    equal(supv.alive(child), False, "the first child alive")
    contains(lab.diary("child"), "signal TERM")
    lab.never_two("child")


def test_exec_errors_are_explained(lab):
    lab.write("plain.txt", "no program\n", 0o644)
    lab.write("script", "#!/no/such/interpreter\n", 0o755)
    lab.supvd(config="""
watches:
  missing: {start: /no/such/program}
  forbidden: {start: "@DIR@/plain.txt"}
  interpreter: {start: "@DIR@/script"}
  nodir: {start: "@WORKER@ --pause 1", dir: /no/such/dir}
  nouser: {start: "@WORKER@ --pause 1", uid: nobodyhere}
  instant: {start: "sh -c 'exit 3'"}
""")
    for name, words in {"missing": ("exec", "No such file"), "forbidden": ("exec", "ermission"),
                        "interpreter": ("exec", "No such file"), "nodir": ("dir", "No such file"),
                        "nouser": ("nobodyhere",), "instant": ("exit 3",)}.items():
        watch = lab.wait_state(name, "backoff", "failed")
        for word in words:
            contains(lab.ctl("why", name).out, word, f"why {name}")
        equal(lab.ctl("status", name).code, 1, f"status {name}")
        equal(watch["health"] == "ok", False, f"health of {name}")


def test_backoff_grows_and_is_visible(lab):
    lab.supvd(config=f"""
watches:
  w:
    start: sh -c 'date +%s%N >> @DIR@/times; exit 1'
    backoff: {{initial: 300ms, factor: 2, max: 1200ms, jitter: 0%}}
""")
    watch = lab.wait_state("w", "backoff")
    equal(watch["pending"]["waiting_for"], "backoff")
    equal(bool(watch["pending"]["until"]), True, "a countdown")
    times = lab.dir / "times"
    wait_until(lambda: len(times.read_text().split()) >= 6, "six attempts")
    moments = [int(line) / 1e9 for line in times.read_text().split()]
    gaps = [b - a for a, b in zip(moments, moments[1:])]
    equal(gaps[0] < 0.25, True, f"the first restart is at once: {gaps}")
    for gap, least in zip(gaps[1:], (0.3, 0.6, 1.2, 1.2)):
        equal(least * 0.9 <= gap <= least + 1.0, True, f"a gap of {least} s: {gaps}")
    lab.ctl("stop", "w").ok()
    equal(lab.watch("w")["state"], "stopped")


def test_flapping_fails_and_an_operator_clears_it(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W} --exit-after 50 --exit-code 1
    backoff: {{initial: 0s}}
    flapping: {{times: 3, within: 1m, retry_in: 10m}}
""")
    lab.wait_state("w", "failed")
    starts = len(lab.starts())
    equal(starts, 3, "starts before it gave up")
    contains(lab.ctl("why", "w").out, "flapping")
    equal(lab.ctl("status", "w").code, 1, "status")
    lab.ctl("start", "w", "--no-wait")
    wait_until(lambda: len(lab.starts()) > starts, "a start by hand")


def test_hooks_run_in_order(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W}
    dir: @DIR@
    hooks:
      before_start: sh -c 'echo before_start >> hooks'
      after_start: sh -c 'echo after_start >> hooks'
      before_stop: sh -c 'echo before_stop >> hooks'
      after_stop: sh -c 'echo after_stop >> hooks'
""")
    lab.wait_up("w")
    hooks = lab.dir / "hooks"
    wait_until(lambda: hooks.read_text().split() == ["before_start", "after_start"],
               lambda: hooks.read_text())
    lab.ctl("stop", "w").ok()
    wait_until(lambda: hooks.read_text().split()[2:] == ["before_stop", "after_stop"],
               lambda: hooks.read_text())


def test_a_failing_before_start_is_a_failed_start(lab):
    lab.supvd(config=f"""
watches:
  w:
    {W}
    hooks: {{before_start: "sh -c 'exit 7'"}}
""")
    lab.wait_state("w", "backoff", "failed")
    contains(lab.ctl("why", "w").out, "before_start")
    equal(lab.starts(), [], "starts")


def test_stop_sequence_walks_its_ladder(lab):
    watch = up(lab, f"{W} --note TSTP --note INT --ignore TERM\n"
               "stop_sequence: [TSTP 300ms, INT 300ms, TERM 300ms, KILL]")
    lab.ctl("stop", "w").ok()
    equal([line for line in lab.diary() if line.startswith("signal")],
          ["signal TSTP", "signal INT", "signal TERM"])
    equal(supv.alive(watch["pid"]), False, "alive")


def test_stop_command_never_changes_the_tracked_pid(lab):
    watch = up(lab, f"{W} --note USR1\nstop: sh -c 'kill -USR1 $(cat @DIR@/pid); kill -TERM "
               f"$(cat @DIR@/pid)'\nhooks: {{after_start: 'true'}}")
    lab.write("pid", str(watch["pid"]))
    lab.ctl("stop", "w").ok()
    contains(lab.diary(), "signal USR1")
    equal(supv.alive(watch["pid"]), False, "alive")
    equal(lab.watch("w")["pid"], None, "pid of a stopped watch")


def test_restart_command_keeps_the_process(lab):
    watch = up(lab, f"{W} --note USR1\nrestart: sh -c 'kill -USR1 $(cat @DIR@/pid)'")
    lab.write("pid", str(watch["pid"]))
    lab.ctl("restart", "w").ok()
    wait_until(lambda: "signal USR1" in lab.diary(), "the command's signal")
    equal(lab.watch("w")["pid"], watch["pid"], "the tracked pid")


def test_reload_by_signal_and_by_command(lab):
    watch = up(lab, f"{W} --note HUP\nreload: HUP")
    lab.ctl("reload", "w").ok()
    wait_until(lambda: "signal HUP" in lab.diary(), "HUP")
    equal(lab.watch("w")["pid"], watch["pid"], "pid after reload")
    lab.ctl("signal", "USR2", "w").ok()  # its default action ends the worker
    lab.wait_up("w", restarts=1)


def test_ready_kinds(lab):
    port = supv.free_port()
    lab.supvd(config=f"""
watches:
  notify: {{start: "@WORKER@ --witness @DIR@/notify.witness --pause 1500 --tell READY=1", ready: {{notify: true}}}}
  after: {{start: "@WORKER@ --witness @DIR@/after.witness", ready: {{after: 1500ms}}}}
  tcp: {{start: "@WORKER@ --witness @DIR@/tcp.witness --pause 1500 --listen {port}", ready: {{tcp: "127.0.0.1:{port}"}}}}
  file: {{start: "@WORKER@ --witness @DIR@/file.witness --pause 1500 --touch @DIR@/ready", ready: {{file: "@DIR@/ready"}}}}
  never: {{start: "@WORKER@ --witness @DIR@/never.witness", ready: {{notify: true}}, start_timeout: 1s}}
""")
    for name in ("notify", "after", "tcp", "file"):
        equal(lab.watch(name)["state"], "starting", name)
    for name in ("notify", "after", "tcp", "file"):
        lab.wait_up(name)
        equal(len(lab.starts(name)), 1, f"starts of {name}")
    lab.wait_state("never", "backoff", "failed")
    contains(lab.ctl("why", "never").out, "within 1s")


def test_watchdog_restarts_a_silent_process(lab):
    lab.supvd(config="""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --tell READY=1 --watchdog-for 2000
    ready: {notify: true}
    watchdog: 600ms
  faithful:
    start: @WORKER@ --witness @DIR@/f.witness --tell READY=1 --watchdog-for 1000000
    ready: {notify: true}
    watchdog: 600ms
""")
    watch = lab.wait_up("w", restarts=1)
    equal(watch["last_change"]["by"], "watchdog")
    equal(lab.watch("faithful")["restarts"], 0, "restarts of the faithful one")
    lab.wait_starts(1, "f")


def test_keepalive_false_and_exit_codes(lab):
    lab.supvd(config="""
watches:
  good: {start: "@WORKER@ --exit-after 1300", keepalive: false}
  bad: {start: "@WORKER@ --exit-after 1300 --exit-code 9", keepalive: false}
""")
    equal(lab.wait_state("good", "exited")["last_exit"]["code"], 0)
    equal(lab.wait_state("bad", "exited")["last_exit"]["code"], 9)
    contains(lab.ctl("why", "bad").out, "9")


def test_memory_and_cpu_conditions_restart(lab):
    lab.supvd(config="""
watches:
  fat:
    start: @WORKER@ --witness @DIR@/fat.witness --memory 60
    restart_if: [memory_usage: {above: 50MB, interval: 300ms, times: [3, 5]}]
  slim:
    start: @WORKER@ --witness @DIR@/slim.witness --memory 10
    restart_if: [memory_usage: {above: 50MB, interval: 300ms, times: [3, 5]}]
  busy:
    start: @WORKER@ --witness @DIR@/busy.witness --busy 600000
    restart_if: [cpu_usage: {above: 20%, interval: 500ms, times: 2}]
""")
    fat = lab.wait_watch("fat", lambda w: w["restarts"] >= 1, "restarted")
    equal(fat["last_change"]["by"], "condition")
    contains(fat["last_change"]["reason"], "memory_usage")
    busy = lab.wait_watch("busy", lambda w: w["restarts"] >= 1, "restarted")
    contains(busy["last_change"]["reason"], "cpu_usage")
    equal(lab.watch("slim")["restarts"], 0, "restarts of the slim one")
    equal(lab.watch("slim")["rss_bytes"] > 10_000_000, True, "rss of the tree is shown")


def test_nginx_binary_upgrade_moves_the_pid(lab):
    if not os.path.exists("/usr/sbin/nginx"):
        raise supv.Skip("nginx is not installed")
    port = supv.free_port()
    lab.write("nginx.conf", f"pid {lab.dir}/nginx.pid; error_log {lab.dir}/nginx.err; events {{}}\n"
              f"http {{ access_log off; server {{ listen 127.0.0.1:{port}; }} }}\n")
    for made in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (lab.dir / made).mkdir()
    lab.supvd(config=f"""
watches:
  w:
    dir: @DIR@
    pid_file: nginx.pid
    start: /usr/sbin/nginx -c @DIR@/nginx.conf
    stop_sequence: [QUIT 10s, KILL]
""")
    first = int(wait_until(lambda: (lab.dir / "nginx.pid").exists() and
                           (lab.dir / "nginx.pid").read_text().strip(), "nginx.pid"))
    lab.wait_watch("w", lambda w: w["state"] == "up" and w["pid"] == first, "tracked")
    lab.ctl("signal", "USR2", "w").ok()
    second = wait_until(lambda: (lab.dir / "nginx.pid").exists() and (
        lambda pid: pid if pid and int(pid) != first else None)(
            (lab.dir / "nginx.pid").read_text().strip()), "the new master")
    os.kill(first, signal.SIGQUIT)
    lab.wait_watch("w", lambda w: w["pid"] == int(second) and w["state"] == "up",
                   "the new master is followed")
    equal(lab.watch("w")["restarts"], 0, "restarts")
    lab.ctl("stop", "w").ok()
    equal(supv.alive(int(second)), False, "nginx alive")


def test_descriptors_do_not_leak_into_workers(lab):
    up(lab, f"{W} --describe @DIR@/self")
    lab.ctl("restart", "w").ok()
    descriptors = [line.split()[1] for line in (lab.dir / "self").read_text().splitlines()
                   if line.startswith("fd ")]
    equal(set(descriptors) - {"3"}, {"0", "1", "2"}, "descriptors (3 is its witness)")


supv.main(globals())
