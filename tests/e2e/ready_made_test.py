"""The ready-made watches: each can be extended, and those whose programs Debian has run for real."""
import http.client
import os
import signal

import supv
from supv import contains, equal, wait_until

WATCHES = supv.HERE.parent.parent / "watches"


def needs(program):
    if not os.path.exists(program):
        raise supv.Skip(f"{program} is not installed")


def answers(port, path="/"):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None


def test_each_can_be_extended(lab):
    files = sorted(WATCHES.glob("*.watch.yaml"))
    equal(len(files) >= 10, True, f"ready-made watches: {len(files)}")
    names = [file.name.removesuffix(".watch.yaml") for file in files]
    lab.config("watches:" + "".join(f"\n  w{i}: {{extends: {name}}}"
                                    for i, name in enumerate(names)) + "\n")
    lab.ctl("check", lab.config_file).ok()
    for file in files:
        lab.ctl("check", file).ok()


def test_redis(lab):
    needs("/usr/bin/redis-server")
    port = supv.free_port()
    lab.supvd("--wait-ready", config=f"""
watches:
  redis:
    extends: redis-server
    dir: @DIR@
    start: redis-server --daemonize no --supervised systemd --bind 127.0.0.1 --port {port}
""")
    equal(lab.watch("redis")["state"], "up")
    contains(lab.run("redis-cli", "-p", str(port), "ping").ok().out, "PONG")
    lab.run("redis-cli", "-p", str(port), "set", "kept", "yes").ok()
    lab.ctl("restart", "redis").ok()
    contains(lab.run("redis-cli", "-p", str(port), "get", "kept").ok().out, "yes")


def test_sidekiq(lab):
    needs("/usr/bin/sidekiq")
    needs("/usr/bin/redis-server")
    port = supv.free_port()
    lab.write("worker.rb", 'require "sidekiq"\nRedis.silence_deprecations = true\n')
    lab.supvd(config=f"""
watches:
  redis:
    start: redis-server --bind 127.0.0.1 --port {port} --save ''
    ready: {{tcp: "127.0.0.1:{port}"}}
  sidekiq:
    extends: sidekiq
    dir: @DIR@
    start: sidekiq -r ./worker.rb -c 1
    stop_sequence: [TSTP 1s, TERM 35s, KILL]
    env: {{REDIS_URL: "redis://127.0.0.1:{port}/0", RAILS_ENV: production}}
""")
    lab.wait_up("sidekiq", 60)
    lab.ctl("stop", "sidekiq").ok()
    equal(lab.watch("sidekiq")["last_exit"]["code"], 0)


def test_puma(lab):
    needs("/usr/bin/puma")
    port = supv.free_port()
    lab.write("config.ru", 'run ->(_) { [200, {"content-type" => "text/plain"}, [Process.pid.to_s]] }\n')
    lab.supvd(config=f"""
watches:
  puma:
    extends: puma
    dir: @DIR@
    start: puma -b tcp://127.0.0.1:{port} config.ru
    ready: {{tcp: "127.0.0.1:{port}"}}   # Puma 5 says READY=1 only with the gem sd_notify
""")
    pid = lab.wait_up("puma", 60)["pid"]
    equal(answers(port), 200, "puma answers as soon as it is up")
    lab.ctl("reload", "puma").ok()
    wait_until(lambda: answers(port) == 200, "puma after USR2")
    equal(lab.watch("puma")["pid"], pid, "pid after a reload")
    os.kill(pid, signal.SIGKILL)
    lab.wait_up("puma", 60, other_than=pid, restarts=1)
    wait_until(lambda: answers(port) == 200, "the new puma")
    lab.ctl("stop", "puma").ok()
    equal(answers(port), None, "puma after stop")


def test_nginx(lab):
    needs("/usr/sbin/nginx")
    port = supv.free_port()
    lab.write("nginx.conf", f"pid {lab.dir}/nginx.pid; error_log {lab.dir}/nginx.err; events {{}}\n"
              f"http {{ access_log off; server {{ listen 127.0.0.1:{port}; return 204; }} }}\n")
    lab.supvd(config="""
watches:
  nginx:
    extends: nginx
    dir: @DIR@
    start: [nginx, -c, "@DIR@/nginx.conf", -g, "daemon off;"]
    hooks: {before_start: [nginx, -t, -q, -c, "@DIR@/nginx.conf"]}
""")
    pid = lab.wait_up("nginx")["pid"]
    equal(answers(port), 204)
    lab.ctl("reload", "nginx").ok()
    equal(lab.watch("nginx")["pid"], pid, "pid after a reload")
    lab.write("nginx.conf", "nonsense;\n")
    lab.ctl("restart", "nginx", "--timeout", "20s").exits(1, 152)
    contains(lab.ctl("why", "nginx").out, "before_start")


supv.main(globals())
