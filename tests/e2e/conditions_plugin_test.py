"""The built-in conditions go through the door that plugins go through: each file of conditions/,
compiled with nothing but the SDK, passes `supvctl plugin check`."""
import re
import socket

import supv
from supv import contains, equal

ROOT = supv.HERE.parent.parent
BUILT = supv.BUILD / "conditions"

# Options with which a condition can be made, where samples of their types are not enough.
OPTIONS = {
    "certificate_expiry": {"path": "@DIR@/certificate.pem"},
    "disk_usage": {"mount_point": "/"},
    "exec": {"command": "/bin/true"},
    "fd_usage": {"above": "80%"},
    "file_mtime": {"path": "@DIR@/file"},
    "file_touched": {"path": "@DIR@/file"},
    "http_response_code": {"url": "http://127.0.0.1:1/", "code_is_not": "200"},
    "load_average": {"above": "8"},
    "log_match": {"pattern": "error|fatal", "path": "@DIR@/file"},
    "lua": {"script": "return tree.rss > 200 * 1024 * 1024, 'rss ' .. tree.rss"},
    "schedule": {"cron": "0 4 * * *", "timezone": "Europe/Berlin"},
    "socket_responding": {"socket": "tcp:127.0.0.1:@PORT@"},
}
# Which of them say what, when they are asked with an invented process: (ok, fire, unknown).
SAID = {
    "always": (0, 1000, 0),
    "memory_usage": (390, 580, 30),
    "exec": (500, 167, 333),
    "http_response_code": (334, 666, 0),
    "process_running": (30, 970, 0),
    "tries": (2, 998, 0),
}


def files():
    """Conditions that are a file of their own."""
    names = {path.stem for path in (ROOT / "conditions").glob("*.cc")} - {"catalog"}
    return sorted(name for name in names if not name.startswith("lua_"))


def check(lab, name, options):
    words = [f"--option={key}={value}" for key, value in options.items()]
    return lab.ctl("plugin", "check", BUILT / f"{name}.so", "--json", *words, timeout=120)


def test_every_file_is_there(lab):
    """A condition that is added is compiled, and belongs to the catalog."""
    equal(sorted(path.stem for path in BUILT.glob("*.so") if path.stem in files()), files())
    listed = {line.split()[0] for line in lab.ctl("conditions").ok().out.splitlines()}
    equal(set(files()) - listed, set(), "files that no condition is")


def test_every_condition_passes(lab):
    lab.write("file", "nothing\n")
    lab.write("certificate.pem", "none\n")
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:
        for name in files():
            if name == "consul_kv":
                continue
            port = str(server.getsockname()[1])
            options = {key: value.replace("@DIR@", str(lab.dir)).replace("@PORT@", port)
                       for key, value in OPTIONS.get(name, {}).items()}
            result = check(lab, name, options)
            found = result.json
            about = "\n".join(f"{one['level']} {one['stage']}: {one['text']}"
                              for one in found["findings"])
            equal((result.code, found["wrong"]), (0, 0), f"{name}\n{about}\n")
            equal([one["text"] for one in found["findings"] if one["level"] == "warning"],
                  [f"supvd has a condition {name} itself, and will never load this one"], name)
            if SAID.get(name):
                said = re.search(r"(\d+) ok, (\d+) fire, (\d+) unknown", about)
                equal(tuple(int(one) for one in said.groups()), SAID[name], name)


def test_a_condition_that_supvd_itself_judges_is_no_plugin(lab):
    found = check(lab, "consul_kv", {"key": "some/key"}).exits(1).json
    equal([one["text"] for one in found["findings"] if one["level"] == "wrong"],
          ["SUPV_CHANGE is only for conditions that are built in"])


supv.main(globals())
