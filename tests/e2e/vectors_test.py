"""The sample vectors of the seed's poll mode: what each reading of the key leads to.
R restart, s skipped (unknown), - nothing. Window 3 collapses like window 2 after a restart."""
import consul
import seed
import supv
from supv import equal

VECTORS = {
    "B": "-",
    "A A B B": "- - R -",
    "A B B A": "- R - R",
    "A B A": "- R R",
    "A ! ! B": "- s s R",
    "A ! ! A": "- s s -",
    "A B ! B": "- R s -",
    "A 0 A": "- R R",
}


def play(lab, samples, effects, window):
    impostor = consul.Impostor()
    lab.supvd(config=seed.WATCH.format(
        address=impostor.address, key=consul.KEY, options="", more="",
        kv=f"mode: poll, interval: 100ms, window: {window}, on_delete: change, settle: 0s"))
    lab.wait_up("w")
    impostor.wait_first()
    restarts = 0
    for sample, effect in zip(samples.split(), effects.split(), strict=True):
        impostor.play(sample)
        if effect == "R":
            restarts += 1
        watch = lab.wait_up("w", restarts=restarts)
        equal(watch["restarts"], restarts, f"restarts after {sample} of {samples}")
        state = seed.condition(lab)
        equal(state["verdict"] == "unknown", effect == "s", f"unknown after {sample} of {samples}")
        equal(len(state["timeline"]) <= window, True, f"a window of {window}: {state}")
    impostor.play(samples.split()[-1])
    lab.wait_starts(restarts + 1)
    lab.never_two()


def make(samples, effects, window):
    return lambda lab: play(lab, samples, effects, window)


for vector, result in VECTORS.items():
    for size in (2, 3):
        name = vector.replace("!", "skip").replace("0", "absent").replace(" ", "_")
        globals()[f"test_{name}_window_{size}"] = make(vector, result, size)

supv.main(globals())
