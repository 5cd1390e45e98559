"""What the end-to-end tests stand on: a laboratory per test, with its own directories, ports and
supvd, out of which nothing survives. A test is a function `test_NAME(lab)`; a program of them ends
with `supv.main(globals())`. Standard library only."""
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("SUPV_BUILD_DIR", HERE.parent.parent / "build" / "tests"))
WORKER = os.environ.get("SUPV_WORKER", str(BUILD / "tests" / "e2e" / "worker"))
SKIPPED = 77
PATIENCE = float(os.environ.get("SUPV_TEST_PATIENCE", "20"))  # seconds a condition may take


class Skip(Exception):
    """The machine lacks what the test needs; the text says what."""


def wait_until(condition, what, deadline=PATIENCE):
    """Polls until `condition()` is true and returns its value; fails with `what` at the deadline."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            shown = what() if callable(what) else what
            raise AssertionError(f"waited {deadline:g} s in vain for: {shown}")
        time.sleep(0.01)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def equal(actual, expected, what=""):
    if actual != expected:
        raise AssertionError(f"{what + ': ' if what else ''}expected {expected!r}, got {actual!r}")


def contains(text, part, what=""):
    if part not in text:
        raise AssertionError(f"{what + ': ' if what else ''}no {part!r} in {text!r}")


def alive(pid):
    """True while a process `pid` exists and is not a zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def parents():
    """pid -> parent pid of every process."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = pathlib.Path(f"/proc/{entry}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[int(entry)] = int(text.rsplit(")", 1)[1].split()[1])
    return found


def descendants(root):
    tree, found, todo = parents(), [], [root]
    while todo:
        above = todo.pop()
        below = [pid for pid, parent in tree.items() if parent == above]
        found += below
        todo += below
    return found


def commandline(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(
            errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Result:
    """What a program said."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"

    def ok(self):
        return self.exits(0)

    def exits(self, *codes):
        if self.code not in codes:
            raise AssertionError(f"expected exit {' or '.join(map(str, codes))}: {self!r}")
        return self

    @property
    def json(self):
        return json.loads(self.out)


class Lab:
    """One test's directories and everything it starts."""

    def __init__(self, name):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"supv-e2e-{name[:24]}-"))
        os.chmod(self.dir, 0o755)  # workers under other users read their programs from here
        self.socket = self.dir / "run" / "supvd.sock"
        self.state, self.logs = self.dir / "state", self.dir / "log"
        for made in (self.socket.parent, self.state, self.logs):
            made.mkdir()
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith(("CONSUL_", "SUPV_", "NOTIFY_"))}
        self.env.update(SUPV_SOCKET=str(self.socket), NO_COLOR="1", LAB=str(self.dir),
                        WORKER=WORKER)
        self.config_file = self.dir / "test.watch.yaml"
        self.closers = []

    # --- files ---------------------------------------------------------------------------------
    def write(self, name, text, mode=0o644):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def config(self, text):
        """Writes the watch file; @DIR@ and @WORKER@ stand for the lab and the test worker."""
        text = text.replace("@DIR@", str(self.dir)).replace("@WORKER@", WORKER)
        self.config_file.write_text(text)
        return self.config_file

    # --- supvd ---------------------------------------------------------------------------------
    def run(self, *args, timeout=60, env=None, **options):
        return Result(subprocess.run([str(arg) for arg in args], capture_output=True, text=True,
                                     timeout=timeout, env={**self.env, **(env or {})},
                                     cwd=options.pop("cwd", self.dir), errors="replace",
                                     stdin=subprocess.DEVNULL, **options))

    def daemon_args(self, *args):
        return [str(part) for part in
                (BUILD / "supvd", "-c", self.config_file, "--socket", self.socket, "--state-dir",
                 self.state, "--log-dir", self.logs, "-l", self.logs / "supvd.log", *args)]

    def supvd(self, *args, config=None, code=0, **options):
        """Starts supvd in the background, as god users do; it must exit with `code`."""
        if config is not None:
            self.config(config)
        return self.run(*self.daemon_args(*args), **options).exits(code)

    def foreground(self, *args, config=None, env=None, **options):
        """Starts `supvd -D` as a child and waits until its socket answers."""
        if config is not None:
            self.config(config)
        child = subprocess.Popen(self.daemon_args("-D", *args), env={**self.env, **(env or {})},
                                 cwd=self.dir, stdin=subprocess.DEVNULL, **options)
        wait_until(lambda: child.poll() is not None or self.ctl("version").code == 0 and
                   self.ctl("status").code != 7, "supvd -D answers")
        return child

    def ctl(self, *args, **options):
        return self.run(BUILD / "supvctl", *args, **options)

    def status(self):
        result = self.ctl("status", "--json")
        return result.exits(0, 1, 3, 4, 150, 151).json

    def watch(self, name):
        for watch in self.status()["watches"]:
            if watch["name"] == name:
                return watch
        raise AssertionError(f"status has no watch {name}")

    def wait_watch(self, name, check, what, deadline=PATIENCE):
        seen = {}

        def holds():
            seen.update(self.watch(name))
            return check(seen) and dict(seen)

        return wait_until(holds, lambda: f"{name}: {what}; it is {json.dumps(seen)}", deadline)

    def wait_up(self, name, deadline=PATIENCE, other_than=None, restarts=None):
        return self.wait_watch(
            name, lambda w: w["state"] == "up" and w["pid"] != other_than and
            (restarts is None or w["restarts"] == restarts),
            f"up{'' if restarts is None else f' after {restarts} restarts'}", deadline)

    def wait_state(self, name, *states, deadline=PATIENCE):
        return self.wait_watch(name, lambda w: w["state"] in states, " or ".join(states), deadline)

    def family(self):
        """role -> pids of supvd's own processes: keeper, brain, courier, scribe, dev."""
        keeper = self.keeper()
        roles = {"keeper": [keeper]}
        for pid in descendants(keeper):
            line = commandline(pid)
            if line.startswith("supvd: "):
                roles.setdefault(line.split()[1], []).append(pid)
        return roles

    def keeper(self):
        return self.status()["supvd"]["pid"]

    def role(self, name):
        def find():
            return self.family().get(name)
        return wait_until(find, lambda: f"a process titled 'supvd: {name}'; there are "
                          f"{[commandline(pid) for pid in descendants(self.keeper())]}")[0]

    def log_text(self, name="supvd"):
        path = self.logs / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # --- the test worker's diary ---------------------------------------------------------------
    def witness(self, name="w"):
        return self.dir / f"{name}.witness"

    def starts(self, name="w"):
        """Pids of all copies that ever ran, as the workers themselves wrote them."""
        return [int(line.split()[1]) for line in self.diary(name) if line.startswith("start ")]

    def diary(self, name="w"):
        path = pathlib.Path(f"{self.witness(name)}.diary")
        return path.read_text().splitlines() if path.exists() else []

    def never_two(self, name="w"):
        twins = [line for line in self.diary(name) if line.startswith("duplicate ")]
        equal(twins, [], f"copies of {name} that met another one")

    def wait_starts(self, count, name="w", deadline=PATIENCE):
        wait_until(lambda: len(self.starts(name)) >= count,
                   lambda: f"{count} starts of {name}; its diary is {self.diary(name)}", deadline)
        equal(len(self.starts(name)), count, f"starts of {name}")

    def marked(self, marker):
        """Live processes whose argv[0] is `marker`: what an escapee is known by."""
        return [pid for pid in parents() if commandline(pid).startswith(marker) and alive(pid)]

    def close(self):
        for closer in reversed(self.closers):
            closer()


# --- running ------------------------------------------------------------------------------------
def become_subreaper():
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def reap_all():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def clear_away():
    """Kills every descendant of this process, however it left its parents."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        reap_all()
        left = descendants(os.getpid())
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)


def story(lab):
    """What there is to see after a failure."""
    lines = []
    for log in sorted(lab.logs.glob("*.log")):
        tail = log.read_text(errors="replace").splitlines()[-40:]
        lines += [f"--- {log.name}"] + tail
    return "\n".join(lines)


def run_one(name, function):
    """In a process of its own: 0 passed, 77 skipped, 1 failed."""
    lab = Lab(name.removeprefix("test_"))
    try:
        function(lab)
        return 0
    except Skip as reason:
        print(f"SKIP: {reason}")
        return SKIPPED
    except BaseException:  # also KeyboardInterrupt: the laboratory is always cleared
        traceback.print_exc(file=sys.stdout)
        print(story(lab))
        return 1
    finally:
        sys.stdout.flush()
        lab.close()
        print_keep = os.environ.get("SUPV_TEST_KEEP")
        if not print_keep:
            remember_to_remove(lab.dir)


def remember_to_remove(directory):
    """The nursery removes it, after the last process that could write there."""
    pathlib.Path(os.environ["SUPV_NURSERY"]).write_text(str(directory))


def clear_cgroups(directory):
    """A killed keeper leaves its cgroups to its successor, and here is none."""
    own = next((line[3:].strip() for line in open("/proc/self/cgroup") if line.startswith("0::")), "")
    mounts = [line.split()[4] for line in open("/proc/self/mountinfo") if " - cgroup2 " in line]
    for place, _, _ in os.walk(directory) if mounts else ():
        about = os.stat(place)
        instance = f"{mounts[0]}{own}/supv-{about.st_dev:x}-{about.st_ino:x}"
        for cgroup, _, _ in os.walk(instance, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(cgroup)


def nursery(name, function, output):
    """Runs one test and ends everything that it left running."""
    become_subreaper()
    os.dup2(output, 1)
    os.dup2(output, 2)
    note = tempfile.NamedTemporaryFile(prefix="supv-nursery-")
    os.environ["SUPV_NURSERY"] = note.name
    test = os.fork()
    if test == 0:
        os._exit(run_one(name, function))
    code = None
    while code is None:
        pid, status = os.wait()
        if pid == test:
            code = os.waitstatus_to_exitcode(status)
    clear_away()
    directory = pathlib.Path(note.name).read_text()
    if directory:
        clear_cgroups(directory)
        shutil.rmtree(directory, ignore_errors=True)
    return code


def main(names):
    """Runs the tests named on the command line, or all; several at a time."""
    tests = {name: value for name, value in names.items() if name.startswith("test_")}
    wanted = [n for n in tests if not sys.argv[1:] or any(arg in n for arg in sys.argv[1:])]
    if not wanted:
        sys.exit("no such test")
    sys.stdout.reconfigure(line_buffering=True)
    jobs = int(os.environ.get("SUPV_TEST_JOBS", "3"))
    queue, running, codes = list(wanted), {}, {}
    while queue or running:
        while queue and len(running) < jobs:
            name = queue.pop(0)
            output = tempfile.TemporaryFile()
            child = os.fork()
            if child == 0:
                os._exit(nursery(name, tests[name], output.fileno()))
            running[child] = (name, output, time.monotonic())
        child, status = os.wait()
        name, output, began = running.pop(child)
        codes[name] = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
        verdict = {0: "ok", SKIPPED: "skipped"}.get(codes[name], "FAILED")
        print(f"{verdict:8}{name} ({time.monotonic() - began:.1f} s)")
        if text:
            print(text.rstrip())
    failed = [name for name, code in codes.items() if code not in (0, SKIPPED)]
    if failed:
        sys.exit(f"{len(failed)} of {len(codes)} failed: {' '.join(failed)}")
    if SKIPPED in codes.values():
        sys.exit(SKIPPED)
