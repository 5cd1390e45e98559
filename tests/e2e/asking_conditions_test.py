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
    ], {"disk": ("false", r"exit 0: DISK OK.*\| /="), "full": ("true", "exit 2: DISK CRITICAL"),
        "procs": ("false", "exit 0: PROCS OK"), "usage": ("unknown", "exit 3"),
        "missing": ("unknown", "No such file"), "shell": ("true", "exit 1: one"),
        "signal": ("unknown", "killed by SEGV"), "late": ("unknown", "no answer within 300ms")})


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
