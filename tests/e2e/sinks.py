"""Servers of this machine that contacts are told by: they remember what they got."""
import contextlib
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading

from supv import wait_until


def certificate(directory):
    """A self-signed certificate for localhost: (certificate, key)."""
    cert, key = directory / "sink.pem", directory / "sink.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


class Sink:
    """Common to all: `got` grows in a thread of its own, `wait(n)` waits until it has n items."""

    def __init__(self):
        self.got = []

    def wait(self, count, deadline=20):
        wait_until(lambda: len(self.got) >= count,
                   lambda: f"{count} things at {type(self).__name__}; it got {self.got}", deadline)
        return self.got

    def serve(self, target):
        threading.Thread(target=target, daemon=True).start()


class HttpSink(Sink):
    """Remembers (path, headers, body); answers `status` of the moment."""

    def __init__(self):
        super().__init__()
        self.status = 200
        sink = self

        class Asked(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                size = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(size).decode()
                status = sink.status
                if status == 200:  # Before the answer: who has it may look.
                    sink.got.append((self.path, dict(self.headers), body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_PUT = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.serve(self.server.serve_forever)

    def messages(self):
        """Of every notice that came as a webhook's JSON."""
        return [notice["message"] for _, _, body in self.got
                for notice in json.loads(body)["notices"]]


class UdpSink(Sink):
    def __init__(self):
        super().__init__()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.serve(self.listen)

    def listen(self):
        while True:
            self.got.append(self.socket.recv(65536).decode())


class LogSink(Sink):
    """What /dev/log is to syslog."""

    def __init__(self, path):
        super().__init__()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.serve(self.listen)

    def listen(self):
        while True:
            self.got.append(self.socket.recv(65536).decode())


class SmtpSink(Sink):
    """Remembers mails as dictionaries. With a certificate it offers STARTTLS; with `user` it wants
    AUTH PLAIN of user and password."""

    def __init__(self, cert=None, user=None, password=None, tls_first=False):
        super().__init__()
        self.user, self.password, self.tls_first = user, password, tls_first
        self.context = None
        if cert:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*cert)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.serve(self.accept)

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client):
        with contextlib.suppress(OSError):
            secure = self.tls_first
            if self.tls_first:
                client = self.context.wrap_socket(client, server_side=True)
            lines = client.makefile("rb")
            mail = {"tls": secure, "auth": None, "to": [], "from": None, "helo": None}
            say = lambda text: client.sendall(text.encode() + b"\r\n")
            say("220 sink")
            while line := lines.readline().decode().rstrip("\r\n"):
                word, _, rest = line.partition(" ")
                if word in ("EHLO", "HELO"):
                    mail["helo"] = rest
                    offers = ["STARTTLS"] if self.context and not secure else []
                    offers += ["AUTH PLAIN"] if self.user else []
                    offers = ["sink"] + offers
                    for offer in offers[:-1]:
                        say(f"250-{offer}")
                    say(f"250 {offers[-1]}")
                elif word == "STARTTLS":
                    say("220 go")
                    client = self.context.wrap_socket(client, server_side=True)
                    lines, secure = client.makefile("rb"), True
                    mail["tls"] = True
                elif word == "AUTH":
                    import base64
                    if len(rest.split()) == 1:
                        say("334 ")
                        blob = lines.readline().strip()
                    else:
                        blob = rest.split()[1]
                    _, user, password = base64.b64decode(blob).decode().split("\0")
                    if (user, password) == (self.user, self.password):
                        mail["auth"] = user
                        say("235 welcome")
                    else:
                        say("535 no")
                elif word == "MAIL":
                    if self.user and not mail["auth"]:
                        say("530 log in")
                        continue
                    mail["from"] = rest
                    say("250 ok")
                elif word == "RCPT":
                    mail["to"].append(rest)
                    say("250 ok")
                elif word == "DATA":
                    say("354 go on")
                    text = b""
                    while (piece := lines.readline()) != b".\r\n":
                        text += piece
                    self.got.append({**mail, "text": text.decode()})
                    say("250 taken")
                elif word == "QUIT":
                    say("221 bye")
                    return
                else:
                    say("500 what")


class BlackHole:
    """Accepts and never answers."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"


class Deaf:
    """Its queue of connections is full, so that connecting never ends."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.full = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(("127.0.0.1", self.port))
            self.full.append(client)
