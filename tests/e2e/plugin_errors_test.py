"""Plugins that cannot be used: check, load and supvd say which, why and where, nothing changes then,
nothing is left running; and what the tools for people say of plugins, good and bad."""
import json
import os
import shutil
import signal
import subprocess
import time

import supv
from plugin_lab import PLUGINS, Asker, all_processes, host, wait_verdict
from supv import contains, equal, wait_until

GOOD = f"""
plugins: {PLUGINS}
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness
    interval: 200ms
    restart_if:
      - steady: {{file: @DIR@/never, timeout: 2s}}
"""
# The place of a condition that is added to it.
LINE, COLUMN = 9, 9


def describers():
    return [pid for pid in all_processes() if "--role describe" in supv.commandline(pid)
            and supv.alive(pid)]


# condition -> what is said of it
UNUSABLE = {
    "constructor_crash: {}": ("constructor_crash.so cannot be used", "killed by ABRT"),
    "constructor_fork: {}": ("constructor_fork.so cannot be used", "left a process behind"),
    "wrong_abi: {}": ("wrong_abi.so cannot be used", "ABI 7", "ABI 1"),
    "misnamed: {}": ("misnamed.so cannot be used", "'other_name'", "other_name.so"),
    "bare: {}": ("bare.so cannot be used", "no condition plugin"),
    "naughty: {how: segfault, when: create}": ("naughty: ", "killed by SEGV"),
    "naughty: {how: abort, when: create}": ("naughty: ", "killed by ABRT"),
    "naughty: {how: stack, when: create}": ("naughty: ", "killed by SEGV"),
    "naughty: {how: exit, when: create}": ("naughty: ", "ended the process", "code 3"),
    "naughty: {how: close, when: create}": ("naughty: ", "ended the process"),
    "naughty: {how: fork, when: create}": ("naughty: ", "left a process behind"),
    "naughty: {how: daemon, when: create}": ("naughty: ", "left a process behind"),
    "naughty: {how: garbage, when: create}": ("naughty: ", "gggg"),
    "naughty: {how: null_reason, when: create}": ("naughty: ", "it could not be made"),
    "naughty: {how: segfault, when: destroy}": ("naughty: ", "killed by SEGV"),
    "naughty: {how: daemon, when: destroy}": ("naughty: ", "left a process behind"),
    "thrower: {when: create}": ("thrower: ",),
    "steady: {file: ''}": ("steady: ", "file: it needs a path"),
}
# These are found by whoever reads what the plugin has declared, at the place of the option.
MISTAKEN = {
    "steady: {}": ("needs 'file'", "file"),
    "steady: {file: /a, above: heavy}": ("heavy",),
    "steady: {file: /a, scope: all}": ("tree", "process"),
    "steady: {file: /a, flie: /b}": ("flie", "'file'"),
    "stead: {file: /a}": ("stead", "'steady'"),
}


def told(text, parts, what):
    for part in parts:
        contains(text, part, what)
    contains(text, f"test.watch.yaml:{LINE}:", what)
    equal(describers(), [], f"{what}: processes that were left")


def test_check_says_what_is_wrong_and_where(lab):
    for bad, parts in (UNUSABLE | MISTAKEN).items():
        lab.config(GOOD + f"      - {bad}\n")
        began = time.monotonic()
        said = lab.ctl("check", lab.config_file).exits(6).err
        told(said, parts, bad)
        if bad in UNUSABLE:
            contains(said, f"test.watch.yaml:{LINE}:{COLUMN}: error: ", bad)
        equal(said.count(": error: "), 1, f"{bad}: one error\n{said}")
        assert time.monotonic() - began < 4, f"{bad} took {time.monotonic() - began:.1f} s"


def test_load_says_it_too_and_changes_nothing(lab):
    lab.supvd(config=GOOD)
    wait_verdict(lab, "w", "steady#1", "false")
    process = host("steady")
    for bad, parts in (UNUSABLE | MISTAKEN).items():
        lab.config(GOOD.replace("w.witness", "other.witness") + f"      - {bad}\n")
        said = lab.ctl("load", lab.config_file).exits(6).err
        told(said, parts, bad)
    equal([one["id"] for one in lab.watch("w")["conditions"]], ["steady#1"], "conditions")
    equal(host("steady"), process, "the process of the plugin")
    equal((len(lab.starts("w")), lab.starts("other")), (1, []), "starts")
    lab.config(GOOD + "      - naughty: {}\n")
    lab.ctl("load", lab.config_file).ok()
    wait_verdict(lab, "w", "naughty#1", "false", "it behaves")


def test_supvd_says_it_before_it_starts_anything(lab):
    for bad in ("constructor_crash: {}", "wrong_abi: {}", "naughty: {how: exit, when: create}"):
        said = lab.supvd(config=GOOD + f"      - {bad}\n", code=78).err
        told(said, UNUSABLE[bad], bad)
    equal(lab.starts("w"), [], "starts")


def test_what_never_says_what_it_is(lab):
    """Five seconds are its time. The supvd that runs has other things to do meanwhile."""
    lab.supvd(config=GOOD)
    wait_verdict(lab, "w", "steady#1", "false")
    lab.config(GOOD + "      - constructor_loop: {}\n")
    load = subprocess.Popen([supv.BUILD / "supvctl", "load", lab.config_file], env=lab.env,
                            stderr=subprocess.PIPE, text=True)
    wait_until(describers, "a process that tries it")
    asker = Asker(lab)
    wait_until(lambda: asker.status() and load.poll() is not None, "the end of the load")
    asker.close()
    print(f"p99 of {len(asker.times)} status during the load: {asker.p99() * 1000:.2f} ms")
    assert len(asker.times) >= 100 and asker.p99() < 0.5, asker.times
    equal(load.returncode, 6)
    told(load.stderr.read(), ("constructor_loop.so cannot be used", "within 5 s"), "load")
    began = time.monotonic()
    said = lab.ctl("check", lab.config_file).exits(6).err
    told(said, ("constructor_loop.so cannot be used", "within 5 s"), "check")
    assert 4.5 < time.monotonic() - began < 9, "its time"
    equal([one["id"] for one in lab.watch("w")["conditions"]], ["steady#1"], "conditions")


def test_check_that_is_killed_leaves_nothing(lab):
    lab.config(GOOD + "      - constructor_loop: {}\n")
    for number in (signal.SIGINT, signal.SIGKILL):
        check = subprocess.Popen([supv.BUILD / "supvctl", "check", lab.config_file], env=lab.env)
        wait_until(lambda: len(describers()) == 2, "a process that tries it")
        check.send_signal(number)
        check.wait()
        wait_until(lambda: not describers(), describers, 3)


def test_files_that_others_can_change(lab):
    folder = lab.dir / "conditions"
    folder.mkdir()
    shutil.copy(PLUGINS / "steady.so", folder)
    lab.config(GOOD.replace(str(PLUGINS), "conditions"))
    lab.ctl("check", lab.config_file).ok()
    place = "test.watch.yaml:8:9: error: "
    for path, mode, back, parts in (
            (folder / "steady.so", 0o666, 0o644, ("the file can be written by everybody",)),
            (folder, 0o777, 0o755, (f"{folder} can be written by everybody",)),
            (lab.dir, 0o777, 0o755, (f"{lab.dir} can be written by everybody",))):
        path.chmod(mode)
        said = lab.ctl("check", lab.config_file).exits(6).err
        for part in (place, f"{folder}/steady.so cannot be used", *parts):
            contains(said, part)
        contains(lab.supvd(code=78).err, parts[0])
        path.chmod(back)
    if os.geteuid() == 0:
        os.chown(folder / "steady.so", 65534, 65534)
        contains(lab.ctl("check", lab.config_file).exits(6).err, "belongs to user 65534")
        os.chown(folder / "steady.so", 0, 0)
    lab.ctl("check", lab.config_file).ok()


def test_a_file_that_becomes_unsafe_while_supvd_runs(lab):
    """What has been loaded runs on; what has to be loaded again is not."""
    folder = lab.dir / "conditions"
    folder.mkdir()
    shutil.copy(PLUGINS / "steady.so", folder)
    lab.supvd(config=GOOD.replace(str(PLUGINS), "conditions"))
    wait_verdict(lab, "w", "steady#1", "false")
    (folder / "steady.so").chmod(0o666)
    os.kill(host("steady"), signal.SIGKILL)
    wait_verdict(lab, "w", "steady#1", "unknown", "the file can be written by everybody")
    (folder / "steady.so").chmod(0o644)
    wait_verdict(lab, "w", "steady#1", "false")
    equal(len(lab.starts("w")), 1, "starts")


def test_a_brain_that_finds_a_broken_plugin(lab):
    """The watches go on; only what needs the plugin is unknown."""
    folder = lab.dir / "conditions"
    folder.mkdir()
    shutil.copy(PLUGINS / "steady.so", folder)
    lab.supvd(config=GOOD.replace(str(PLUGINS), "conditions"))
    wait_verdict(lab, "w", "steady#1", "false")
    (folder / "steady.so").unlink()
    brain = lab.role("brain")
    os.kill(brain, signal.SIGKILL)
    wait_until(lambda: lab.role("brain") != brain, "another brain")
    lab.wait_up("w")
    equal(len(lab.starts("w")), 1, "starts")
    shutil.copy(PLUGINS / "steady.so", folder)
    lab.ctl("load", lab.config_file).ok()
    wait_verdict(lab, "w", "steady#1", "false")
    equal(len(lab.starts("w")), 1, "starts")


# --- for people ------------------------------------------------------------------------------------
def test_conditions_schema_and_completion(lab):
    folder = lab.dir / "conditions"
    folder.mkdir()
    for name in ("steady", "constructor_crash", "wrong_abi"):
        shutil.copy(PLUGINS / f"{name}.so", folder)
    there = {"SUPV_PLUGIN_PATH": str(folder)}
    listed = lab.ctl("conditions", env=there).ok().out
    lines = {line.split()[0]: line for line in listed.splitlines() if line.strip()}
    contains(lines["steady"], "True while a file exists")
    contains(lines["constructor_crash"], "ABRT")
    contains(lines["wrong_abi"], "ABI 7")
    contains(lines["memory_usage"], "memory")
    assert "steady" not in lab.ctl("conditions").ok().out, "without the path it is unknown"
    one = lab.ctl("conditions", "steady", env=there).ok().out
    for part in ("True while a file exists", "above", "300MB", "Fires when the tree uses more.",
                 str(folder / "steady.so")):
        contains(one, part)
    lab.ctl("conditions", "constructor_crash", env=there).exits(*range(1, 10))
    schema = json.loads(lab.ctl("schema", env=there).ok().out)
    contains(json.dumps(schema), "Fires when the tree uses more.")
    assert "Fires when the tree" not in lab.ctl("schema").ok().out
    equal(describers(), [], "processes that were left")


supv.main(globals())
