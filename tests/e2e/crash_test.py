"""supvd may die: what runs stays, nothing runs twice, and what an operator said still holds."""
import os
import random
import signal
import subprocess
import time

import supv
from supv import contains, equal, wait_until

MANY = "watches:" + "".join(f"""
  w{i}:
    start: @WORKER@ --witness @DIR@/w{i}.witness
""" for i in range(8))


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def all_up(lab, count=8, deadline=supv.PATIENCE):
    return [lab.wait_up(f"w{i}", deadline)["pid"] for i in range(count)]


def kill_keeper(lab):
    keeper = lab.keeper()
    kill(keeper)
    wait_until(lambda: not supv.alive(keeper), "the end of the keeper")


def test_the_brain_in_a_loop(lab):
    lab.supvd(config=MANY)
    pids = all_up(lab)
    for _ in range(30):
        brain = lab.role("brain")
        kill(brain)
        wait_until(lambda: not supv.alive(brain), "its end")
    equal(all_up(lab), pids, "pids after 30 brains")
    for i in range(8):
        equal(lab.watch(f"w{i}")["restarts"], 0, f"restarts of w{i}")
        lab.wait_starts(1, f"w{i}")


def test_exit_status_survives_the_brains_death(lab):
    lab.supvd(config="""
watches:
  w: {start: "@WORKER@ --witness @DIR@/w.witness --note USR1 --exit-code 17", keepalive: false}
  v: {start: "@WORKER@ --witness @DIR@/v.witness"}
""")
    worker = lab.wait_up("w")["pid"]
    brain = lab.role("brain")
    os.kill(brain, signal.SIGSTOP)
    os.kill(worker, signal.SIGTERM)
    wait_until(lambda: not supv.alive(worker), "the worker's end")
    kill(brain)
    watch = lab.wait_state("w", "exited")
    equal((watch["last_exit"]["code"], watch["last_exit"]["signal"]), (17, None))


def test_a_death_while_the_brain_is_dead_is_answered_once(lab):
    lab.supvd(config=MANY)
    pids = all_up(lab)
    brain = lab.role("brain")
    os.kill(brain, signal.SIGSTOP)
    for pid in pids[:4]:
        kill(pid)
    kill(brain)
    for i in range(4):
        lab.wait_up(f"w{i}", restarts=1)
        lab.wait_starts(2, f"w{i}")
        lab.never_two(f"w{i}")
    equal(all_up(lab)[4:], pids[4:], "the others' pids")


def test_keeper_killed_then_supvd_adopts(lab):
    lab.supvd(config=MANY)
    pids = all_up(lab)
    kill_keeper(lab)
    equal([supv.alive(pid) for pid in pids], [True] * 8, "workers outlive the keeper")
    lab.supvd()
    equal(all_up(lab), pids, "adopted pids")
    kill(pids[0])
    lab.wait_up("w0", other_than=pids[0], restarts=1)
    exit_seen = lab.watch("w0")["last_exit"]
    equal(exit_seen["code"], None, "an exit status that nobody could see")
    lab.ctl("stop", "w1").ok()
    equal(supv.alive(pids[1]), False, "an adopted worker alive after stop")
    for i in range(8):
        lab.never_two(f"w{i}")


def test_dead_during_the_outage_is_started_again(lab):
    lab.supvd(config=MANY)
    pids = all_up(lab)
    kill_keeper(lab)
    kill(pids[3])
    lab.supvd()
    lab.wait_up("w3", other_than=pids[3])
    lab.wait_starts(2, "w3")
    equal([pid for i, pid in enumerate(all_up(lab)) if i != 3],
          [pid for i, pid in enumerate(pids) if i != 3])


def test_operator_intent_survives(lab):
    lab.supvd(config=MANY)
    all_up(lab)
    lab.ctl("stop", "w0").ok()
    lab.ctl("unmonitor", "w1").ok()
    lab.ctl("hold", "w2", "--for", "30m", "--reason", "migration").ok()

    def intact(when):
        lab.wait_state("w0", "stopped")
        equal(lab.watch("w0")["desired"], "stopped", f"w0 {when}")
        equal(lab.watch("w1")["state"], "unmonitored", f"w1 {when}")
        equal((lab.watch("w2")["hold"] or {}).get("reason"), "migration", f"w2 {when}")
        equal(len(lab.starts("w0")), 1, f"starts of w0 {when}")

    kill(lab.role("brain"))
    intact("after the brain's death")
    kill_keeper(lab)
    result = lab.supvd()
    contains(result.out + result.err, "w0", "supvd says what stays stopped")
    intact("after the keeper's death")
    lab.ctl("terminate").ok()
    lab.supvd()
    wait_until(lambda: lab.watch("w3")["state"] == "up", "the others")
    intact("after terminate and a new start")


def test_a_restart_is_answered_once_though_the_brain_dies(lab):
    lab.supvd(config="""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --ignore TERM
    stop_sequence: [TERM 1s, KILL]
""")
    lab.wait_up("w")
    client = subprocess.Popen([supv.BUILD / "supvctl", "restart", "w"], env=lab.env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: "signal TERM" in lab.diary(), "the restart under way")
    kill(lab.role("brain"))
    out, _ = client.communicate(timeout=40)
    equal(client.returncode, 0, out)
    lab.wait_starts(2)
    lab.never_two()
    equal(lab.watch("w")["restarts"], 1)


def test_restarts_under_a_dying_brain(lab):
    """Commands while the brain is shot again and again: each is done exactly once."""
    lab.supvd(config=MANY)
    all_up(lab)
    chance = random.Random(7)
    for round_ in range(1, 11):
        client = subprocess.Popen([supv.BUILD / "supvctl", "restart", "w0"], env=lab.env,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        moment = time.monotonic() + chance.uniform(0, 0.03)
        wait_until(lambda: time.monotonic() >= moment, "the chosen moment")
        kill(lab.role("brain"))
        out, _ = client.communicate(timeout=40)
        equal(client.returncode, 0, f"round {round_}: {out}")
        equal(lab.wait_up("w0")["restarts"], round_, f"restarts in round {round_}")
        lab.wait_starts(round_ + 1, "w0")
    lab.never_two("w0")


def test_log_lines_survive_every_death_but_the_disks(lab):
    lab.supvd(config="""
watches:
  w:
    start: sh -c 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "line $i"; sleep 0.001; done; exec sleep 1000'
""")
    chance = random.Random(11)
    for _ in range(6):
        moment = time.monotonic() + chance.uniform(0.1, 0.4)
        wait_until(lambda: time.monotonic() >= moment, "the chosen moment")
        kill(lab.role(chance.choice(["brain", "scribe"])))
    wait_until(lambda: "line 3000\n" in lab.log_text("w"), "the last line", 60)
    lines = [line for line in lab.log_text("w").splitlines() if line.startswith("line ")]
    seen = {int(line.split()[1]) for line in lines}
    equal(sorted(set(range(1, 3001)) - seen), [], "lost lines")
    equal(lab.watch("w")["restarts"], 0, "restarts")


def test_output_survives_the_keeper(lab):
    lab.supvd(config="""
watches:
  w:
    start: sh -c 'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo "line $i" || exit 5; sleep 0.001; done; exec sleep 1000'
""")
    wait_until(lambda: "line 100\n" in lab.log_text("w"), "output")
    pid = lab.watch("w")["pid"]
    kill_keeper(lab)
    lab.supvd()
    wait_until(lambda: "line 2000\n" in lab.log_text("w"), "the last line", 60)
    equal(lab.watch("w")["pid"], pid, "the worker was disturbed")


def test_courier_and_scribe_come_back(lab):
    lab.supvd(config=MANY)
    pids = all_up(lab)
    for role in ("scribe",):
        old = lab.role(role)
        kill(old)
        wait_until(lambda: lab.role(role) != old, f"a new {role}")
    equal(all_up(lab), pids)


def test_twenty_supvd_at_once_one_survives(lab):
    lab.config(MANY)
    clients = [subprocess.Popen(lab.daemon_args(), env=lab.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
               for _ in range(20)]
    codes = [(client.communicate(timeout=60), client.returncode)[1] for client in clients]
    equal(codes.count(0), 1, f"successful starts {codes}")
    all_up(lab)
    for i in range(8):
        lab.wait_starts(1, f"w{i}")
        lab.never_two(f"w{i}")


def test_a_watch_removed_while_down_is_stopped_at_the_start(lab):
    lab.supvd(config=MANY)
    pids = all_up(lab)
    lab.ctl("quit").ok()
    wait_until(lambda: lab.ctl("status").code == 7, "the end of supvd")
    lab.supvd(config=MANY.split("  w7:")[0])
    wait_until(lambda: not supv.alive(pids[7]), "the end of the removed watch's worker")
    equal(all_up(lab, 7), pids[:7])


def test_a_frozen_brain_does_not_hang_the_client_for_ever(lab):
    lab.supvd(config=MANY)
    pids = all_up(lab)
    brain = lab.role("brain")
    os.kill(brain, signal.SIGSTOP)
    began = time.monotonic()
    result = lab.ctl("status", timeout=30)
    equal(result.code, 7, "exit code")
    equal(time.monotonic() - began < 15, True, "an answer in time")
    os.kill(brain, signal.SIGCONT)
    equal(all_up(lab), pids)


def test_term_without_a_brain(lab):
    lab.supvd(config=MANY)
    pids = all_up(lab)
    keeper, brain = lab.keeper(), lab.role("brain")
    os.kill(brain, signal.SIGSTOP)
    os.kill(keeper, signal.SIGTERM)
    wait_until(lambda: not supv.alive(keeper), "the end of the keeper", 40)
    equal([supv.alive(pid) for pid in pids], [False] * 8, "workers alive")


def test_the_brains_death_is_no_load(lab):
    """An operator is in the middle of editing when the brain dies."""
    lab.supvd(config=MANY)
    pids = all_up(lab)
    lab.config(MANY.replace("w0.witness", "w0.witness --note USR1") + "  w8: {nonsense: 1}\n")
    kill(lab.role("brain"))
    equal(all_up(lab), pids, "pids under the configuration in force")
    lab.config(MANY.replace("w0.witness", "w0.witness --note USR1"))
    kill(lab.role("brain"))
    equal(all_up(lab), pids, "pids under the configuration in force")
    lab.ctl("load").ok()
    lab.wait_up("w0", other_than=pids[0])
    equal(all_up(lab)[1:], pids[1:], "the others")


PAIR = """watches:
  w0: {start: "@WORKER@ --witness @DIR@/w0.witness"}
"""
KEPT = """  kept:
    start: sh -c 'i=0; while :; do i=$((i+1)); echo "line $i"; sleep 0.05; done'
"""


def another_brain(lab):
    brain = lab.role("brain")
    kill(brain)
    wait_until(lambda: not supv.alive(brain), "its end")
    lab.role("brain")


def names(lab):
    return sorted(watch["name"] for watch in lab.status()["watches"])


def hang_up(lab, loads):
    """Asks for a load as scripts do, and waits until it is in force: `loads` says so."""
    os.kill(lab.keeper(), signal.SIGHUP)
    wait_until(loads, "the load")


def lines_go_on(lab, name):
    before = len(lab.log_text(name))
    wait_until(lambda: len(lab.log_text(name)) > before, f"more output of {name}")


def test_what_a_load_keeps_survives_the_brain(lab):
    """HUP keeps a watch that no file names any more; later brains know no less."""
    lab.supvd(config=PAIR + KEPT)
    pid = lab.wait_up("kept")["pid"]
    lab.config(PAIR + "  w1: {start: '@WORKER@ --witness @DIR@/w1.witness'}\n")
    hang_up(lab, lambda: "w1" in names(lab))

    def intact(when, others):
        watch = lab.wait_up("kept")
        equal((watch["pid"], watch["restarts"]), (pid, 0), f"the kept watch {when}")
        equal(names(lab), ["kept", *others], f"the watches {when}")
        lines_go_on(lab, "kept")

    intact("after the load", ["w0", "w1"])
    another_brain(lab)
    intact("after a brain's death", ["w0", "w1"])
    lab.config(PAIR + "  w2: {start: '@WORKER@ --witness @DIR@/w2.witness'}\n")
    lab.ctl("load", "--missing", "keep").ok()
    more = lab.write("more.watch.yaml", "watches: {w3: {start: sleep 1000}}\n")
    lab.ctl("load", more).ok()
    for death in range(2):
        another_brain(lab)
        intact(f"after two more loads and {death + 1} deaths", ["w0", "w1", "w2", "w3"])
    brain = lab.role("brain")
    os.kill(lab.keeper(), signal.SIGUSR2)
    wait_until(lambda: not supv.alive(brain), "the re-execution")
    intact("after a re-execution", ["w0", "w1", "w2", "w3"])
    equal(len(lab.starts("w1")), 1, "starts of the other kept watch")
    kill(pid)
    lab.wait_up("kept", other_than=pid, restarts=1)
    lab.ctl("load").ok()
    wait_until(lambda: names(lab) == ["w0", "w2", "w3"], "what no file names is gone")
    another_brain(lab)
    equal(names(lab), ["w0", "w2", "w3"], "gone for good")


def test_what_a_load_left_alone_stays_so(lab):
    lab.supvd(config=PAIR + KEPT)
    pid = lab.wait_up("kept")["pid"]
    lab.config(PAIR)
    lab.ctl("load", "--missing", "unmonitor").ok()
    for _ in range(2):
        another_brain(lab)
        watch = lab.watch("kept")
        equal((watch["state"], watch["pid"]), ("unmonitored", pid), "after a brain's death")
        lines_go_on(lab, "kept")
    lab.config(PAIR + KEPT)
    lab.ctl("load").ok()
    another_brain(lab)
    lab.ctl("monitor", "kept").ok()
    equal(lab.watch("kept")["pid"], pid, "named again")


def test_a_new_supvd_keeps_nothing_that_no_file_names(lab):
    lab.supvd(config=PAIR + KEPT)
    pid = lab.wait_up("kept")["pid"]
    lab.config(PAIR)
    lab.ctl("load", "--missing", "keep").ok()
    kill_keeper(lab)
    equal(supv.alive(pid), True, "the worker outlives the keeper")
    lab.supvd()
    wait_until(lambda: not supv.alive(pid), "the end of what no file names")
    equal(names(lab), ["w0"])


def test_a_keepalive_outlives_the_keeper(lab):
    lab.supvd(config="""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --tell READY=1 --watchdog-for 1000000
    ready: {notify: true}
    watchdog: 1s
""")
    pid = lab.wait_up("w")["pid"]
    kill_keeper(lab)
    lab.supvd()
    lab.wait_up("w")
    adopted = time.monotonic()
    wait_until(lambda: time.monotonic() > adopted + 3.5, "three watchdog times")
    equal((lab.watch("w")["pid"], lab.watch("w")["state"]), (pid, "up"), "after the adoption")
    lab.wait_starts(1)


def test_readiness_told_after_the_keepers_death_counts(lab):
    lab.supvd(config="""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --pause 3000 --tell READY=1
    ready: {notify: true}
    start_timeout: 20s
""")
    lab.wait_starts(1)
    kill_keeper(lab)
    lab.supvd()
    equal(lab.watch("w")["state"], "starting")
    lab.wait_up("w")
    lab.wait_starts(1)


supv.main(globals())
