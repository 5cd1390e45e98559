"""A full disk stops no worker and loses no intent."""
import os
import signal

import supv
from supv import equal, wait_until


def mount(lab, path, size):
    """A tmpfs of `size`; gone with the laboratory."""
    if os.geteuid() != 0:
        raise supv.Skip("a small file system needs root")
    path.mkdir(exist_ok=True)
    if lab.run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path).code:
        raise supv.Skip("this machine does not let tests mount a tmpfs")
    lab.closers.append(lambda: lab.run("umount", "-l", path))


def fill(path):
    with open(path / "ballast", "ab") as ballast:
        try:
            while True:
                ballast.write(b"x" * 65536)
                ballast.flush()
        except OSError:
            pass


TALKER = """
watches:
  w:
    start: sh -c 'echo begun; i=0; while :; do i=$((i+1)); echo "line $i" || exit 5; sleep 0.002; done'
  v:
    start: @WORKER@ --witness @DIR@/v.witness
"""


def test_logs_on_a_full_disk(lab):
    mount(lab, lab.logs, "256k")
    lab.supvd(config=TALKER)
    pid = lab.wait_up("w")["pid"]
    wait_until(lambda: "begun" in lab.log_text("w"), "output")
    fill(lab.logs)
    lab.ctl("restart", "v").ok()
    equal(lab.watch("w")["pid"], pid, "the talker goes on")
    wait_until(lambda: lab.watch("w")["warnings"] or "No space" in lab.log_text(),
               lambda: f"a notice about the full disk; {lab.watch('w')}", 30)
    (lab.logs / "ballast").unlink()
    size = len(lab.log_text("w"))
    wait_until(lambda: len(lab.log_text("w")) > size + 100, "logging goes on by itself")
    equal(lab.watch("w")["pid"], pid, "the talker's pid")
    equal(lab.watch("w")["restarts"], 0)


def test_state_on_a_full_disk(lab):
    mount(lab, lab.state, "256k")
    lab.supvd(config=TALKER)
    lab.wait_up("v")
    lab.ctl("stop", "v").ok()
    fill(lab.state)
    lab.ctl("restart", "w")  # may say that it could not be recorded, but must not harm
    pid = lab.wait_up("w")["pid"]
    os.kill(lab.role("brain"), signal.SIGKILL)
    lab.wait_state("v", "stopped")
    equal(lab.watch("w")["pid"], pid, "pid of the survivor")
    os.kill(pid, signal.SIGKILL)
    lab.wait_up("w", other_than=pid)
    equal(lab.watch("v")["desired"], "stopped", "intent")
    (lab.state / "ballast").unlink()
    lab.ctl("start", "v").ok()
    os.kill(lab.role("brain"), signal.SIGKILL)
    lab.wait_up("v")


def test_runtime_directory_on_a_full_disk(lab):
    mount(lab, lab.socket.parent, "8m")
    lab.supvd(config=TALKER)
    pid = lab.wait_up("v")["pid"]
    fill(lab.socket.parent)
    os.kill(pid, signal.SIGKILL)  # records are preallocated: a restart needs no space
    lab.wait_up("v", other_than=pid)
    os.kill(lab.role("brain"), signal.SIGKILL)
    lab.wait_up("v")
    lab.never_two("v")
    equal(len(lab.starts("v")), 2)


supv.main(globals())
