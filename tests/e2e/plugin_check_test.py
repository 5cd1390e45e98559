"""supvctl plugin check: good plugins pass, and whatever a bad one does becomes a finding that says
what it did and in which call, while supvctl itself comes to no harm and leaves nothing behind."""
import os
import shutil

import supv
from supv import contains, equal

PLUGINS = supv.BUILD / "tests" / "e2e" / "plugins"
LIMIT = 30  # Seconds that any check may take here.


def check(lab, name, *args, patience="5s", **options):
    """The findings of one check as JSON; every process that it started must be gone."""
    words = [f"--option={key}={value}" for key, value in options.items()]
    path = name if isinstance(name, os.PathLike) else PLUGINS / f"{name}.so"
    result = lab.ctl("plugin", "check", path, "--json", "--timeout", patience, *words, *args,
                     timeout=LIMIT)
    found = result.exits(0, 1).json
    equal(found["ok"], result.code == 0, "ok and the exit code agree")
    equal(result.err, "", "standard error")
    equal(supv.descendants(os.getpid()), [], "processes that were left behind")
    return found


def texts(found, level, stage=None):
    return [one["text"] for one in found["findings"]
            if one["level"] == level and stage in (None, one["stage"])]


def wrong(lab, name, stage, *parts, **options):
    """This stage (None: one of them) has something wrong, and it says these parts."""
    found = check(lab, name, **options)
    equal(found["ok"], False, f"{name} {options} is found out")
    said = "\n".join(texts(found, "wrong", stage))
    for part in parts:
        contains(said, part, f"{name} {options}: {found['findings']}")
    return found


def test_a_good_plugin_in_c_passes(lab):
    found = check(lab, "steady", file="/nonexistent", above="2GB")
    equal((found["ok"], found["wrong"], found["warnings"]), (True, 0, 0), str(found["findings"]))
    stages = [one["stage"] for one in found["findings"]]
    equal(list(dict.fromkeys(stages)),
          ["file", "load", "symbol", "abi", "name", "declaration", "create", "ticks", "events",
           "instances", "values"], "stages")
    contains("\n".join(texts(found, "ok", "ticks")), "970 ok, 0 fire, 30 unknown")
    contains(found["reference"], "steady: True while a file exists")
    # Options reach it: what it says depends on them.
    found = check(lab, "steady", file="/etc/passwd", above="2GB")
    contains("\n".join(texts(found, "ok", "ticks")), "0 ok, 970 fire, 30 unknown")
    # A size is handed over in bytes: the invented process uses 100 MB and more.
    found = check(lab, "steady", file="/nonexistent", above="200MB", scope="process")
    contains("\n".join(texts(found, "ok", "ticks")), "196 ok, 774 fire, 30 unknown")


def test_a_good_plugin_in_cpp_passes(lab):
    (lab.dir / "queue").mkdir()
    found = check(lab, "queue_cc", dir=lab.dir / "queue", above=0)
    equal((found["ok"], found["warnings"]), (True, 0), str(found["findings"]))
    contains("\n".join(texts(found, "ok", "ticks")), "1000 ok, 0 fire")
    lab.write("queue/one", "")
    found = check(lab, "queue_cc", dir=lab.dir / "queue", above=0)
    contains("\n".join(texts(found, "ok", "ticks")), "0 ok, 1000 fire")


def test_what_people_read(lab):
    path = PLUGINS / "steady.so"
    result = lab.ctl("plugin", "check", path).ok()
    lines = result.out.splitlines()
    equal(lines[-1], f"{path}: good")
    equal({line.split()[0] for line in lines[:-1]}, {"ok"})
    contains(lab.ctl("plugin", "check", path, "--verbose").ok().out, "Options of every condition")
    equal(lab.ctl("plugin", "check", path, "-q").ok().out, "")
    result = lab.ctl("plugin", "check", PLUGINS / "wrong_abi.so").exits(1)
    contains(result.out, "it was built for ABI 7, this supvd speaks ABI 1")
    contains(result.out.splitlines()[-1], "1 thing is wrong")


def test_usage(lab):
    path = PLUGINS / "steady.so"
    lab.ctl("plugin").exits(2)
    lab.ctl("plugin", "check").exits(2)
    lab.ctl("plugin", "praise", path).exits(2)
    lab.ctl("plugin", "check", path, path).exits(2)
    lab.ctl("plugin", "check", path, "--timeout", "0s").exits(2)
    result = lab.ctl("plugin", "check", path, "--option", "above").exits(2)
    contains(result.err, "--option NAME=VALUE")


def test_options_that_do_not_fit(lab):
    wrong(lab, "steady", "create", "option above: 'heavy' is not a size", above="heavy")
    wrong(lab, "steady", "create", "it has no option 'colour'; it has file, every, above",
          colour="red")
    wrong(lab, "steady", "create", "option scope: 'all' is not one of tree|process", scope="all")
    found = wrong(lab, "naughty", "create", "returns NULL and does not say why",
                  how="null_reason", when="create")
    equal(texts(found, "wrong", "create")[1], "it refuses its options")


def test_files_that_are_no_plugin(lab):
    wrong(lab, lab.dir / "missing.so", "file", "No such file")
    wrong(lab, lab.dir, "file", "NAME.so")
    (lab.dir / "folder.so").mkdir()
    wrong(lab, lab.dir / "folder.so", "file", "not a file")
    wrong(lab, lab.write("text.so", "hello\n"), "load", "file too short")
    wrong(lab, lab.write("noise.so", "\x7fELF" + "x" * 9000), "load", "ELF")
    wrong(lab, "bare", "symbol", "it does not export supv_condition_plugin")
    wrong(lab, "misnamed", "name", "it is the condition 'other_name', so its file must be")
    wrong(lab, "wrong_abi", "abi", "ABI 7", "ABI 1")


def test_a_file_that_others_can_change(lab):
    path = lab.dir / "steady.so"
    shutil.copy(PLUGINS / "steady.so", path)
    path.chmod(0o666)
    found = check(lab, path)
    equal(found["ok"], True, "it is only warned of")
    contains(texts(found, "warning", "file")[0], "the file can be written by everybody")
    contains(texts(found, "warning", "file")[0], "supvd will not load it")
    path.chmod(0o644)
    equal(texts(check(lab, path), "warning"), [], "warnings")


def test_without_standard_streams(lab):
    """Whatever numbers its descriptors get then."""
    ctl, path = supv.BUILD / "supvctl", PLUGINS / "steady.so"
    lab.run("sh", "-c", f"exec {ctl} plugin check {path} <&- >&- 2>&-").ok()
    result = lab.run("sh", "-c", f"exec {ctl} plugin check {path} <&- 2>&-").ok()
    contains(result.out, "good")
    naughty = f"{PLUGINS / 'naughty.so'} --option how=chatter"
    result = lab.run("sh", "-c", f"exec {ctl} plugin check {naughty} <&- 2>&-").ok()
    contains(result.out, "I am here")


def test_as_somebody_else(lab):
    """It needs no rights, and has none of those of root."""
    if os.geteuid() != 0:
        raise supv.Skip("needs root")
    for name in ("supvctl", "tests/e2e/plugins/steady.so", "tests/e2e/plugins/naughty.so"):
        shutil.copy(supv.BUILD / name, lab.dir)
    secret = lab.write("secret", "", mode=0o644)
    (lab.dir / "closed").mkdir(mode=0o700)
    shutil.move(secret, lab.dir / "closed" / "secret")
    found = check(lab, lab.dir / "steady.so", file=lab.dir / "closed" / "secret", above="2GB")
    contains("\n".join(texts(found, "ok", "ticks")), "970 ok, 0 fire", "root's file is hidden")
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
    result = lab.run(*as_nobody, lab.dir / "supvctl", "plugin", "check", lab.dir / "steady.so").ok()
    contains(result.out, "good")
    result = lab.run(*as_nobody, lab.dir / "supvctl", "plugin", "check", lab.dir / "naughty.so",
                     "--option", "how=fork").exits(1)
    contains(result.out, "leaves a child process behind")
    equal(supv.descendants(os.getpid()), [], "processes that were left behind")


def test_a_plugin_that_could_be_nicer(lab):
    found = check(lab, "sloppy")
    equal(found["ok"], True)
    warned = "\n".join(texts(found, "warning"))
    for part in ("exports 1 name besides", "help should be a sentence", "option level",
                 "writes verdict->metrics where verdict->size says", "flags 0x40000000 mean nothing"):
        contains(warned, part)


def test_constructors(lab):
    wrong(lab, "constructor_crash", "load", "SIGABRT", "being loaded")
    wrong(lab, "constructor_loop", "load", "does not come back within 1s", patience="1s")
    wrong(lab, "constructor_fork", "load", "leaves a child process behind")


# how -> what is said of it in any call
IN_ANY_CALL = {
    "segfault": ("SIGSEGV",),
    "abort": ("SIGABRT",),
    "stack": ("SIGSEGV", "stack"),
    "exit": ("ends the process with code 3",),
    "close": ("closes descriptor 0",),
    "leak": ("supvd gives a plugin 256MiB",),
    "fork": ("leaves a child process behind",),
    "daemon": ("leaves a child process behind",),
    "print": ("prints more than",),
}
CALLS = {"create": ("create", "create"), "poll": ("ticks", "on_event"),
         "ended": ("events", "on_event"), "destroy": ("create", "destroy")}


def test_what_ends_a_process_is_found_in_each_call(lab):
    for how, parts in IN_ANY_CALL.items():
        for when, (stage, call) in CALLS.items():
            # How many processes there may be is counted for all of nobody's plugins together, so a
            # test beside this one can keep it from forking for a moment.
            forks = how in ("fork", "daemon")
            wrong(lab, "naughty", None if forks else stage, call, *parts, how=how, when=when)


def test_a_call_that_never_returns(lab):
    for when, (stage, call) in CALLS.items():
        wrong(lab, "naughty", stage, f"does not come back within 1s from {call}", how="loop",
              when=when, patience="1s")


def test_the_call_is_counted(lab):
    wrong(lab, "naughty", "ticks", "on_event(SUPV_TICK), call 18", how="segfault", after=17)


def test_exceptions(lab):
    for when, stage in (("poll", "ticks"), ("create", "create"), ("destroy", "create")):
        wrong(lab, "thrower", stage, "throws an exception through the C interface", when=when)


def test_verdicts(lab):
    found = wrong(lab, "naughty", "ticks", "the outcome 4711", "longer than 1024 bytes",
                  how="garbage")
    equal(len(texts(found, "wrong")), 2, "each is said once")
    wrong(lab, "naughty", "create", "without its final NUL", how="garbage", when="create")
    found = wrong(lab, "naughty", "ticks", "must live until the next call", how="unstable")
    equal(found["wrong"], 1, str(found["findings"]))
    wrong(lab, "naughty", "ticks", "control characters", "two\\nlines", how="control")
    wrong(lab, "naughty", "ticks", "metrics cannot be read", "'=5'", how="metrics")
    wrong(lab, "naughty", "ticks", "has asked for nothing", how="pending")
    # It looks at what lies behind the event.
    wrong(lab, "naughty", "ticks", "SIGSEGV", how="overread")
    equal(check(lab, "naughty", how="null_reason")["ok"], True, "a reason may be missing")


def test_what_is_left_behind(lab):
    wrong(lab, "naughty", "instances", "bytes with each poll", how="leak_slowly")
    for when in ("create", "destroy"):
        wrong(lab, "naughty", "instances", "bytes with each instance", how="leak_slowly", when=when)
        wrong(lab, "naughty", "instances", "1 descriptor open", how="descriptors", when=when)
        wrong(lab, "naughty", "instances", "thread", how="threads", when=when)
    wrong(lab, "naughty", "ticks", "opens 1 descriptor with each poll", how="descriptors")
    equal(check(lab, "naughty", how="threads")["ok"], False, "a thread for each poll")
    equal(check(lab, "naughty", how="behave")["warnings"], 0, "one that behaves")


def test_a_slow_one_is_only_warned(lab):
    found = check(lab, "naughty", how="slow", patience="1s")
    warned = "\n".join(texts(found, "warning"))
    equal(found["ok"], True, str(found["findings"]))
    for part in ("on_event took 3", "of 1000 polls", "too long without SUPV_WAITS"):
        contains(warned, part)


def test_what_it_prints_is_shown(lab):
    found = check(lab, "naughty", how="chatter", when="create")
    equal(found["ok"], True)
    contains(texts(found, "warning", "output")[0], "I am here")


supv.main(globals())
