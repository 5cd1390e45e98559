"""Conditions that ask: commands and servers, with everything that can go wrong with those."""
import http.server
import os
import pathlib
import re
import signal
import ssl
import subprocess
import threading
import time

import supv
from supv import contains, equal, wait_until

PLUGINS = pathlib.Path("/usr/lib/nagios/plugins")


class Server:
    """Answers by the path: /ok, /bad, /hang, /away (redirects to /ok), /echo (says the request)."""

    def __init__(self, lab, context=None):
        outer = self
        self.hanging = threading.Event()

        class Answers(http.server.BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                if self.path == "/hang":
                    outer.hanging.wait(60)
                    return
                code = {"/ok": 200, "/bad": 500, "/away": 302}.get(self.path, 200)
                said = "all is well" if self.path == "/ok" else \
                    f"{self.command} {self.headers.get('X-Token')} {body}"
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", "/ok")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said.encode())

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.server.daemon_threads = True
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        lab.closers.append(self.close)

    def close(self):
        self.hanging.set()
        self.server.shutdown()
        self.server.server_close()


def supervise(lab, conditions, more=""):
    lab.supvd(config=f"watches:\n  w:\n    start: sleep 1000\n    interval: 200ms\n{more}"
                     "    notify_if:\n" + "".join(f"      - {one}\n" for one in conditions))


def verdict(lab, identity, wanted, reason=""):
    """Waits until the condition has the verdict, and a reason that matches."""
    seen = {}

    def holds():
        for one in lab.watch("w")["conditions"]:
            if one["id"] == identity:
                seen.update(one)
        return seen.get("verdict") == wanted and re.search(reason, seen.get("reason") or "")

    wait_until(holds, lambda: f"{identity} {wanted} {reason!r}; it is {seen}")
    return seen


def asks(lab, conditions, expected, more=""):
    supervise(lab, conditions, more)
    for identity, (wanted, reason) in expected.items():
        verdict(lab, identity, wanted, reason)


def test_http_answers_of_every_kind(lab):
    web = Server(lab)
    url = f"http://127.0.0.1:{web.port}"
    closed = supv.free_port()
    kind = "http_response_code"
    asks(lab, [
        f"{kind}: {{id: fine, url: '{url}/ok', code_is_not: 200}}",
        f"{kind}: {{id: bad, url: '{url}/bad', code_is: [500, 503]}}",
        f"{kind}: {{id: refused, url: 'http://127.0.0.1:{closed}/', code_is_not: 2xx}}",
        f"{kind}: {{id: refused_is, host: 127.0.0.1, port: {closed}, code_is: 500}}",
        f"{kind}: {{id: hangs, url: '{url}/hang', code_is_not: 200, timeout: 300ms}}",
        f"{kind}: {{id: away, url: '{url}/away', code_is: 302}}",
        f"{kind}: {{id: followed, url: '{url}/away', code_is: 200, redirects: 1}}",
        f"{kind}: {{id: body, url: '{url}/ok', code_is: 200, body_match: 'is (well|fine)$'}}",
        f"{kind}: {{id: not_body, url: '{url}/ok', code_is_not: 200, body_match: 'sick'}}",
        f"{kind}: {{id: post, url: '{url}/echo', code_is: 200, method: POST, body: 'a=1', "
        "headers: 'X-Token: secret', body_match: '^POST secret a=1$'}",
    ], {"fine": ("false", "^200$"), "bad": ("true", "^500$"), "refused": ("true", "onnect"),
        "refused_is": ("false", "onnect"), "hangs": ("true", "within 300ms"),
        "away": ("true", "302"), "followed": ("true", "200"), "body": ("true", "matches"),
        "not_body": ("true", "does not match"), "post": ("true", "matches")})


def test_http_with_an_authority_of_our_own(lab):
    key, cert = lab.dir / "key.pem", lab.dir / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                    "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    web = Server(lab, context)
    url = f"https://localhost:{web.port}/ok"
    kind = "http_response_code"
    asks(lab, [
        f"{kind}: {{id: known, url: '{url}', code_is: 200, ca_file: '{cert}'}}",
        f"{kind}: {{id: unknown, url: '{url}', code_is_not: 200}}",
        f"{kind}: {{id: any, url: '{url}', code_is: 200, insecure: true}}",
        f"{kind}: {{id: ssl, host: localhost, port: {web.port}, path: /ok, ssl: true, "
        f"code_is: 200, ca_file: '{cert}'}}",
    ], {"known": ("true", "200"), "unknown": ("true", "certificate"), "any": ("true", "200"),
        "ssl": ("true", "200")})


def test_a_server_that_hangs_delays_nobody_else(lab):
    web = Server(lab)
    lab.supvd(config=f"""
watches:
  hangs:
    start: sleep 1000
    notify_if:
      - http_response_code: {{url: 'http://127.0.0.1:{web.port}/hang', code_is: 200, interval: 50ms}}
      - exec: {{command: sleep 1001, interval: 50ms}}
  w:
    start: sleep 1000
    backoff: {{initial: 0s}}
""")
    lab.wait_up("hangs")
    before = lab.wait_up("w")["pid"]
    os.kill(before, signal.SIGKILL)
    begun = time.monotonic()
    lab.wait_watch("w", lambda w: w["pid"] not in (None, before), "another process", 5)
    assert time.monotonic() - begun < 2, "it took longer than the hanging conditions explain"
    lab.ctl("terminate").ok()
    wait_until(lambda: not lab.marked("sleep 1001"), "the end of the command")


def test_exit_codes_as_nagios_gives_them(lab):
    if not (PLUGINS / "check_disk").exists():
        raise supv.Skip("no monitoring-plugins-basic")
    asks(lab, [
        f"exec: {{id: disk, command: '{PLUGINS}/check_disk -w 0% -c 0% -p /'}}",
        f"exec: {{id: full, command: '{PLUGINS}/check_disk -w 100% -c 100% -p /'}}",
        f"exec: {{id: procs, command: '{PLUGINS}/check_procs -w 1: -c 0:', fires_on: warning}}",
        f"exec: {{id: usage, command: '{PLUGINS}/check_procs --no-such-option'}}",
        "exec: {id: missing, command: /no/such/program}",
        "exec: {id: shell, command: 'echo one && exit 1', fires_on: nonzero}",
        "exec: {id: signal, command: 'kill -SEGV $$', fires_on: nonzero}",
        "exec: {id: late, command: sleep 100, timeout: 300ms, fires_on: nonzero}",
    ], {"disk": ("false", "exit 0: DISK OK[^|]*$"), "full": ("true", "exit 2: DISK CRITICAL"),
        "procs": ("false", "exit 0: PROCS OK"), "usage": ("unknown", "exit 3"),
        "missing": ("unknown", "No such file"), "shell": ("true", "exit 1: one"),
        "signal": ("unknown", "killed by SEGV"), "late": ("unknown", "no answer within 300ms")})


def metrics(lab, identity):
    """What the condition measured, by label; an empty dict if it shows nothing."""
    shown = lab.ctl("status", "w", "--json").exits(0, 150, 151).json["watches"][0]["conditions"]
    one = next(condition for condition in shown if condition["id"] == identity)
    assert one.get("metrics") != [], one
    return {metric.pop("label"): metric for metric in one.get("metrics", [])}


def test_what_monitoring_plugins_measured_is_shown(lab):
    if not (PLUGINS / "check_disk").exists():
        raise supv.Skip("no monitoring-plugins-basic")
    asks(lab, [
        f"exec: {{id: load, command: '{PLUGINS}/check_load -w 900,800,700 -c 999,998,997'}}",
        f"exec: {{id: disk, command: '{PLUGINS}/check_disk -w 0% -c 0% -p / -p /proc'}}",
        f"exec: {{id: procs, command: '{PLUGINS}/check_procs -w 1:90000 -c 1:99999'}}",
        f"exec: {{id: age, command: '{PLUGINS}/check_file_age -w 1 -c 2 -f /etc/passwd'}}",
        f"exec: {{id: dummy, command: '{PLUGINS}/check_dummy 0 fine'}}",
    ], {"load": ("false", "exit 0: .*LOAD OK[^|]*$"), "disk": ("false", "exit 0: DISK OK[^|]*$"),
        "procs": ("false", "exit 0: PROCS OK[^|]*$"), "age": ("true", "exit 2: FILE_AGE CRITICAL"),
        "dummy": ("false", "exit 0: OK: fine$")})
    load = metrics(lab, "load")
    equal(sorted(load), ["load1", "load15", "load5"], "labels of check_load")
    equal({**load["load5"], "value": 0}, {"value": 0, "warn": "800.000", "crit": "998.000",
                                          "min": 0.0}, "load5")
    assert 0 <= load["load5"]["value"] < 800, load
    disk = metrics(lab, "disk")["/"]
    total = os.statvfs("/").f_blocks * os.statvfs("/").f_frsize
    scale = {"B": 1, "kB": 2**10, "KB": 2**10, "MB": 2**20, "MiB": 2**20}[disk["unit"]]
    assert 0 < disk["value"] <= disk["max"], disk
    assert abs(disk["max"] * scale - total) < total / 10, f"{disk}, and statvfs says {total}"
    procs = metrics(lab, "procs")["procs"]
    assert procs["value"] >= 3 and procs["warn"] == "1:90000" and "unit" not in procs, procs
    age = metrics(lab, "age")
    equal((age["age"]["unit"], age["size"]["value"]),
          ("s", float(os.stat("/etc/passwd").st_size)), "check_file_age")
    equal(metrics(lab, "dummy"), {}, "metrics of a plugin that says none")
    for command in "show", "why":
        text = lab.ctl(command, "w").ok().out
        assert re.search(r"procs +false +exit 0: PROCS OK: [^|]* \| procs=\d+  \(checked", text), text
        assert re.search(r"dummy +false +exit 0: OK: fine  \(checked", text), text


def test_metrics_belong_to_one_answer_and_come_back_after_the_brain(lab):
    said = lab.write("said", "")
    supervise(lab, [f"exec: {{id: mine, command: 'cat {said}; exit 3', interval: 100ms}}",
                    "lua: {id: script, script: 'metric(\"a b\", 4) return false'}"])

    def says(text, wanted):
        said.with_suffix(".new").write_text(text)
        said.with_suffix(".new").rename(said)
        wait_until(lambda: metrics(lab, "mine") == wanted,
                   lambda: f"{wanted}; there is {metrics(lab, 'mine')}")

    says("it is so | 'a b'=U;@5;~:3 rest=1,5 rss=2.5MB;;;0;9 what\nlong\nmore | c=-1\nd=7c\n",
         {"a b": {"warn": "@5", "crit": "~:3"},
          "rss": {"value": 2.5, "unit": "MB", "min": 0.0, "max": 9.0},
          "c": {"value": -1.0}, "d": {"value": 7.0, "unit": "c"}})
    # It is unknown, and yet it measured something.
    verdict(lab, "mine", "unknown", "^exit 3: it is so$")
    contains(lab.ctl("why", "w").ok().out, "exit 3: it is so | 'a b'=? rss=2.5 MB c=-1 d=7", "why")
    says("nothing more", {})
    verdict(lab, "mine", "unknown", "^exit 3: nothing more$")
    says("again | x=1", {"x": {"value": 1.0}})
    wait_until(lambda: metrics(lab, "script") == {"a b": {"value": 4.0}}, "metrics of a script")
    brain = lab.role("brain")
    said.write_text("the next | y=2")
    os.kill(brain, signal.SIGKILL)
    wait_until(lambda: lab.role("brain") not in (None, brain), "another brain")
    wait_until(lambda: metrics(lab, "mine") == {"y": {"value": 2.0}}, "metrics after the brain")
    wait_until(lambda: metrics(lab, "script") == {"a b": {"value": 4.0}}, "those of the script")


def test_a_command_runs_as_the_watch_does(lab):
    lab.write("work/here", "")
    asks(lab, ["exec: {id: env, command: 'test \"$COLOR\" = blue && test -e here && "
               "test \"$SUPV_WATCH\" = w && ! read line && echo seen && exit 2'}"],
         {"env": ("true", "exit 2: seen")},
         f"    dir: '{lab.dir}/work'\n    env: {{COLOR: blue}}\n")


def test_a_command_is_killed_with_all_that_it_started(lab):
    script = lab.write("forks", "#!/bin/bash\nexec -a tree-of-forks sleep 1000 &\n"
                       "setsid bash -c 'exec -a tree-of-forks sleep 1000' &\nsleep 1000\n", 0o755)
    supervise(lab, [f"exec: {{id: forks, command: '{script}', timeout: 1500ms}}"])
    first = wait_until(lambda: len(found := lab.marked("tree-of-forks")) >= 2 and found, "two forks")
    verdict(lab, "forks", "unknown", "no answer within 1s500ms")
    wait_until(lambda: not any(map(supv.alive, first)), "the end of the whole tree")


def test_a_gigabyte_of_output_stays_outside(lab):
    supervise(lab, ["exec: {id: big, command: 'head -c 1000000000 /dev/zero | tr \"\\0\" x; exit 2', "
                    "timeout: 60s}"])
    brain = lab.role("brain")
    verdict(lab, "big", "true", r"^exit 2: x{200}\.\.\.$")
    peak = int(re.search(r"VmHWM:\s+(\d+)",
                         pathlib.Path(f"/proc/{brain}/status").read_text()).group(1))
    assert peak < 60000, f"the brain has grown to {peak} kB"


def test_a_brain_that_dies_leaves_no_command_behind(lab):
    supervise(lab, ["exec: {command: 'bash -c \"exec -a left-behind sleep 1000\"', timeout: 30s}"])
    first = wait_until(lambda: lab.marked("left-behind"), "the command")
    os.kill(lab.role("brain"), signal.SIGKILL)
    wait_until(lambda: not any(map(supv.alive, first)), "the end of the first brain's command")
    second = wait_until(lambda: [p for p in lab.marked("left-behind") if p not in first],
                        "the next brain's own")
    equal(len(second), 1, "commands under way")
    lab.ctl("terminate").ok()
    wait_until(lambda: not lab.marked("left-behind"), "nothing left")


def test_bad_parameters_are_told_before_anything_starts(lab):
    for condition, message in {
            "http_response_code: {url: 'http://h/'}":
                "exactly one of code_is and code_is_not is needed",
            "schedule: {cron: '61 * * * *'}": "not a minute from 0 to 59: '61'",
            "schedule: {cron: '@daily', timezone: Nowhere/Land}": "there is no 'Nowhere/Land'",
            "fd_usage: {above: many}": "neither a number nor a percentage",
            "exec: {command: ''}": "command"}.items():
        text = lab.supvd(config="watches:\n  w:\n    start: sleep 1000\n    notify_if:\n"
                         f"      - {condition}\n", code=78).err
        contains(text, message, condition)


supv.main(globals())
