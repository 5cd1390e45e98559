"""What the tests of plugins share: where the test plugins are, who their processes are, and how fast
supvd answers meanwhile."""
import json
import os
import socket
import time

import supv
from supv import wait_until

PLUGINS = supv.BUILD / "tests" / "e2e" / "plugins"


def all_processes():
    """Everything that this laboratory has started, wherever it went: the nursery adopts it."""
    return supv.descendants(os.getppid())


def hosts(name=""):
    """Processes of the plugin, and whatever they have forked: live ones of this laboratory."""
    return [pid for pid in all_processes()
            if supv.commandline(pid).startswith(f"supvd: host {name}") and supv.alive(pid)]


def host(name, other_than=()):
    """The one process of the plugin, when there is exactly one."""
    def single():
        found = hosts(name)
        return len(found) == 1 and found[0] not in other_than and found[0]
    return wait_until(single, lambda: f"one process of {name} besides {other_than}; {hosts(name)}")


def condition(lab, watch, identity):
    for one in lab.watch(watch).get("conditions", []):
        if one["id"] == identity:
            return one
    raise AssertionError(f"{watch} has no condition {identity}")


def wait_verdict(lab, watch, identity, verdict, reason="", deadline=supv.PATIENCE):
    """Until it has this verdict and a reason that contains the text; returns the condition."""
    seen = {}

    def holds():
        seen.update(condition(lab, watch, identity))
        return seen["verdict"] == verdict and reason in (seen["reason"] or "")

    wait_until(holds, lambda: f"{watch}: {identity} {verdict} {reason!r}; it is {seen}", deadline)
    return seen


def metric(lab, watch, identity, label):
    """The value, or None while there is none."""
    for one in condition(lab, watch, identity).get("metrics") or []:
        if one["label"] == label:
            return one["value"]
    return None


class Asker:
    """Asks for the status over one connection, and remembers how long each answer took."""

    def __init__(self, lab):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(supv.PATIENCE)
        self.socket.connect(str(lab.socket))
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.times = []

    def status(self):
        call = {"jsonrpc": "2.0", "id": 1, "method": "status", "params": {}}
        began = time.monotonic()
        self.socket.sendall(json.dumps(call).encode() + b"\n")
        answer = self.lines.readline()
        self.times.append(time.monotonic() - began)
        return json.loads(answer)["result"]

    def p99(self):
        return sorted(self.times)[int(len(self.times) * 0.99)]

    def close(self):
        self.lines.close()
        self.socket.close()
