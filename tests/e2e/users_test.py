"""Under whom and in what a process runs, as the process itself sees it."""
import grp
import os
import pwd
import shutil

import supv
from supv import contains, equal, wait_until


def described(lab, watch, name="w", env=None, path=None):
    """Starts the watch, whose worker writes down what it sees."""
    if os.geteuid() != 0:
        raise supv.Skip("other users need root")
    shutil.copy(supv.WORKER, lab.dir / "worker")  # where every user may execute it
    os.chmod(lab.dir, 0o777)
    lab.config(f"watches:\n  {name}:\n    start: {watch.pop('program', '@DIR@/worker')} --describe "
               f"{watch.pop('file', '@DIR@/self')}\n" +
               "".join(f"    {key}: {value}\n" for key, value in watch.items()))
    lab.supvd(env=env)
    file = path or lab.dir / "self"
    wait_until(file.exists, lambda: f"{file}; {lab.ctl('why', name).out}")
    return parse(file)


def parse(file):
    seen = {"env": {}}
    for line in file.read_text().splitlines():
        word, _, rest = line.partition("\t" if ":\t" in line else " ")
        if word == "env":
            key, _, value = rest.partition("=")
            seen["env"][key] = value
        else:
            seen[word.rstrip(":")] = rest.split() if word in ("Uid:", "Gid:", "Groups:") else rest
    return seen


def test_user_and_groups_by_name(lab):
    user = pwd.getpwnam("daemon")
    seen = described(lab, {"uid": "daemon"})
    equal(seen["Uid"], [str(user.pw_uid)] * 4)
    equal(seen["Gid"], [str(user.pw_gid)] * 4)
    groups = {str(g.gr_gid) for g in grp.getgrall() if "daemon" in g.gr_mem} | {str(user.pw_gid)}
    equal(set(seen["Groups"]) <= groups, True, f"supplementary groups {seen['Groups']}")
    equal((seen["env"]["HOME"], seen["env"]["USER"], seen["env"]["LOGNAME"]),
          (user.pw_dir, "daemon", "daemon"))


def test_user_and_group_by_number(lab):
    seen = described(lab, {"uid": 12345, "gid": 23456})
    equal(seen["Uid"], ["12345"] * 4)
    equal(seen["Gid"], ["23456"] * 4)
    equal(set(seen["Groups"]) <= {"23456"}, True, f"supplementary groups {seen['Groups']}")
    equal(seen["CapEff"], "0000000000000000", "capabilities")


def test_group_alone(lab):
    seen = described(lab, {"gid": "daemon"})
    equal(seen["Gid"], [str(grp.getgrnam("daemon").gr_gid)] * 4)
    equal(seen["Uid"], ["0"] * 4)


def test_umask_and_dir(lab):
    (lab.dir / "release-1").mkdir()
    os.symlink("release-1", lab.dir / "current")
    seen = described(lab, {"umask": '"0027"', "dir": "@DIR@/current"})
    equal(seen["umask"], "0027")
    equal(seen["cwd"], str(lab.dir / "release-1"))
    (lab.dir / "release-2").mkdir()
    os.unlink(lab.dir / "current")
    os.symlink("release-2", lab.dir / "current")
    lab.ctl("restart", "w").ok()
    wait_until(lambda: parse(lab.dir / "self")["cwd"] == str(lab.dir / "release-2"),
               "the new release after a restart")


def test_environment_is_inherited_minus_supvds_own(lab):
    lab.write("more.env", "FROM_FILE=yes\nBOTH=file\n")
    seen = described(lab, {"env": "{ANSWER: 42, BOTH: watch, YES: yes}", "env_file": "@DIR@/more.env"},
                     env={"INHERITED": "1", "CONSUL_HTTP_TOKEN": "secret", "WATCHDOG_PID": "1",
                          "LISTEN_FDS": "0"})["env"]
    equal((seen["ANSWER"], seen["YES"], seen["FROM_FILE"], seen["INHERITED"]),
          ("42", "yes", "yes", "1"))
    equal(seen["BOTH"], "watch", "env wins over env_file")
    kept = {key for key in seen if key.startswith(("CONSUL_HTTP_TOKEN", "NOTIFY_", "WATCHDOG_",
                                                   "LISTEN_", "SUPV_"))}
    equal(kept, {"SUPV_WATCH"}, "what is meant for supvd alone; the watch's name is the worker's")
    equal(seen["SUPV_WATCH"], "w")


def test_clean_env(lab):
    seen = described(lab, {"clean_env": "true", "env": "{ONLY: this}"}, env={"INHERITED": "1"})
    allowed = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "ONLY", "PWD", "SUPV_WATCH"}
    equal(set(seen["env"]) - allowed, set(), "inherited all the same")
    equal(seen["env"]["ONLY"], "this")
    equal(bool(seen["env"]["PATH"]), True, "PATH")


def test_chroot(lab):
    if os.geteuid() != 0:
        raise supv.Skip("chroot needs root")
    jail = lab.dir / "jail"
    done = lab.run("ldd", supv.WORKER)
    for word in done.out.split():
        if word.startswith("/"):
            target = jail / word.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, target)
    for made in ("proc", "dev"):
        (jail / made).mkdir(parents=True)
    shutil.copy(supv.WORKER, jail / "worker")
    seen = described(lab, {"program": "/worker", "file": "/self", "chroot": "@DIR@/jail",
                           "dir": "/"}, path=jail / "self")
    equal(seen["cwd"], "/")


def test_nothing_of_supvds_signals_is_inherited(lab):
    seen = described(lab, {"autostart": "true"})
    for mask in ("SigBlk", "SigIgn"):
        equal(int(seen[mask], 16) & ~(1 << 12), 0, mask)
    lab.ctl("restart", "w").ok()


def test_an_impossible_user_starts_nothing(lab):
    if os.geteuid() != 0:
        raise supv.Skip("other users need root")
    lab.config("""
watches:
  w: {start: "@WORKER@ --witness @DIR@/w.witness", uid: 0day}
""")
    result = lab.run(*lab.daemon_args())
    if result.code == 0:
        lab.wait_state("w", "backoff", "failed")
        contains(lab.ctl("why", "w").out, "0day")
    else:
        equal(result.code, 78)
        contains(result.out + result.err, "0day")
    equal(lab.starts(), [], "starts")


def test_an_ordinary_user_has_the_same_exit_detection(lab):
    if os.geteuid() != 0:
        raise supv.Skip("changing the user needs root")
    for program in ("supvd", "supvctl"):
        shutil.copy(supv.BUILD / program, lab.dir / program)
    shutil.copy(supv.WORKER, lab.dir / "worker")
    lab.config("watches:\n  w: {start: '@DIR@/worker --witness @DIR@/w.witness'}\n")
    lab.run("chown", "-R", "daemon", lab.dir).ok()
    as_daemon = ["setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups"]
    args = lab.daemon_args()
    lab.run(*as_daemon, lab.dir / "supvd", *args[1:], env={"HOME": str(lab.dir)}).ok()
    pid = lab.wait_up("w")["pid"]
    equal(os.stat(f"/proc/{pid}").st_uid, pwd.getpwnam("daemon").pw_uid)
    os.kill(pid, 9)
    watch = lab.wait_up("w", restarts=1)
    equal(watch["last_exit"]["signal"], "KILL")
    lab.run(*as_daemon, lab.dir / "supvctl", "terminate").ok()


def test_operators_command_readers_look_and_others_are_refused(lab):
    if os.geteuid() != 0:
        raise supv.Skip("other users need root")
    shutil.copy(supv.BUILD / "supvctl", lab.dir / "supvctl")  # where every user may execute it
    lab.supvd(config="""
daemon: {operators: [daemon], readers: ["@bin"]}
watches:
  w: {start: "@WORKER@ --witness @DIR@/w.witness"}
""")
    pid = lab.wait_up("w")["pid"]

    def ctl(user, *args):
        return lab.run(lab.dir / "supvctl", *args, user=user, group=user, extra_groups=[])

    for user in ("daemon", "bin"):
        contains(ctl(user, "status").ok().out, "w ")
        contains(ctl(user, "why", "w").ok().out, "w is up")
    contains(ctl("bin", "restart", "w").exits(4).err, "bin")
    equal(lab.watch("w")["pid"], pid, "pid after a reader's restart")
    for command in (["status"], ["restart", "w"], ["terminate"]):
        refused = ctl("games", *command)
        equal(refused.code in (4, 7), True, f"games may not {command[0]}: {refused!r}")
    ctl("daemon", "restart", "w").ok()
    lab.wait_up("w", other_than=pid)
    contains(lab.ctl("history", "w").ok().out, "daemon")
    # Who may do what applies live.
    lab.config(lab.config_file.read_text().replace("operators: [daemon], ", ""))
    lab.ctl("load").ok()
    ctl("daemon", "stop", "w").exits(4, 7)
    lab.wait_up("w")


supv.main(globals())
