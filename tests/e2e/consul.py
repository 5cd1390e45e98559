"""Consul for the tests: a real agent, a real agent behind a saboteur, and a scripted impostor."""
import base64
import http.client
import http.server
import json
import queue
import signal
import subprocess
import threading
import urllib.parse

import supv

KEY = "devops/automationtesting-backend"


def binary():
    done = subprocess.run(["sh", supv.HERE.parent / "lib" / "consul.sh"], capture_output=True,
                          text=True, timeout=300)
    if done.returncode == supv.SKIPPED:
        raise supv.Skip(done.stderr.strip())
    if done.returncode:
        raise AssertionError(f"tests/lib/consul.sh: {done.stderr}")
    return done.stdout.strip()


class Http:
    """What the tests ask of anything that speaks Consul's API."""

    def __init__(self, port, token=None):
        self.port, self.token = port, token

    def request(self, method, path, body=None, timeout=20, token=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = {"X-Consul-Token": token or self.token} if token or self.token else {}
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def answers(self, path):
        try:
            return self.request("GET", path)[0] == 200
        except OSError:
            return False

    def writable(self):
        try:
            return self.request("PUT", "/v1/kv/test/warm-up", "x")[0] == 200
        except OSError:
            return False

    def put(self, value, key=KEY, **query):
        path = "/v1/kv/" + urllib.parse.quote(key)
        if query:
            path += "?" + urllib.parse.urlencode(query)
        status, text, _ = self.request("PUT", path, value)
        supv.equal((status, text.strip()), (200, "true"), f"PUT {key}")

    def delete(self, key=KEY):
        supv.equal(self.request("DELETE", f"/v1/kv/{key}")[0], 200, f"DELETE {key}")

    def session(self):
        status, text, _ = self.request("PUT", "/v1/session/create", '{"LockDelay": "1ms"}')
        supv.equal(status, 200, "session")
        return json.loads(text)["ID"]


class Agent(Http):
    """A real Consul server of one node, whose data outlive its death."""

    def __init__(self, lab, name="consul", acl=False):
        super().__init__(supv.free_port())
        self.lab, self.name = lab, name
        self.address = f"http://127.0.0.1:{self.port}"
        settings = {
            "server": True, "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
            "ports": {"http": self.port, "dns": -1, "grpc": -1, "server": supv.free_port(),
                      "serf_lan": supv.free_port(), "serf_wan": -1},
            "performance": {"raft_multiplier": 1}, "disable_update_check": True,
            "node_name": name, "log_level": "err"}
        if acl:
            self.token = "a5e2b0c4-0000-4000-8000-000000000001"
            settings["acl"] = {"enabled": True, "default_policy": "deny",
                               "tokens": {"master": self.token, "agent": self.token}}
        self.settings, self.process = settings, None
        self.program = binary()
        self.start()

    def start(self, expect=1, data=None):
        """`expect` 3 gives a server that never finds a leader."""
        settings = dict(self.settings, bootstrap_expect=expect,
                        data_dir=str(self.lab.dir / (data or self.name)))
        self.file = self.lab.write(f"{self.name}.json", json.dumps(settings))
        self.launch()
        if expect == 1:
            supv.wait_until(lambda: self.runs() and self.writable(), lambda: "a Consul with a leader: " + (
                self.lab.dir / f"{self.name}.out").read_text(errors="replace")[-2000:], 60)
        else:
            supv.wait_until(lambda: self.runs() and self.answers("/v1/status/leader"),
                            "a Consul agent", 60)

    def launch(self):
        with open(self.lab.dir / f"{self.name}.out", "ab") as out:
            self.process = subprocess.Popen([self.program, "agent", "-config-file", self.file],
                                            stdout=out, stderr=out, env=self.lab.env)

    def runs(self):
        """Launches it once more if it gave up: while it was down, somebody else's connection may
        have been given one of its ports."""
        if self.process.poll() is not None:
            self.launch()
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass  # clients that hang up in the middle are part of the tests


class Saboteur:
    """Stands before a real agent. `mode`: pass, or how it fails: forbidden, leaderless, garbage,
    truncated, silent, reset, redirect, proxy404, throttled, empty."""

    def __init__(self, agent):
        self.agent, self.mode, self.asked = agent, "pass", 0
        self.server = Server(("127.0.0.1", 0), self.handler())
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    ANSWERS = {
        "forbidden": (403, {}, b"Permission denied"),
        "leaderless": (500, {}, b"rpc error making call: No cluster leader"),
        "garbage": (200, {"X-Consul-Index": "77"}, b"<html>\x00\xff{[not json"),
        "redirect": (301, {"Location": "http://127.0.0.1:9/"}, b""),
        "proxy404": (404, {}, b"no such page"),
        "throttled": (429, {"Retry-After": "1"}, b"Your IP is issuing too many connections"),
        "empty": (200, {"X-Consul-Index": "0"}, b"[]"),
    }

    def handler(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self, status, headers, body):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def sabotage(self, mode):
                if mode in outer.ANSWERS:
                    self.answer(*outer.ANSWERS[mode])
                elif mode == "truncated":
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.send_header("X-Consul-Index", "99")
                    self.end_headers()
                    self.wfile.write(b'[{"Key":')
                    self.close_connection = True
                elif mode == "silent":
                    supv.wait_until(lambda: outer.mode != "silent", "the end of silence", 120)
                    self.close_connection = True
                else:  # reset
                    self.close_connection = True

            def relay(self, mode_before):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else None
                connection = http.client.HTTPConnection("127.0.0.1", outer.agent.port, timeout=90)
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
                if outer.mode != mode_before:  # what was asked before the trouble meets it, too
                    return self.sabotage(outer.mode)
                keep = {name: value for name, value in answer.getheaders()
                        if name.startswith(("X-Consul", "Content-Type", "Content-Encoding"))}
                return self.answer(answer.status, keep, content)

            def serve(self):
                outer.asked += 1
                if outer.mode == "pass":
                    return self.relay("pass")
                return self.sabotage(outer.mode)

            do_GET = do_PUT = do_DELETE = serve

        return Handler


class Impostor:
    """Plays a script in poll mode: each reading of the key takes one step, and waits for it."""

    def __init__(self, key=KEY):
        self.path = "/v1/kv/" + key
        self.steps, self.index, self.current = queue.Queue(), 100, None
        self.arrived = threading.Semaphore(0)
        self.server = Server(("127.0.0.1", 0), self.handler())
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def play(self, sample):
        """`sample`: a value, "0" for absent, "!" for a failure. Returns when supvd has digested
        it: when it asks for the next one."""
        self.steps.put(sample)
        if not self.arrived.acquire(timeout=supv.PATIENCE):
            raise AssertionError(f"nobody asked again after sample {sample!r}")

    def wait_first(self):
        if not self.arrived.acquire(timeout=supv.PATIENCE):
            raise AssertionError("supvd never read the key")

    def handler(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                path, _, query = self.path.partition("?")
                if path != outer.path:
                    return self.answer(404, b"")
                if "consistent" not in query:  # confirmations see the same sample again
                    outer.arrived.release()
                    outer.current = outer.steps.get()
                    outer.index += 1
                return self.sample(outer.current)

            def sample(self, sample):
                if sample == "!":
                    return self.answer(500, b"rpc error making call: No cluster leader", False)
                if sample == "0":
                    return self.answer(404, b"")
                value = base64.b64encode(sample.encode()).decode()
                return self.answer(200, json.dumps([{
                    "LockIndex": 0, "Key": KEY, "Flags": 0, "Value": value, "CreateIndex": 1,
                    "ModifyIndex": outer.index}]).encode())

            def answer(self, status, body, consul=True):
                self.send_response(status)
                if consul:
                    self.send_header("X-Consul-Index", str(outer.index))
                    self.send_header("X-Consul-Knownleader", "true")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler
