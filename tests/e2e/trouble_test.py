"""Silence is not a change: whatever Consul does, nothing restarts, and what changed meanwhile acts
once when it is over. Real Consul, behind a saboteur where it must be worse than it ever is."""
import time

import consul
import seed
import supv
from supv import equal, wait_until


def suffer(lab, mode):
    agent = consul.Agent(lab)
    saboteur = consul.Saboteur(agent)
    agent.put("one")
    seed.start(lab, saboteur.address, kv="mode: poll, interval: 200ms")
    saboteur.mode = mode
    seed.verdict(lab, "unknown", deadline=40)
    agent.put("two")
    asked = saboteur.asked
    wait_until(lambda: saboteur.asked > asked, f"another question to a {mode} Consul", 60)
    seed.verdict(lab, "unknown")
    equal(len(lab.starts()), 1, f"starts while Consul is {mode}")
    saboteur.mode = "pass"
    seed.restarted(lab, 1, deadline=60)
    seed.settled(lab, agent, 1)


for trouble in [*consul.Saboteur.ANSWERS, "truncated", "reset"]:
    globals()[f"test_{trouble}_answers"] = lambda lab, mode=trouble: suffer(lab, mode)


def test_consul_killed_for_15_seconds(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    seed.start(lab, agent.address)
    agent.kill()
    seed.verdict(lab, "unknown")
    dead_since = time.monotonic()
    wait_until(lambda: time.monotonic() - dead_since > 15, "15 s without Consul", 30)
    equal(len(lab.starts()), 1, "starts while Consul is dead")
    equal(lab.status()["supvd"]["consul"], "down")
    agent.start()
    seed.verdict(lab, "false", deadline=30)
    equal(len(lab.starts()), 1, "starts after its return")
    equal(lab.status()["supvd"]["consul"], "ok")
    agent.put("two")
    seed.restarted(lab, 1)


def test_leaderless_consul(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    seed.start(lab, agent.address)
    agent.kill()
    agent.start(expect=3, data="nobody")  # same port, a cluster that never elects
    seed.verdict(lab, "unknown", deadline=40)
    wait_until(lambda: "leader" in seed.condition(lab)["reason"].lower(),
               lambda: f"the reason names the missing leader: {seed.condition(lab)}", 40)
    agent.kill()
    agent.start()
    seed.verdict(lab, "false", deadline=40)
    equal(len(lab.starts()), 1, "starts")
    seed.settled(lab, agent, 0)


def test_frozen_consul(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    seed.start(lab, agent.address, kv="mode: poll, interval: 1s")
    agent.freeze()
    try:
        seed.verdict(lab, "unknown", deadline=40)
        lab.ctl("restart", "w").ok()  # commands do not wait for Consul
    finally:
        agent.thaw()
    seed.verdict(lab, "false", deadline=40)
    equal(len(lab.starts()), 2, "starts")
    seed.settled(lab, agent, 1)


def test_real_acl_forbids(lab):
    agent = consul.Agent(lab, acl=True)
    agent.put("one")
    secret = "a5e2b0c4-0000-4000-8000-000000000002"
    rule = 'key_prefix "devops/" { policy = "read" }'
    supv.equal(agent.request("PUT", "/v1/acl/policy", consul.json.dumps(
        {"Name": "reader", "Rules": rule}))[0], 200, "policy")

    def grant():
        status, text, _ = agent.request("PUT", "/v1/acl/token", consul.json.dumps(
            {"SecretID": secret, "Policies": [{"Name": "reader"}]}))
        equal(status, 200, "token")
        return consul.json.loads(text)["AccessorID"]

    accessor = grant()
    lab.env["CONSUL_HTTP_TOKEN"] = secret
    seed.start(lab, agent.address, kv="mode: poll, interval: 500ms")
    agent.request("DELETE", f"/v1/acl/token/{accessor}")
    seed.verdict(lab, "unknown", deadline=60)
    agent.put("two")
    equal(len(lab.starts()), 1, "starts while forbidden")
    wait_until(lambda: agent.request("GET", f"/v1/acl/token/{accessor}")[0] == 403, "no token")
    grant()
    seed.restarted(lab, 1, deadline=90)
    equal(secret in lab.log_text() + lab.ctl("status", "--json").out, False, "the token is shown")
    worker = lab.watch("w")["pid"]
    environment = open(f"/proc/{worker}/environ").read()
    equal("CONSUL_HTTP_TOKEN" in environment, False, "the worker inherits supvd's token")


def test_watch_mode_survives_every_bad_kind(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    saboteur = consul.Saboteur(agent)
    seed.start(lab, saboteur.address)
    for count, mode in enumerate(["leaderless", "garbage", "reset"]):
        asked = saboteur.asked
        saboteur.mode = mode
        agent.put(f"during {mode}")  # the query under way returns into the trouble
        wait_until(lambda: saboteur.asked > asked, f"another question to a {mode} Consul", 90)
        seed.verdict(lab, "unknown", deadline=40)
        equal(len(lab.starts()), count + 1, f"starts while Consul is {mode}")
        saboteur.mode = "pass"
        seed.restarted(lab, count + 1, deadline=60)


def test_a_silent_consul(lab):
    agent = consul.Agent(lab)
    saboteur = consul.Saboteur(agent)
    agent.put("one")
    seed.start(lab, saboteur.address, kv="mode: poll, interval: 300ms")
    saboteur.mode = "silent"
    seed.verdict(lab, "unknown", deadline=40)
    agent.put("two")
    equal(len(lab.starts()), 1, "starts while Consul is silent")
    saboteur.mode = "pass"
    seed.restarted(lab, 1, deadline=90)
    seed.settled(lab, agent, 1)


def test_tls(lab):
    program = consul.binary()
    for command in (["ca", "create"], ["cert", "create", "-server"],
                    ["ca", "create", "-domain", "stranger"]):
        lab.run(program, "tls", *command).ok()
    port = supv.free_port()
    agent = consul.Agent(lab)
    agent.kill()
    agent.settings["ports"]["https"] = port
    agent.settings.update(cert_file=str(lab.dir / "dc1-server-consul-0.pem"),
                          key_file=str(lab.dir / "dc1-server-consul-0-key.pem"))
    agent.start()
    agent.put("one")
    text = seed.WATCH.format(address=f"https://127.0.0.1:{port}\n  ca_file: @CA@", kv="", more="",
                             options="", key=consul.KEY)
    lab.supvd(config=text.replace("@CA@", str(lab.dir / "stranger-agent-ca.pem")))
    seed.verdict(lab, "unknown")
    wait_until(lambda: "certificate" in seed.condition(lab)["reason"].lower(),
               lambda: f"the reason names the certificate: {seed.condition(lab)}")
    lab.config(text.replace("@CA@", str(lab.dir / "consul-agent-ca.pem")))
    lab.ctl("load").ok()
    seed.ready(lab)
    starts = len(lab.starts())
    agent.put("two")
    lab.wait_starts(starts + 1)


supv.main(globals())
