"""A change of a Consul value restarts the worker exactly once; nothing else does. Real Consul."""
import contextlib
import os
import signal

import consul
import seed
import supv
from supv import contains, equal, wait_until

SIDEKIQ = """
consul:
  address: {address}
watches:
  redis:
    dir: @DIR@
    start: redis-server --bind 127.0.0.1 --port {port} --save '' --appendonly no
    ready: {{tcp: "127.0.0.1:{port}"}}
  sidekiq:
    dir: @DIR@
    env: {{REDIS_URL: "redis://127.0.0.1:{port}/0", RAILS_ENV: production}}
    start: sidekiq -r ./worker.rb -c 2 -q default
    ready: {{notify: true}}
    stop_sequence: [TSTP 1s, TERM 25s, KILL]
    restart_if:
      - consul_kv: {{key: {key}, interval: 5s, window: 2}}
"""


def test_real_sidekiq_restarts_once_per_change(lab):
    for program in ("/usr/bin/sidekiq", "/usr/bin/redis-server"):
        if not os.path.exists(program):
            raise supv.Skip(f"{program} is not installed")
    agent = consul.Agent(lab)
    agent.put('{"redis": {"host": "vulcan"}}')
    lab.write("worker.rb", 'require "sidekiq"\nRedis.silence_deprecations = true\n')
    lab.supvd(config=SIDEKIQ.format(address=agent.address, port=supv.free_port(), key=consul.KEY))
    lab.wait_up("redis")
    first = lab.wait_up("sidekiq", 40)
    contains(supv.commandline(first["pid"]), "sidekiq")
    wait_until(lambda: seed.condition(lab, "sidekiq")["timeline"], "a first sample")
    agent.put('{"redis": {"host": "romulus"}}')
    second = lab.wait_up("sidekiq", 60, other_than=first["pid"], restarts=1)
    equal(supv.alive(first["pid"]), False, "the old Sidekiq alive")
    equal(second["last_change"]["by"], "condition")
    equal(second["last_change"]["action"], "restart")
    contains(second["last_change"]["reason"], f"consul_kv {consul.KEY} changed")
    equal(second["last_exit"]["code"], 0, "exit code of the old Sidekiq")
    contains(lab.log_text("sidekiq"), "Received TSTP")  # quiet first, TERM a second later
    contains(lab.ctl("why", "sidekiq").ok().out, consul.KEY)
    said = lab.ctl("why", "sidekiq").out + lab.log_text()
    equal("vulcan" in said or "romulus" in said, False, "a value of the KV is shown")
    agent.put('{"redis": {"host": "romulus"}}')  # the same again
    equal(lab.watch("redis")["restarts"], 0, "restarts of redis")
    agent.put('{"redis": {"host": "c"}}')
    third = lab.wait_up("sidekiq", 60, other_than=second["pid"], restarts=2)
    equal(supv.alive(second["pid"]), False, "the second Sidekiq alive")
    equal(third["restarts"], 2)


def test_same_value_flags_and_locks_are_no_change(lab):
    agent = consul.Agent(lab)
    agent.put("same")
    seed.start(lab, agent.address)
    agent.put("same")
    agent.put("same", flags=7)
    session = agent.session()
    agent.put("same", acquire=session)
    agent.put("same", release=session)
    agent.put("same", acquire=session)
    agent.request("PUT", f"/v1/session/destroy/{session}")
    agent.delete()
    agent.put("same")  # deleted and created with the same value: none
    seed.settled(lab, agent, 0)


def test_a_change_undone_before_acting_is_none(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    seed.start(lab, agent.address, kv="settle: 3s")
    agent.put("two")
    lab.wait_watch("w", lambda w: (w["pending"] or {}).get("waiting_for") == "settle", "settling")
    agent.put("one")
    lab.wait_watch("w", lambda w: w["pending"] is None, "nothing pending")
    seed.settled(lab, agent, 0)


def test_change_during_a_restart(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    seed.start(lab, agent.address, options="--note TERM --ignore TERM",
               more="stop_sequence: [TERM 2s, KILL]")
    agent.put("two")
    lab.wait_state("w", "restarting")
    agent.put("three")  # while the old one is still being stopped: the new one starts under it
    seed.restarted(lab, 1)
    agent.put("four")
    lab.wait_state("w", "restarting")
    agent.put("five")
    seed.restarted(lab, 2)
    agent.put("six")
    seed.restarted(lab, 3)


def test_change_while_starting(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    lab.supvd(config=seed.WATCH.format(address=agent.address, kv="", key=consul.KEY,
                                       options="--pause 2500 --tell READY=1",
                                       more="ready: {notify: true}"))
    lab.wait_starts(1)
    wait_until(lambda: seed.condition(lab)["timeline"], "a first sample")
    equal(lab.watch("w")["state"], "starting")
    agent.put("two")
    seed.restarted(lab, 1)
    seed.settled(lab, agent, 1)


def test_change_during_grace(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    seed.start(lab, agent.address, more="grace: 3s")
    agent.put("two")
    pending = lab.wait_watch("w", lambda w: w["pending"], "something pending")["pending"]
    equal((pending["action"], pending["waiting_for"]), ("restart", "grace"))
    equal(len(lab.starts()), 1, "starts during grace")
    seed.restarted(lab, 1)


def test_change_while_the_brain_is_dead(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    seed.start(lab, agent.address)
    brain = lab.role("brain")
    os.kill(brain, signal.SIGSTOP)  # neither dead nor alive: nobody replaces it
    agent.put("two")
    os.kill(brain, signal.SIGKILL)
    seed.restarted(lab, 1)
    os.kill(lab.role("brain"), signal.SIGKILL)
    agent.put("three")
    seed.restarted(lab, 2)
    seed.settled(lab, agent, 2)


def test_change_while_all_of_supvd_is_down(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    first = seed.start(lab, agent.address)
    keeper = lab.keeper()
    lab.ctl("quit").ok()
    wait_until(lambda: not supv.alive(keeper), "the end of supvd")
    agent.put("two")
    equal(supv.alive(first["pid"]), True, "worker alive")
    lab.supvd()
    seed.restarted(lab, 1)
    seed.settled(lab, agent, 1)


def test_change_while_supvd_was_killed(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    first = seed.start(lab, agent.address)
    family = [pid for pids in lab.family().values() for pid in pids]
    for pid in family:
        with contextlib.suppress(ProcessLookupError):  # without a keeper the others end themselves
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(supv.alive, family)), "the end of supvd")
    agent.put("two")
    equal(supv.alive(first["pid"]), True, "worker alive")
    lab.supvd()
    seed.restarted(lab, 1)
    seed.settled(lab, agent, 1)


def test_no_change_while_supvd_is_down_restarts_nothing(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    first = seed.start(lab, agent.address)
    keeper = lab.keeper()
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not supv.alive(keeper), "the end of the keeper")
    lab.supvd()
    seed.ready(lab)
    seed.verdict(lab, "false")
    equal(lab.watch("w")["pid"], first["pid"], "pid")
    seed.settled(lab, agent, 0)


def test_a_restart_by_hand_renews_the_baseline(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    seed.start(lab, agent.address)
    lab.ctl("hold", "w", "--for", "10m", "--reason", "maintenance").ok()
    agent.put("two")
    lab.wait_watch("w", lambda w: (w["pending"] or {}).get("waiting_for") == "hold", "held back")
    lab.ctl("restart", "w", "--force").ok()
    lab.ctl("release", "w").ok()
    seed.restarted(lab, 1)
    seed.settled(lab, agent, 1)


def test_select_and_ignore(lab):
    agent = consul.Agent(lab)
    agent.put('{"redis": {"host": "a"}, "updated": 1}')
    seed.start(lab, agent.address, kv="select: /redis")
    agent.put('{ "updated": 2,   "redis": {"host":"a"} }')
    agent.put("not json at all")
    wait_until(lambda: len(lab.starts()) == 1 and (
        lab.watch("w")["warnings"] or "inval" in seed.condition(lab)["reason"] or
        "JSON" in seed.condition(lab)["reason"]), "the invalid value is shown")
    agent.put('{"redis": {"host": "b"}}')
    seed.restarted(lab, 1)


def test_missing_key_holds_and_deletion_can_count(lab):
    agent = consul.Agent(lab)
    seed.start(lab, agent.address, kv="on_delete: change")
    agent.put("one")  # started while the key was absent
    seed.restarted(lab, 1)
    agent.delete()
    seed.restarted(lab, 2)


def test_prefix_settles_into_one_restart(lab):
    agent = consul.Agent(lab)
    for part in "abc":
        agent.put("one", key=f"app/config/{part}")
    lab.supvd(config=f"""
consul: {{address: "{agent.address}"}}
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness
    restart_if:
      - consul_kv: {{prefix: app/config/, settle: 1s, min_interval: 0s}}
""")
    seed.ready(lab)
    agent.put("x", key="app/configuration")  # no part of the folder
    for part in "abcd":
        agent.put("two", key=f"app/config/{part}")
    seed.restarted(lab, 1)
    agent.delete("app/config/d")
    seed.restarted(lab, 2)


def test_one_key_many_watches_one_query(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    saboteur = consul.Saboteur(agent)
    many = "".join(f"""
  w{i}:
    start: @WORKER@ --witness @DIR@/w{i}.witness
    restart_if: [consul_kv: {{key: {consul.KEY}, min_interval: 0s}}]
""" for i in range(20))
    lab.supvd(config=f"consul: {{address: '{saboteur.address}'}}\nwatches:{many}")
    for i in range(20):
        seed.ready(lab, f"w{i}")
    equal(saboteur.asked <= 4, True, f"questions for 20 watches on one key: {saboteur.asked}")
    agent.put("two")
    for i in range(20):
        seed.restarted(lab, 1, f"w{i}")


def watches_on(address, keys):
    return f"consul: {{address: '{address}'}}\nwatches:" + "".join(f"""
  w{i}:
    start: @WORKER@ --witness @DIR@/w{i}.witness
    restart_if: [consul_kv: {{key: {key}, min_interval: 0s, interval: 500ms}}]
""" for i, key in enumerate(keys))


def connections(port):
    """Established connections to a local port, as its clients hold them."""
    lines = open("/proc/net/tcp").read().splitlines()[1:]
    fields = [line.split() for line in lines]
    return [f for f in fields if f[2] == f"0100007F:{port:04X}" and f[3] == "01"]


def test_keys_of_one_folder_share_a_query(lab):
    agent = consul.Agent(lab)
    keys = [f"app/settings/key{i}" for i in range(24)]
    for key in keys:
        agent.put("one", key=key)
    lab.supvd(config=watches_on(agent.address, keys))
    for i in range(24):
        seed.ready(lab, f"w{i}")
    equal(len(connections(agent.port)) <= 16, True, f"connections {len(connections(agent.port))}")
    equal({seed.condition(lab, f"w{i}")["mode"] for i in range(24)}, {"watch"}, "modes")
    agent.put("two", key=keys[5])
    seed.restarted(lab, 1, "w5")
    agent.put("beside", key="app/settings/another")
    agent.put("two", key=keys[0])
    seed.restarted(lab, 1, "w0")
    for i in range(24):
        lab.wait_starts(2 if i in (0, 5) else 1, f"w{i}")


def test_connections_have_a_budget(lab):
    agent = consul.Agent(lab)
    keys = [f"folder{i}/key" for i in range(20)]
    for key in keys:
        agent.put("one", key=key)
    lab.supvd(config=watches_on(agent.address, keys))
    for i in range(20):
        seed.ready(lab, f"w{i}")
    modes = [seed.condition(lab, f"w{i}")["mode"] for i in range(20)]
    equal(set(modes), {"watch", "poll (connection budget)"}, f"modes {modes}")
    equal(len(connections(agent.port)) <= 16, True, f"connections {len(connections(agent.port))}")
    for i in (modes.index("watch"), modes.index("poll (connection budget)")):
        agent.put("two", key=keys[i])
        seed.restarted(lab, 1, f"w{i}")


def test_a_snapshot_restored_counts_once(lab):
    agent = consul.Agent(lab)
    agent.put("old")
    connection = consul.http.client.HTTPConnection("127.0.0.1", agent.port, timeout=20)
    connection.request("GET", "/v1/snapshot")
    snapshot = connection.getresponse().read()
    agent.put("new")
    seed.start(lab, agent.address)
    equal(agent.request("PUT", "/v1/snapshot", snapshot)[0], 200, "restore")
    seed.restarted(lab, 1, deadline=30)
    seed.settled(lab, agent, 1)


def test_unix_socket(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    path = lab.dir / "consul.sock"
    bridge = UnixBridge(path, agent.port)
    lab.closers.append(bridge.close)
    lab.env["CONSUL_HTTP_ADDR"] = f"unix://{path}"
    lab.supvd(config=seed.WATCH.format(address="''", kv="", more="", options="", key=consul.KEY)
              .replace("consul:\n  address: ''\n", ""))
    seed.ready(lab)
    agent.put("two")
    seed.restarted(lab, 1)


class UnixBridge:
    """A unix socket that leads to a TCP port."""

    def __init__(self, path, port):
        self.listener = supv.socket.socket(supv.socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)
        self.port = port
        consul.threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = supv.socket.create_connection(("127.0.0.1", self.port))
            for a, b in ((near, far), (far, near)):
                consul.threading.Thread(target=self.copy, args=(a, b), daemon=True).start()

    @staticmethod
    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for end in (a, b):
            try:
                end.shutdown(supv.socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


supv.main(globals())
