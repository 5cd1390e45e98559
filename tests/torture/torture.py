"""Random kills under churn: nothing twice, nothing lost, everything up at the end.
   torture.py brain|keeper|family|workers
By environment: SUPV_TORTURE_SECONDS (15), SUPV_TORTURE_WATCHES (24), SUPV_TORTURE_SEED (printed)."""
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import supv  # noqa: E402
from supv import equal, wait_until  # noqa: E402

SECONDS = float(os.environ.get("SUPV_TORTURE_SECONDS", "15"))
WATCHES = int(os.environ.get("SUPV_TORTURE_WATCHES", "24"))
SEED = int(os.environ.get("SUPV_TORTURE_SEED", str(time.time_ns() % 1_000_000)))


def config(churn=True):
    """Short lives of many lengths, some with offspring, and a few that stay."""
    lines = ["watches:"]
    for i in range(WATCHES):
        life = f"--exit-after {15 + 37 * (i % 12)} --exit-code {i % 3}" if churn and i % 4 else ""
        lines.append(f"""  w{i}:
    start: @WORKER@ --witness @DIR@/w{i}.witness {life}
    backoff: {{initial: 0s, jitter: 0%}}
    stop_timeout: 2s""")
    return "\n".join(lines) + "\n"


class Torture:
    def __init__(self, lab):
        self.lab, self.chance, self.kills, self.commands = lab, random.Random(SEED), 0, 0
        self.keeper_file = lab.dir / "supvd.pid"
        self.clients = []

    def start(self):
        self.lab.supvd("-P", self.keeper_file)

    def keeper(self):
        return int(self.keeper_file.read_text())

    def brain(self):
        for pid in children(self.keeper()):
            if supv.commandline(pid).startswith("supvd: brain"):
                return pid
        return None

    def kill(self, *pids):
        for pid in pids:
            if pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                    self.kills += 1
                except ProcessLookupError:
                    pass

    def command(self):
        """Somebody types meanwhile; only that it ends is asked."""
        self.clients = [client for client in self.clients if client.poll() is None]
        if len(self.clients) < 4:
            verb = self.chance.choice(["restart", "stop", "start", "status"])
            name = f"w{self.chance.randrange(WATCHES)}"
            self.clients.append(subprocess.Popen(
                [supv.BUILD / "supvctl", "--timeout", "20s", verb, name], env=self.lab.env,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            self.commands += 1

    def bring_back(self):
        keeper = self.keeper()
        wait_until(lambda: not supv.alive(keeper), "the keeper's end")
        self.start()

    # --- one stroke of each kind ---
    def brain_stroke(self):
        self.kill(self.brain())

    def keeper_stroke(self):
        self.kill(self.keeper())
        self.bring_back()

    def family_stroke(self):
        keeper = self.keeper()
        pids = [pid for pid in [keeper, *children(keeper)]
                if supv.commandline(pid).startswith("supvd")]
        victims = [pid for pid in pids if self.chance.random() < 0.6]
        self.chance.shuffle(victims)
        self.kill(*victims)
        if keeper in victims:
            self.bring_back()

    def workers_stroke(self):
        name = f"w{self.chance.randrange(WATCHES)}"
        starts = self.lab.starts(name)
        if starts and supv.commandline(starts[-1]).startswith(supv.WORKER):
            self.kill(starts[-1])

    def run(self, victim):
        stroke = getattr(self, f"{victim}_stroke")
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            pause = time.monotonic() + self.chance.uniform(0, 0.02)
            wait_until(lambda: time.monotonic() >= pause, "the next stroke")
            stroke()
            if self.chance.random() < 0.2:
                self.command()

    def verify(self):
        lab = self.lab
        for client in self.clients:
            client.wait(timeout=60)
        lab.ctl("start", "--all", "--no-wait", timeout=90)
        for i in range(WATCHES):
            lab.never_two(f"w{i}")
        lab.config(config(churn=False))
        lab.ctl("load", timeout=120).ok()
        for i in range(WATCHES):
            lab.wait_up(f"w{i}", 60)
            lab.never_two(f"w{i}")
        tracked = sorted(watch["pid"] for watch in lab.status()["watches"])
        running = sorted(pid for pid in supv.parents() if supv.alive(pid) and
                         f"--witness {lab.dir}/" in supv.commandline(pid))
        equal(running, tracked, "the workers that run, and those that supvd knows")
        lab.ctl("terminate", timeout=60).ok()
        left = [pid for pid in supv.parents() if supv.alive(pid) and
                f"--witness {lab.dir}/" in supv.commandline(pid)]
        equal(left, [], "workers left after terminate")


def children(pid):
    try:
        return [int(child) for child in
                pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def torture(victim):
    def test(lab):
        lab.config(config())
        ordeal = Torture(lab)
        ordeal.start()
        began = time.monotonic()
        try:
            ordeal.run(victim)
            ordeal.verify()
        finally:
            starts = sum(len(lab.starts(f"w{i}")) for i in range(WATCHES))
            print(f"seed {SEED}: {ordeal.kills} kills of {victim}, {ordeal.commands} commands, "
                  f"{starts} starts of {WATCHES} watches in {time.monotonic() - began:.1f} s")
    return test


if __name__ == "__main__":
    kind = sys.argv.pop(1)
    supv.main({f"test_{kind}": torture(kind)})
