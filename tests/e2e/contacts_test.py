"""Contacts against real servers of this machine: what arrives, what a dead one costs."""
import json
import socket
import time

import sinks
import supv
from supv import contains, equal, free_port, wait_until


def watches(names, whom="ops"):
    return "watches:" + "".join(f"""
  {name}:
    start: sleep 1000
    stop_timeout: 5s
    notify: {whom}""" for name in names) + "\n"


def tested(lab, kind, code=0, **options):
    """`contact test ops` with this kind and options."""
    lab.supvd(config=f"contacts: {{ops: {{{kind}: {json.dumps(options)}}}}}\n"
              "watches: {w: {start: sleep 1000}}\n")
    return lab.ctl("contact", "test", "ops").exits(code)


def test_webhook(lab):
    sink = sinks.HttpSink()
    contains(tested(lab, "webhook", url=sink.url + "/hook?a=1", headers={"X-Token": "s3cret"}).out,
             "delivered to ops")
    path, headers, body = sink.wait(1)[0]
    equal(path, "/hook?a=1")
    equal(headers["X-Token"], "s3cret")
    equal(headers["Content-Type"], "application/json")
    told = json.loads(body)
    equal(told["message"], "this is a test of supv")
    equal(told["count"], 1)


def test_webhook_refusals_show_no_secret(lab):
    sink = sinks.HttpSink()
    sink.status = 404
    result = tested(lab, "webhook", code=1, url=sink.url + "/T000/s3cret")
    contains(result.err, "the server answers 404")
    for text in (result.out, result.err, lab.log_text(), lab.ctl("events", "--json").out,
                 lab.ctl("status", "--json").out):
        if "s3cret" in text:
            raise AssertionError(f"the secret is in {text!r}")


def test_unknown_contact(lab):
    lab.supvd(config="watches: {w: {start: sleep 1000}}\n")
    contains(lab.ctl("contact", "test", "nobody").exits(5).err, "there is no contact 'nobody'")
    lab.ctl("contact", "test").exits(2)
    lab.ctl("contact", "tell", "x").exits(2)


def test_services(lab):
    sink = sinks.HttpSink()
    kinds = {"slack": {"url": f"{sink.url}/slack"}, "teams": {"url": f"{sink.url}/teams"},
             "discord": {"url": f"{sink.url}/discord"},
             "telegram": {"url": sink.url, "token": "T", "chat_id": "-1"},
             "pagerduty": {"url": f"{sink.url}/pd", "routing_key": "K"}}
    lab.supvd(config="contacts: " + json.dumps({kind: {kind: options}
                                                for kind, options in kinds.items()}) +
              "\nwatches: {w: {start: sleep 1000}}\n")
    for kind in kinds:
        lab.ctl("contact", "test", kind).ok()
    equal([path for path, _, _ in sink.got],
          ["/slack", "/teams", "/discord", "/botT/sendMessage", "/pd"])
    for _, _, body in sink.got:
        contains(json.dumps(json.loads(body)), "this is a test of supv")


def test_statsd_and_sensu(lab):
    statsd, sensu = sinks.UdpSink(), sinks.UdpSink()
    lab.supvd(config=f"""
contacts:
  count: {{statsd: {{server: "localhost:{statsd.port}", prefix: god}}}}
  check: {{sensu: {{server: "127.0.0.1:{sensu.port}", check_name: supv}}}}
  gone: {{statsd: {{server: "127.0.0.1:{free_port()}"}}}}
watches: {{w: {{start: sleep 1000}}}}
""")
    lab.ctl("contact", "test", "count").ok()
    lab.ctl("contact", "test", "check").ok()
    if not statsd.wait(1)[0].startswith("god."):
        raise AssertionError(statsd.got)
    equal(json.loads(sensu.wait(1)[0])["name"], "supv")
    contains(lab.ctl("contact", "test", "gone").exits(1).err, "Connection refused")


def test_syslog(lab):
    log = sinks.LogSink(lab.dir / "dev-log")
    tested(lab, "syslog", socket=str(lab.dir / "dev-log"), facility="local0", ident="me")
    line = log.wait(1)[0]
    contains(line, " me[")
    contains(line, "]: this is a test of supv")
    equal(line[:5], f"<{16 * 8 + 6}>")
    (lab.dir / "dev-log").unlink()
    contains(lab.ctl("contact", "test", "ops").exits(1).err, "No such file or directory")


def test_exec(lab):
    program = lab.write("tell", "#!/bin/sh\ncat >$LAB/told\necho \"$SUPV_CONTACT $SUPV_MESSAGE\" "
                        ">$LAB/variables\n", 0o755)
    tested(lab, "exec", command=[str(program)])
    equal(json.loads((lab.dir / "told").read_text())["message"], "this is a test of supv")
    equal((lab.dir / "variables").read_text(), "ops this is a test of supv\n")
    lab.write("tell", "#!/bin/sh\necho no such room >&2\nexit 3\n", 0o755)
    contains(lab.ctl("contact", "test", "ops").exits(1).err, "exit 3: no such room")


def test_exec_that_hangs_is_killed_with_its_tree(lab):
    program = lab.write("tell", "#!/bin/sh\nsleep 1000 & echo $! >$LAB/child\nwait\n", 0o755)
    contains(tested(lab, "exec", code=1, command=[str(program)], timeout="1s").err,
             "the command did not end in time")
    child = int((lab.dir / "child").read_text())
    wait_until(lambda: not supv.alive(child), "the command's child is dead")


def test_mail(lab):
    sink = sinks.SmtpSink()
    tested(lab, "email", to=["a@example.org", "b@example.org"], server=f"127.0.0.1:{sink.port}",
           **{"from": "me@example.org", "domain": "me.example.org"})
    mail = sink.wait(1)[0]
    equal(mail["helo"], "me.example.org")
    contains(mail["from"], "<me@example.org>")
    equal(len(mail["to"]), 2)
    contains(mail["text"], "Subject: [supv] this is a test of supv\r\n")
    equal(mail["tls"], False)


def test_mail_with_tls_and_login(lab):
    cert = sinks.certificate(lab.dir)
    start = sinks.SmtpSink(cert, "user", "pass word")
    first = sinks.SmtpSink(cert, tls_first=True)
    lab.write("password", "pass word\n", 0o600)
    common = f"to: a@example.org, ca_file: {cert[0]}"
    lab.supvd(config=f"""
contacts:
  start: {{email: {{{common}, server: "localhost:{start.port}", tls: require, user: user,
                    password_file: {lab.dir}/password}}}}
  wrong: {{email: {{{common}, server: "localhost:{start.port}", tls: require, user: user,
                    password: t0psecret}}}}
  first: {{email: {{{common}, server: "localhost:{first.port}", tls: smtps}}}}
  stranger: {{email: {{to: a@b, server: "localhost:{start.port}", tls: require}}}}
  plain: {{email: {{to: a@b, server: "localhost:{sinks.SmtpSink().port}", tls: require}}}}
watches: {{w: {{start: sleep 1000}}}}
""")
    lab.ctl("contact", "test", "start").ok()
    equal((start.got[0]["tls"], start.got[0]["auth"]), (True, "user"))
    lab.ctl("contact", "test", "first").ok()
    equal(len(first.got), 1)
    wrong = lab.ctl("contact", "test", "wrong").exits(1)
    contains(wrong.err, "denied")
    if "t0psecret" in wrong.err + wrong.out + lab.log_text():
        raise AssertionError("the password is shown")
    contains(lab.ctl("contact", "test", "stranger").exits(1).err, "certificate")
    lab.ctl("contact", "test", "plain").exits(1)
    equal(len(start.got), 1)


def test_sendmail(lab):
    program = lab.write("sendmail", "#!/bin/sh\necho \"$@\" >$LAB/args\ncat >$LAB/mail\n", 0o755)
    tested(lab, "email", to="a@example.org", method="sendmail", sendmail=str(program),
           **{"from": "me@example.org"})
    equal((lab.dir / "args").read_text(), "-i -f me@example.org -- a@example.org\n")
    contains((lab.dir / "mail").read_text(), "Subject: [supv] this is a test of supv\n")


def test_unknown_recipient_is_an_error(lab):
    lab.config("contacts: {ops: {syslog: {}, groups: [team]}}\n"
               "watches: {w: {start: sleep 1000, notify: [team, osp]}}\n")
    result = lab.run(supv.BUILD / "supvctl", "check", lab.config_file).exits(6)
    contains(result.out + result.err, "there is no contact or group of contacts 'osp'")
    contains(result.out + result.err, "did you mean 'ops'?")


# --- what watches tell ---------------------------------------------------------------------------
def test_changes_of_state_reach_names_and_groups_once(lab):
    sink = sinks.HttpSink()
    lab.supvd(config=f"contacts: {{ops: {{webhook: {{url: '{sink.url}'}}, groups: [team]}}}}\n" +
              watches(["w"], "{contacts: [team, ops], priority: high}"))
    lab.wait_up("w")
    sink.wait(1)
    lab.ctl("stop", "w").ok()
    wait_until(lambda: any("stopped" in text for text in sink.messages()),
               lambda: f"a notice of the stop; there are {sink.messages()}")
    equal(sum("stopped" in text for text in sink.messages()), 1)
    equal(json.loads(sink.got[0][2])["priority"], "high")


def test_twenty_at_once_are_one_digest(lab):
    sink = sinks.HttpSink()
    names = [f"w{i}" for i in range(20)]
    lab.supvd(config=f"contacts: {{ops: {{webhook: {{url: '{sink.url}'}}}}}}\n" + watches(names))
    for name in names:
        lab.wait_up(name)
    wait_until(lambda: len(set(sink.messages())) >= 20,
               lambda: f"20 notices; there are {sink.messages()}", 40)
    if len(sink.got) > 3:
        raise AssertionError(f"{len(sink.got)} deliveries of {len(sink.messages())} notices")


def test_fired_once_and_recovered(lab):
    sink = sinks.HttpSink()
    flag = lab.dir / "flag"
    lab.supvd(config=f"""
contacts: {{ops: {{webhook: {{url: '{sink.url}'}}}}}}
watches:
  w:
    start: sleep 1000
    notify_if:
      - exec: {{command: test -e {flag}, fires_on: zero, interval: 100ms, notify: ops}}
""")
    lab.wait_up("w")
    flag.touch()
    sink.wait(1)
    equal(json.loads(sink.got[0][2])["kind"], "fired")
    before = time.monotonic()
    wait_until(lambda: time.monotonic() - before > 1, "ten more polls")
    flag.unlink()
    sink.wait(2, 40)
    equal([json.loads(body)["kind"] for _, _, body in sink.got], ["fired", "recovered"])


def dead_contacts():
    return {"hole": sinks.BlackHole(), "deaf": sinks.Deaf()}


def test_a_dead_contact_delays_nothing(lab):
    dead, sink = dead_contacts(), sinks.HttpSink()
    lab.supvd(config=f"""
contacts:
  hole: {{webhook: {{url: '{dead["hole"].url}', timeout: 60s}}, groups: [team]}}
  deaf: {{webhook: {{url: '{dead["deaf"].url}', timeout: 60s}}, groups: [team]}}
  gone: {{webhook: {{url: 'http://127.0.0.1:{free_port()}'}}, groups: [team]}}
  mail: {{email: {{to: a@b, server: '127.0.0.1:{dead["hole"].port}', timeout: 60s}}, groups: [team]}}
  good: {{webhook: {{url: '{sink.url}'}}, groups: [team]}}
""" + watches(["w"], "team"))
    first = lab.wait_up("w")["pid"]
    sink.wait(1)
    began = time.monotonic()
    lab.ctl("restart", "w").ok()
    lab.wait_up("w", other_than=first)
    lab.ctl("stop", "w").ok()
    took = time.monotonic() - began
    if took > 8:
        raise AssertionError(f"a restart and a stop took {took:.1f} s")
    # The good one is told all the same, the refused one is reported.
    wait_until(lambda: any("stopped" in text for text in sink.messages()),
               lambda: f"the good contact is told; it knows {sink.messages()}", 30)
    wait_until(lambda: "contact gone (webhook) cannot be told" in lab.log_text(),
               lambda: f"the dead contact is reported in {lab.log_text()}")
    equal(lab.log_text().count("contact gone (webhook) cannot be told"), 1)

def test_a_dead_name_server_holds_up_only_who_needs_it(lab):
    if supv.os.geteuid() != 0:
        raise supv.Skip("only root can replace the resolver's configuration")
    hole = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        hole.bind(("127.0.0.77", 53))
    except OSError as error:
        raise supv.Skip(f"no name server of our own: {error}") from error
    resolver = lab.write("resolv.conf", "nameserver 127.0.0.77\n")
    sink = sinks.HttpSink()
    lab.config(f"""
contacts:
  lost: {{webhook: {{url: "http://supv-contact.example/", timeout: 1s}}}}
  lost_udp: {{statsd: {{server: "supv-contact.example:8125", timeout: 1s}}}}
  good: {{webhook: {{url: "{sink.url}"}}}}
watches: {{w: {{start: sleep 1000}}}}
""")
    namespace = lab.run("unshare", "-m", "sh", "-c",
                        'mount --bind "$0" /etc/resolv.conf && exec "$@"', resolver,
                        *lab.daemon_args())
    if namespace.code != 0 and "unshare" in namespace.err + namespace.out:
        raise supv.Skip(namespace.err)
    namespace.ok()
    for lost in ("lost", "lost_udp"):
        began = time.monotonic()
        lab.ctl("contact", "test", lost).exits(1)
        lab.ctl("contact", "test", "good").ok()
        took = time.monotonic() - began
        if not 0.9 < took < 3:
            raise AssertionError(f"{lost}, and then the good one, took {took:.1f} s")


def test_a_contact_that_works_again_is_told_what_waited(lab):
    sink = sinks.HttpSink()
    sink.status = 503
    lab.supvd(config=f"contacts: {{ops: {{webhook: {{url: '{sink.url}'}}}}}}\n" + watches(["w"]))
    lab.wait_up("w")
    wait_until(lambda: "contact ops (webhook) cannot be told: the server answers 503"
               in lab.log_text(), lambda: f"the failure in {lab.log_text()}")
    sink.status = 200
    sink.wait(1, 40)
    contains(sink.messages()[0], "w is up")
    wait_until(lambda: "contact ops (webhook) works again" in lab.log_text(), "the recovery is said")


def test_what_waited_outlives_the_brain(lab):
    sink = sinks.HttpSink()
    sink.status = 503
    lab.supvd(config=f"contacts: {{ops: {{webhook: {{url: '{sink.url}'}}}}}}\n" + watches(["w"]))
    lab.wait_up("w")
    wait_until(lambda: "cannot be told" in lab.log_text(), "the failure is said")
    sink.status = 200
    brain = lab.role("brain")
    supv.os.kill(brain, supv.signal.SIGKILL)
    sink.wait(1, 10)
    contains(sink.messages()[0], "w is up")


supv.main(globals())
