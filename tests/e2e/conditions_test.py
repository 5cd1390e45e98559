"""What the lists of conditions do, and the finer settings of consul_kv. Trial Consul of --dev."""
import time

import consul
import seed
import supv
from supv import contains, equal, wait_until


def dev(lab, config, *flags):
    lab.supvd("--dev", *flags, config=config)
    return agent_of(lab)


def agent_of(lab):
    return consul.Http(int(lab.status()["supvd"]["consul_address"].rsplit(":", 1)[1]))


def follower(lab, kv, more="", options=""):
    """A worker on an existing key of the trial Consul."""
    agent = dev(lab, seed.WATCH.format(address="http://127.0.0.1:1", kv=kv, options=options,
                                       key=consul.KEY, more="autostart: false\n    " + more))
    agent.put("one")
    lab.ctl("start", "w").ok()
    seed.ready(lab)
    return agent


def test_start_if_starts_what_is_not_running(lab):
    lab.supvd(config="""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --exit-after 1200
    keepalive: false
    start_if: [process_running: {running: false, interval: 300ms}]
""")
    wait_until(lambda: len(lab.starts()) >= 3, "two more starts")
    equal(lab.watch("w")["last_change"]["by"], "condition")
    lab.never_two()


def test_stop_if_stops(lab):
    lab.supvd(config="""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --memory 60
    stop_if: [memory_usage: {above: 50MB, interval: 300ms}]
""")
    lab.wait_starts(1)
    wait_until(lambda: not supv.alive(lab.starts()[0]), "the end of the worker")
    watch = lab.wait_state("w", "stopped")
    equal((watch["last_change"]["action"], watch["last_change"]["by"]), ("stop", "condition"))
    lab.wait_starts(1)


def test_reload_if_reloads_once_per_change(lab):
    agent = dev(lab, f"""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --note HUP
    autostart: false
    reload: HUP
    reload_if: [consul_kv: {{key: {consul.KEY}, min_interval: 0s}}]
""")
    agent.put("one")
    lab.ctl("start", "w").ok()
    seed.ready(lab)
    for count, value in enumerate(("two", "three"), 1):
        agent.put(value)
        wait_until(lambda: lab.diary().count("signal HUP") >= count, f"reload {count}")
        seed.verdict(lab, "false")
        equal(lab.diary().count("signal HUP"), count, "reloads")
    lab.wait_starts(1)
    equal(lab.watch("w")["last_change"]["action"], "reload")


def test_notify_if_only_tells(lab):
    agent = dev(lab, f"""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness
    notify_if: [consul_kv: {{key: {consul.KEY}, min_interval: 0s}}]
""")
    agent.put("one")
    seed.ready(lab)
    agent.put("two")
    wait_until(lambda: consul.KEY in lab.ctl("events").out, "an event")
    equal(lab.watch("w")["restarts"], 0)


def test_both_lists_have_their_own_baseline(lab):
    agent = dev(lab, f"""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness --note HUP
    autostart: false
    reload: HUP
    reload_if: [consul_kv: {{key: {consul.KEY}, select: /soft, min_interval: 0s}}]
    restart_if: [consul_kv: {{key: {consul.KEY}, select: /hard, min_interval: 0s}}]
""")
    agent.put('{"soft": 1, "hard": 1}')
    lab.ctl("start", "w").ok()
    wait_until(lambda: all(c["timeline"] for c in lab.watch("w")["conditions"]), "samples")
    agent.put('{"soft": 2, "hard": 1}')
    wait_until(lambda: "signal HUP" in lab.diary(), "a reload")
    agent.put('{"soft": 2, "hard": 2}')
    lab.wait_up("w", restarts=1)
    equal(lab.diary().count("signal HUP"), 1)
    lab.wait_starts(2)


def test_splay_waits_visibly_and_can_be_undone(lab):
    agent = follower(lab, "splay: 20s")
    agent.put("two")
    pending = lab.wait_watch("w", lambda w: w["pending"], "something pending")["pending"]
    equal((pending["action"], pending["waiting_for"]), ("restart", "splay"))
    contains(pending["until"], "T")
    agent.put("one")
    lab.wait_watch("w", lambda w: w["pending"] is None, "nothing pending", 30)
    lab.wait_starts(1)


def test_changes_inside_min_interval_are_merged_not_dropped(lab):
    put = follower(lab, "").put
    lab.config(lab.config_file.read_text().replace("min_interval: 0s", "min_interval: 3s"))
    lab.ctl("load").ok()
    put("two")
    seed.restarted(lab, 1)
    first = time.monotonic()
    put("three")
    put("four")
    seed.restarted(lab, 2)
    equal(time.monotonic() - first > 2, True, "the pace is kept")
    put("five")
    seed.restarted(lab, 3)


def test_missed_ignore(lab):
    agent = consul.Agent(lab)
    agent.put("one")
    first = seed.start(lab, agent.address, kv="missed: ignore")
    lab.ctl("quit").ok()
    wait_until(lambda: lab.ctl("status").code == 7, "the end of supvd")
    agent.put("two")
    lab.supvd()
    seed.ready(lab)
    seed.verdict(lab, "false")
    equal(lab.watch("w")["pid"], first["pid"])
    seed.settled(lab, agent, 0)


def test_on_invalid_raw_counts(lab):
    agent = follower(lab, "select: /a, on_invalid: raw")
    agent.put("{broken")
    seed.restarted(lab, 1)


def test_the_timeline_is_shown_without_values(lab):
    agent = follower(lab, "window: 3")
    agent.put("very-secret-value")
    seed.restarted(lab, 1)
    shown = lab.ctl("status", "--json").out + lab.ctl("why", "w").out + lab.ctl("show", "w").out + \
        lab.ctl("history", "w").out + lab.ctl("events").out + lab.log_text()
    equal("very-secret-value" in shown, False, "a value is shown")
    state = seed.condition(lab)
    for entry in state["timeline"]:
        contains(entry, "#")
    contains(lab.watch("w")["last_change"]["reason"], "→")


def test_a_key_created_later_is_a_change(lab):
    agent = dev(lab, seed.WATCH.format(address="http://127.0.0.1:1", kv="", more="", options="",
                                       key=consul.KEY))
    seed.ready(lab)
    agent.put("one")
    seed.restarted(lab, 1)
    agent.delete()
    agent.put("one")
    agent.put("two")
    seed.restarted(lab, 2)


def test_configuration_is_composed(lab):
    lab.write("parts/more.watch.yaml", """
watches:
  included: {start: "${env.WORKER} --witness ${env.LAB}/included.witness"}
""")
    lab.supvd(config="""
vars: {who: composed}
include: [parts/*.watch.yaml]
defaults:
  env: {FROM_DEFAULTS: "1", BOTH: defaults}
watches:
  base: {start: "@WORKER@ --witness @DIR@/base.witness", autostart: false, env: {BASE: "1"}}
  w:
    extends: base
    autostart: true
    start: @WORKER@ --witness ${file.dir}/w.witness --describe ${file.dir}/${vars.who}
    env: {BOTH: watch, NAME: "${watch.name}", PRICE: "$${x}"}
""")
    lab.wait_up("included")
    text = wait_until(lambda: (lab.dir / "composed").exists() and
                      (lab.dir / "composed").read_text(), "the worker's view")
    for line in ("env FROM_DEFAULTS=1", "env BOTH=watch", "env BASE=1", "env NAME=w",
                 "env PRICE=${x}"):
        contains(text, line)


supv.main(globals())
