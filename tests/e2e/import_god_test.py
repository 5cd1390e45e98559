"""supvctl import god: god's own kinds of files, the seed's, and files that misbehave."""
import json
import os
import pathlib
import shutil
import subprocess
import time

import supv
from supv import contains, equal, wait_until

FILES = pathlib.Path(__file__).resolve().parent / "god"


def convert(lab, name, *args, code=0, **options):
    """The report of `import god --json`."""
    path = FILES / name if (FILES / name).exists() else lab.dir / name
    result = lab.ctl("import", "god", path, "--json", *args, **options).exits(code)
    return result.json


def texts(report, kind):
    return [note["text"] for note in report["notes"] if note["kind"] == kind]


def has(report, kind, part):
    if not any(part in text for text in texts(report, kind)):
        raise AssertionError(f"no {kind} note with {part!r}: {json.dumps(report['notes'], indent=1)}")


def yaml(lab, text, name="t.god"):
    lab.write(name, text)
    return convert(lab, name)["yaml"]


def test_every_kind_of_gods_own_files_converts(lab):
    names = sorted(path.name for path in FILES.glob("*.god"))
    equal(len(names) > 18, True, "files")
    for name in names:
        report = convert(lab, name)
        equal((report["ok"], report["errors"]), (True, []), name)
        made = len(report["watches"]) + len(report["tasks"]) + len(texts(report, "lost"))
        equal(made > 0, True, f"{name}: converted or reported")
        for diagnostic in report["check"]:
            equal(diagnostic["severity"], "warning", f"{name}: {diagnostic}")


def test_the_result_is_what_supvd_checks(lab):
    out = lab.dir / "single.watch.yaml"
    result = lab.ctl("import", "god", FILES / "single.god", "-o", out).ok()
    contains(result.err, "executing the Ruby code of")
    contains(result.err, "god has no condition process_time")
    contains(result.err, "check: ok")
    lab.ctl("check", out).ok()
    text = out.read_text()
    for line in ("keepalive: true", "flapping: {times: 5, within: 5m, retry_in: 10m, "
                 "retry_times: 5, retry_within: 2h}", "adopt: /srv/shop/log/mongrel.pid",
                 "memory_usage: {above: 50MB, times: [3, 5], interval: 20s}", "start_timeout: 25s",
                 "single.god:4"):
        contains(text, line)
    for implied in ("process_running", "transitions", "tries"):
        equal(implied in text, False, implied)
    lab.ctl("import", "god", FILES / "single.god", "-o", out).exits(1)  # it exists
    lab.ctl("import", "god", FILES / "single.god", "-o", out, "--force").ok()


def test_seed(lab):
    report = convert(lab, "seed.god")
    contains(report["yaml"], "consul_kv: {key: devops/automationtesting-backend, window: 2, "
             "interval: 5s}")
    contains(report["yaml"], "start: bundle exec sidekiq\n")
    contains(report["yaml"], f"adopt: {FILES}/tmp/pids/sidekiq.pid")
    has(report, "review", "taken for a watch on Consul's key devops/automationtesting-backend")
    has(report, "review", "Sidekiq's -d, -P and -L are gone")
    has(report, "changed", "never acts on silence")


def test_net_http_condition(lab):
    text = yaml(lab, """
class God::Conditions::KvPoll < God::PollCondition
  attr_accessor :path, :host
  def initialize
    super
    @seen = God::Timeline.new(3)
  end
  def test
    body = Net::HTTP.get(URI("http://#{host}:8500/v1/kv/#{path}?raw"))
    @seen << body
    @seen.uniq.size > 1
  end
end
God.watch do |w|
  w.name = 'w'
  w.start = 'sleep 1'
  w.keepalive
  w.restart_if { |on| on.condition(:kv_poll) { |c| c.path = 'a/b'; c.host = 'c1'; c.interval = 7 } }
end
""")
    contains(text, "consul_kv: {key: a/b, window: 3, interval: 7s}")
    contains(text, "address: http://c1:8500")


def test_loops_are_folded(lab):
    report = convert(lab, "gravatar.god")
    equal(report["watches"], [f"avatars-mongrel-{port}" for port in (8200, 8201, 8202)])
    contains(report["yaml"], "gravatar.god:5, a loop of 3")
    contains(report["yaml"], '/var/run/god/${watch.name}.pid"' if os.getuid() == 0 else
             '/.god/pids/${watch.name}.pid"')
    equal(report["yaml"].count("memory_usage"), 1, "what they share is written once")
    contains(report["yaml"], "extends: avatars-mongrel-8200")
    report = convert(lab, "stress.god")
    equal(len(report["watches"]), 20)
    equal(report["yaml"].count("start:"), 1)


def test_contacts_and_secrets(lab):
    report = convert(lab, "contact.god")
    equal(sorted(report["contacts"]), ["ann", "bob", "chat", "counts", "hook", "sense"])
    contains(report["yaml"], "psalm23")
    has(report, "review", "keep the file to yourself")
    has(report, "lost", "contact twitter")
    has(report, "lost", "contact prowl")
    has(report, "lost", "bird")  # named in a notify
    out = lab.dir / "contact.watch.yaml"
    lab.ctl("import", "god", FILES / "contact.god", "-o", out).ok()
    equal(oct(out.stat().st_mode & 0o777), "0o600")


def test_tasks(lab):
    report = convert(lab, "task.god")
    equal(report["tasks"], ["task"])
    contains(report["yaml"], "run: rm /srv/task/logs/*.log")
    contains(report["yaml"], "Dir[File.join(LOGS,")
    contains(report["yaml"], 'LOGS = "/srv/task/logs"')
    report = convert(lab, "matias.god")
    equal(report["tasks"], [])
    has(report, "lost", "has a command")


def test_lambda_runs(lab):
    """The stub of a lambda is a command that answers as the lambda did."""
    report_yaml = yaml(lab, """
def limit = 3
GREETING = "it's"
God.watch do |w|
  w.name = 'w'
  w.start = 'sleep 1'
  w.interval = 5
  w.keepalive
  n = 4
  w.restart_if { |on| on.condition(:lambda) { |c| c.lambda = lambda { n > limit && GREETING == "it's" } } }
end
""")
    line = next(l for l in report_yaml.splitlines() if "ruby -e" in l)
    equal("REVIEW: the lambda of" in report_yaml, True)
    start = report_yaml.index("ruby -e '")
    block = report_yaml[start:report_yaml.index("fires_on")].rstrip()
    indent = len(line) - len(line.lstrip())
    script = "\n".join(l[indent:] if i else l for i, l in enumerate(block.splitlines()))
    lab.run("sh", "-c", script).ok()
    lab.run("sh", "-c", script.replace("n = 4", "n = 2")).exits(1)


def test_commands_are_cleaned(lab):
    text = yaml(lab, """
God.watch do |w|
  w.name = 'w'
  w.start = "cd /srv/app && RAILS_ENV=production PORT=3000 nohup bundle exec foo -p 3 >> log/foo.log 2>&1 &"
  w.stop = "kill -TSTP `cat /tmp/x.pid` && sleep 10 && kill -TERM `cat /tmp/x.pid`"
  w.stop_timeout = 20
  w.keepalive
end
""")
    contains(text, "dir: /srv/app\n")
    contains(text, "start: bundle exec foo -p 3\n")
    contains(text, 'env: {RAILS_ENV: production, PORT: "3000"}')
    contains(text, "log: /srv/app/log/foo.log\n")
    contains(text, "stop_sequence: [TSTP 10s, TERM 20s, KILL]")


def test_a_file_that_prints_corrupts_nothing(lab):
    lab.write("loud.god", """
puts '{"not": "the recording"}'
STDOUT.syswrite("raw\\n")
system('echo from a child')
at_exit { puts 'never' }
God.watch { |w| w.name = 'w'; w.start = 'sleep 1'; w.keepalive }
""")
    result = lab.ctl("import", "god", "loud.god").ok()
    equal(result.out.startswith("# Made by supvctl import god of loud.god.\n"), True)
    contains(result.err, '{"not": "the recording"}')
    contains(result.err, "from a child")
    contains(result.err, "ran a command: echo from a child")
    equal("never" in result.err, False)


def test_files_that_fail(lab):
    watch = "God.watch { |w| w.name = 'w'; w.start = 'sleep 1'; w.keepalive }\n"
    for name, text, line, part in (
            ("syntax", "God.watch do |w|\n  w.name = \nend end\n", 3, "syntax error"),
            ("raise", watch + "raise 'no such luck'\n", 2, "RuntimeError: no such luck"),
            ("exit", watch + "\nexit 0\n", 3, "calls exit"),
            ("hard", watch + "exit! 0\n", 2, "calls exit"),
            ("name", watch + "NO_SUCH_CONSTANT\n", 2, "NO_SUCH_CONSTANT"),
            ("loop", watch + "loop { }\n", 2, "not come to an end")):
        lab.write(f"{name}.god", text)
        began = time.monotonic()
        result = lab.ctl("import", "god", f"{name}.god", "--timeout", "2s").exits(1)
        equal(result.out, "", f"{name}: nothing on standard output")
        contains(result.err, f"{name}.god:{line}: error: ", name)
        contains(result.err, part, name)
        contains(result.err, "nothing was converted", name)
        equal(time.monotonic() - began < 15, True, f"{name}: the deadline holds")


def test_a_file_that_swallows_its_deadline_is_killed(lab):
    lab.write("deaf.god", """
begin
  loop { sleep 1 }
rescue Exception
  retry
end
""")
    result = lab.ctl("import", "god", "deaf.god", "--timeout", "500ms").exits(1)
    contains(result.err, "was stopped")


def test_without_ruby(lab):
    lab.write("w.god", "God.watch { |w| w.name = 'w' }\n")
    result = lab.ctl("import", "god", "w.god", env={"PATH": str(lab.dir)}).exits(1)
    contains(result.err, "needs `ruby` in PATH")
    equal(result.out, "")


def test_usage(lab):
    lab.ctl("import").exits(2)
    lab.ctl("import", "god").exits(2)
    contains(lab.ctl("import", "monit", "x").exits(2).err, "files of god")
    contains(lab.ctl("import", "god", "absent.god").exits(1).err, "No such file")
    lab.write("nothing.god", "# nothing\n")
    contains(lab.ctl("import", "god", "nothing.god").exits(1).err, "define nothing")


def test_files_that_load_files(lab):
    lab.write("conf.d/a.god", "God.watch { |w| w.name = 'a'; w.start = 'sleep 1'; w.keepalive }\n")
    lab.write("conf.d/b.god", "God.watch { |w| w.name = 'b'; w.start = 'sleep 1'; w.keepalive }\n")
    lab.write("all.god", "require 'god'\nrequire 'no/such/gem'\nGod.load 'conf.d/*.god'\n"
              "God.pid_file_directory = '/srv/pids'\nGod.port = 1\n")
    report = convert(lab, "all.god")
    equal(report["watches"], ["a", "b"])
    has(report, "review", 'require "no/such/gem" failed')
    has(report, "lost", "--socket")
    contains(report["yaml"], "adopt: /srv/pids/a.pid")


# Ruby 3 lost a method that god 0.13 calls.
SHIM = """
require 'timeout'
class Object
  def timeout(seconds, &block)
    Timeout.timeout(seconds, &block)
  end
end
"""


def test_live_hand_over_from_god(lab):
    if not shutil.which("god"):
        raise supv.Skip("no god in PATH (Debian's ruby-god)")
    shim = lab.write("shim.rb", SHIM)
    port = supv.free_port()
    (lab.dir / "pids").mkdir()
    lab.write("live.god", f"""
God.pid_file_directory = '{lab.dir}/pids'
God.watch do |w|
  w.name = 'w'
  w.dir = '{lab.dir}'
  w.start = '{supv.WORKER} --witness {lab.witness()}'
  w.log = '{lab.dir}/w.log'
  w.interval = 1.second
  w.keepalive
end
""")
    env = {**lab.env, "RUBYOPT": f"-r{shim}"}
    god = subprocess.Popen(["god", "-D", "--no-events", "--no-syslog", "-p", str(port), "-c",
                            lab.dir / "live.god"], env=env, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lab.wait_starts(1)
    worker = lab.starts()[0]
    pid_file = lab.dir / "pids" / "w.pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip() == str(worker),
               "god's pid file")
    lab.ctl("import", "god", "live.god", "-o", lab.config_file).ok()
    lab.ctl("check", lab.config_file).ok()
    lab.run("god", "quit", "-p", str(port), env={"RUBYOPT": f"-r{shim}"}).ok()
    god.wait(20)
    equal(supv.alive(worker), True, "god quit leaves it running")
    lab.supvd()
    watch = lab.wait_up("w")
    equal(watch["pid"], worker, "the same process")
    lab.wait_starts(1)
    lab.ctl("restart", "w").ok()
    lab.wait_starts(2)
    lab.never_two()
    equal(supv.alive(worker), False, "the old one")


supv.main(globals())
