"""How supvd starts, refuses to start, hears signals and ends."""
import json
import os
import signal
import socket
import subprocess

import supv
from supv import contains, equal, wait_until

ONE = """
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness
"""


def test_background_start_never_races_status(lab):
    watches = "".join(f"""
  w{i}:
    start: @WORKER@ --witness @DIR@/w{i}.witness
""" for i in range(20))
    lab.supvd(config="watches:" + watches)
    for watch in lab.status()["watches"]:
        supv.equal(watch["state"] in ("starting", "up"), True, f"{watch['name']} launched")
        supv.equal(supv.alive(watch["pid"]), True, f"{watch['name']} runs")


def test_status_without_supvd_says_so(lab):
    result = lab.ctl("status").exits(7)
    contains(result.err + result.out, str(lab.socket))


def test_a_bad_configuration_starts_nothing(lab):
    result = lab.supvd(code=78, config="""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness
    stop_signall: TERM
  x:
    start: [1, {}]
    autostart: perhaps
""")
    text = result.out + result.err
    contains(text, f"{lab.config_file}:5:5: error: ")
    contains(text, "stop_signal")
    contains(text, f"{lab.config_file}:8:16: error: ")
    contains(text, "^")
    equal(lab.starts(), [], "starts")
    equal(lab.socket.exists(), False, "a socket")
    lab.ctl("status").exits(7)


def test_check_reports_without_side_effects(lab):
    lab.config(ONE)
    lab.run(supv.BUILD / "supvd", "--check", "-c", lab.config_file).ok()
    lab.ctl("check", lab.config_file).ok()
    lab.config(ONE + "    nosuch: 1\n")
    bad = lab.run(supv.BUILD / "supvd", "--check", "-c", lab.config_file).exits(78)
    contains(bad.out + bad.err, "test.watch.yaml:5:5: error: ")
    bad = lab.ctl("check", lab.config_file).exits(6)
    contains(bad.out + bad.err, "test.watch.yaml:5:5: error: ")
    equal((lab.starts(), lab.socket.exists()), ([], False), "side effects")


def test_a_second_supvd_is_refused_with_the_firsts_pid(lab):
    lab.supvd(config=ONE)
    keeper = lab.keeper()
    again = lab.run(*lab.daemon_args())
    contains(again.out + again.err, str(keeper))
    contains(again.out + again.err, "supvctl load")
    equal(again.code == 0, False, "the second start succeeded")
    args = lab.daemon_args()
    args[args.index("--socket") + 1] = str(lab.dir / "other.sock")
    other = lab.run(*args)  # the same state directory is the same instance
    contains(other.out + other.err, str(keeper))
    equal(other.code == 0, False, "a second supvd on one state directory")
    lab.wait_starts(1)
    lab.never_two()


def test_term_stops_every_watch_then_ends(lab):
    child = lab.foreground(config=ONE)
    worker = lab.wait_up("w")["pid"]
    child.send_signal(signal.SIGTERM)
    equal(child.wait(timeout=20), 0, "exit code")
    equal(supv.alive(worker), False, "worker alive")
    contains(lab.diary(), "signal TERM")
    equal(lab.socket.exists(), False, "the socket remains")


def test_int_does_the_same(lab):
    child = lab.foreground(config=ONE)
    worker = lab.wait_up("w")["pid"]
    child.send_signal(signal.SIGINT)
    equal(child.wait(timeout=20), 0, "exit code")
    equal(supv.alive(worker), False, "worker alive")


def test_hup_rereads_the_configuration(lab):
    lab.supvd(config=ONE)
    first = lab.wait_up("w")
    lab.config(ONE + "  second:\n    start: @WORKER@ --witness @DIR@/second.witness\n")
    os.kill(lab.keeper(), signal.SIGHUP)
    wait_until(lambda: len(lab.status()["watches"]) == 2, "the second watch")
    lab.wait_up("second")
    equal(lab.watch("w")["pid"], first["pid"], "pid of the unchanged watch")
    lab.config(ONE + "  third: {}\n")
    os.kill(lab.keeper(), signal.SIGHUP)
    wait_until(lambda: "test.watch.yaml:5" in lab.log_text(), "the diagnostic in supvd's log")
    equal(sorted(w["name"] for w in lab.status()["watches"]), ["second", "w"])


def test_usr1_reopens_log_files(lab):
    lab.supvd(config=f"""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --say first --note USR2
    reload: USR2
""")
    lab.wait_up("w")
    wait_until(lambda: "first" in lab.log_text("w"), "the worker's output")
    for name in ("w", "supvd"):
        os.rename(lab.logs / f"{name}.log", lab.logs / f"{name}.log.1")
    os.kill(lab.keeper(), signal.SIGUSR1)
    wait_until(lambda: (lab.logs / "w.log").exists() and (lab.logs / "supvd.log").exists(),
               "new log files")
    lab.ctl("restart", "w").ok()
    wait_until(lambda: "first" in lab.log_text("w"), "output in the new file")


def test_usr2_reexecutes_and_keeps_every_child(lab):
    lab.supvd(config=ONE)
    before = lab.wait_up("w")
    keeper, brain = lab.keeper(), lab.role("brain")
    os.kill(keeper, signal.SIGUSR2)
    wait_until(lambda: not supv.alive(brain), "the end of the old brain")
    wait_until(lambda: lab.ctl("status").code == 0, "an answer afterwards")
    equal(lab.watch("w")["pid"], before["pid"], "pid of the worker")
    equal(lab.watch("w")["restarts"], 0, "restarts")
    lab.ctl("restart", "w").ok()
    lab.wait_starts(2)
    lab.never_two()


def test_pid_file_names_the_keeper(lab):
    lab.supvd("-P", lab.dir / "supvd.pid", config=ONE)
    equal(int((lab.dir / "supvd.pid").read_text()), lab.keeper())


def test_an_exec_that_fails_is_named_and_does_not_fail_the_start(lab):
    text = ONE + "  ghost:\n    start: /no/such/program\n"
    result = lab.supvd(config=text)
    contains(result.out + result.err, "ghost")
    lab.wait_up("w")
    lab.ctl("terminate").ok()
    result = lab.run(*lab.daemon_args("--wait-ready")).exits(1)
    contains(result.out + result.err, "ghost")


def test_wait_ready_waits_for_all(lab):
    lab.supvd("--wait-ready", config=ONE)
    equal(lab.watch("w")["state"], "up")


def test_terminate_stops_and_quit_leaves(lab):
    lab.supvd(config=ONE)
    pid = lab.wait_up("w")["pid"]
    keeper = lab.keeper()
    lab.ctl("quit").ok()
    wait_until(lambda: not supv.alive(keeper), "the end of supvd")
    equal(supv.alive(pid), True, "worker alive after quit")
    lab.supvd()
    equal(lab.wait_up("w")["pid"], pid, "pid after adoption")
    keeper = lab.keeper()
    lab.ctl("terminate").ok()
    wait_until(lambda: not supv.alive(keeper), "the end of supvd")
    equal(supv.alive(pid), False, "worker alive after terminate")
    lab.wait_starts(1)


def test_systemd_is_told_ready_and_stopping(lab):
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(lab.dir / "notify"))
    told.settimeout(supv.PATIENCE)
    lab.config(ONE)
    args = [arg for arg in lab.daemon_args()]
    child = subprocess.Popen(args, env={**lab.env, "NOTIFY_SOCKET": str(lab.dir / "notify"),
                                        "WATCHDOG_USEC": "1000000"}, stdin=subprocess.DEVNULL)
    heard = ""
    while "READY=1" not in heard:
        heard += told.recv(4096).decode() + "\n"
    equal(child.poll(), None, "supvd under systemd stays in the foreground")
    while heard.count("WATCHDOG=1") < 2:
        heard += told.recv(4096).decode() + "\n"
    lab.wait_up("w")
    child.send_signal(signal.SIGTERM)
    while "STOPPING=1" not in heard:
        heard += told.recv(4096).decode() + "\n"
    equal(child.wait(timeout=20), 0, "exit code")
    pid = lab.starts()[0]
    equal(supv.alive(pid), False, "worker alive")


def as_pid_1(lab, config, *args):
    if os.geteuid() != 0:
        raise supv.Skip("a pid namespace needs root")
    lab.config(config)
    child = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
                              *lab.daemon_args(*args)], env=lab.env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: lab.ctl("status").code != 7, "PID 1 answers")
    return child


def test_pid_1_exits_with_an_essential_watchs_code(lab):
    child = as_pid_1(lab, """
watches:
  other:
    start: @WORKER@ --witness @DIR@/other.witness
  main:
    start: @WORKER@ --witness @DIR@/w.witness --exit-after 1500 --exit-code 42
    essential: true
    keepalive: false
""")
    equal(child.wait(timeout=30), 42, "exit code of PID 1")
    equal(len(lab.starts()), 1, "starts of the essential watch")
    contains(lab.diary("other"), "signal TERM")


def test_pid_1_stays_reaps_orphans_and_stops_in_order(lab):
    child = as_pid_1(lab, """
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness
  orphans:
    start: sh -c '(sh -c "exit 3" & exec sh -c "exit 0") ; exec @WORKER@ --witness @DIR@/o.witness'
""")
    lab.wait_up("w")
    lab.wait_up("orphans")

    def zombies():
        return [pid for pid in supv.descendants(child.pid)
                if not supv.alive(pid) and supv.commandline(pid) == ""]

    wait_until(lambda: not zombies(), "no zombies under PID 1")
    wait_until(lambda: lab.starts("o"), "the worker behind the orphans")
    init = supv.descendants(child.pid)[0]
    os.kill(init, signal.SIGTERM)
    equal(child.wait(timeout=20), 0, "exit code")
    contains(lab.diary(), "signal TERM")


def test_log_lines_are_json_on_request(lab):
    lab.supvd("--log-format", "json", "--log-level", "debug", config=ONE)
    lab.wait_up("w")
    lines = wait_until(lambda: lab.log_text().splitlines(), "log lines")
    for line in lines:
        json.loads(line)


def test_version_and_usage(lab):
    for program in ("supvd", "supvctl"):
        contains(lab.run(supv.BUILD / program, "--version").ok().out, "0.1.0")
        lab.run(supv.BUILD / program, "--help").ok()
        lab.run(supv.BUILD / program, "--nosuch").exits(2)
    lab.ctl("restart").exits(2)
    lab.ctl("nosuch").exits(2)


def test_a_directory_of_watch_files(lab):
    for name in ("a", "b"):
        lab.write(f"etc/{name}.watch.yaml", f"""
watches:
  {name}:
    start: {supv.WORKER} --witness {lab.dir}/{name}.witness
""")
    lab.write("etc/ignored.yaml", "not: [a, watch, file")
    args = lab.daemon_args()
    args[args.index("-c") + 1] = str(lab.dir / "etc")
    lab.run(*args).ok()
    equal(sorted(w["name"] for w in lab.status()["watches"]), ["a", "b"])
    lab.write("etc/c.watch.yaml", f"watches:\n  c:\n    start: {supv.WORKER} --witness "
              f"{lab.dir}/c.witness\n")
    lab.ctl("load").ok()
    lab.wait_up("c")


supv.main(globals())
