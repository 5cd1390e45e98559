"""The seed's scenario: a worker that follows one Consul key."""
import supv
from consul import KEY

WATCH = """
consul:
  address: {address}
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness {options}
    {more}
    restart_if:
      - consul_kv: {{key: {key}, min_interval: 0s, {kv}}}
"""


def start(lab, address, kv="", more="", options="", key=KEY, flags=()):
    """supvd with one worker `w` on the key; returns when its baseline is known."""
    lab.supvd(*flags, config=WATCH.format(address=address, kv=kv, more=more, options=options,
                                          key=key))
    return ready(lab)


def condition(lab, name="w"):
    return next(c for c in lab.watch(name)["conditions"] if c["id"].startswith("consul_kv"))


def ready(lab, name="w"):
    supv.wait_until(lambda: lab.watch(name)["state"] == "up" and condition(lab, name)["timeline"],
                    lambda: f"{name} up with a first sample; it is {lab.watch(name)}")
    return lab.watch(name)


def restarted(lab, times, name="w", deadline=supv.PATIENCE):
    """Waits for exactly `times` restarts since the beginning."""
    watch = lab.wait_up(name, restarts=times, deadline=deadline)
    lab.wait_starts(times + 1, name)
    lab.never_two(name)
    return watch


def verdict(lab, expected, name="w", deadline=supv.PATIENCE):
    supv.wait_until(lambda: condition(lab, name)["verdict"] == expected,
                    lambda: f"verdict {expected}; it is {condition(lab, name)}", deadline)


def settled(lab, agent, times, name="w"):
    """Proof that nothing is on its way: a later change acts, and it is the only one that did."""
    agent.put(f"settled after {times}")
    return restarted(lab, times + 1, name, 40)
