"""The condition `lua` in a real supvd: scripts see, ask and judge, and a bad one costs itself alone."""
import http.server
import threading

import supv
from supv import contains, wait_until


def reasons(lab):
    return [one.get("reason") or "" for one in lab.watch("w").get("conditions", [])]


def start(lab, *scripts, timeout="10s"):
    listed = "".join(f"""
      - lua:
          interval: 200ms
          timeout: {timeout}
          script: |
            {script.strip().replace(chr(10), chr(10) + " " * 12)}""" for script in scripts)
    lab.supvd(config=f"""
watches:
  w:
    start: @WORKER@ --witness @DIR@/w.witness
    restart_if:{listed}
""")
    lab.wait_up("w")


def wait_reason(lab, which, part):
    wait_until(lambda: len(reasons(lab)) > which and part in reasons(lab)[which],
               lambda: f"{part!r} in {reasons(lab)}")


def test_a_script_restarts_what_uses_too_much(lab):
    start(lab, "memory() > 300 * KB and uptime() > 1 and uptime() < 3 and not exists('@DIR@/done')")
    lab.wait_up("w", restarts=1)
    contains(lab.watch("w")["last_change"]["reason"], "lua: memory() > 300 * KB and uptime() > 1")
    lab.write("done", "")
    lab.never_two()


def test_scripts_see_their_processes_and_count(lab):
    start(lab, "return false, watch .. ' ' .. pid() .. ' ' .. #pids() .. ' ' .. processes()",
          "n = (n or 0) + 1\nreturn false, 'poll ' .. n",
          "local c = cpu()\nreturn c and c > 100000, c and c >= 0 and 'measured' or 'not yet'",
          "return false, (read('/proc/' .. pid() .. '/comm') or '?')")
    wait_reason(lab, 0, f"w {lab.watch('w')['pid']} 1 1")
    wait_reason(lab, 1, "poll 5")
    wait_reason(lab, 2, "measured")
    wait_reason(lab, 3, "worker")


class Stats(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"sidekiq": {"enqueued": 4711}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_scripts_ask_servers_and_run_commands(lab):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stats)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/stats"
    start(lab, f"""
local status, body = http("{url}")
if not status then return nil, body end
return false, body:match('"enqueued":%s*(%d+)') .. " jobs wait"
""", "local code, out = run('sh -c \"echo seven; exit 7\"', 5)\nreturn false, code .. ' ' .. out",
          f"local status, why = http('http://127.0.0.1:{supv.free_port()}/')\n"
          "return status ~= nil, 'answer: ' .. tostring(why)")
    wait_reason(lab, 0, "4711 jobs wait")
    wait_reason(lab, 1, "7 seven")
    wait_reason(lab, 2, "answer: ")
    server.shutdown()


def test_a_bad_script_is_unknown_and_restarts_nothing(lab):
    start(lab, "return 1 + nil", "return #('x'):rep(1 << 30) > 0", "while true do end",
          "return false, 'all is well'")
    wait_reason(lab, 0, "script, line 1: attempt to perform arithmetic on a nil value")
    wait_reason(lab, 1, "more memory than it may have")
    wait_reason(lab, 2, "script, line 1: the script runs too long")
    wait_reason(lab, 3, "all is well")
    lab.wait_starts(1)
    lab.never_two()


def test_a_search_that_never_ends_costs_itself_alone(lab):
    start(lab, "return ('a'):rep(40):find(('a*'):rep(40) .. 'b') ~= nil",
          "n = (n or 0) + 1\nreturn false, n > 3 and 'it goes on' or 'just begun'", timeout="1s")
    wait_reason(lab, 0, "did not return within 1s")
    wait_reason(lab, 1, "it goes on")
    lab.wait_starts(1)
    lab.never_two()


def test_check_tells_a_mistake_in_a_script_and_runs_none(lab):
    path = lab.write("bad.watch.yaml", "watches:\n  w:\n    start: sleep 100\n    restart_if:\n"
                     "      - lua: {script: \"memory() > 300 *\"}\n")
    contains(lab.ctl("check", path).exits(6).err, "script, line 1: unexpected symbol near <eof>")
    path = lab.write("good.watch.yaml", "watches:\n  w:\n    start: sleep 100\n    restart_if:\n"
                     "      - lua: {script: while true do end}\n")
    lab.ctl("check", path).ok()


supv.main(globals())
