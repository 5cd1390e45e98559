#!/usr/bin/env python3
"""Breaks core and keeper in one place at a time and demands that a test notices.

  mutants.py BUILD_DIR [--seconds N] [NAME...]

BUILD_DIR is a configured build of this tree: its compile commands are used. Each mutant is compiled
beside it, linked with the simulator and the unit tests of the core, and must be killed by one.
"""
import argparse
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
UNIT = ["watch_test", "orders_test", "trial_test", "timeline_test", "kv_follower_test",
        "kv_feed_test", "memo_test", "roster_test", "supervisor_load_test",
        "supervisor_turn_test"]

# name: (file, what it says, what the mutant says)
MUTANTS = {
    "old Exited is believed": (
        "src/core/watch_stop.cc",
        "  if (news.run != run_) return;\n  note_exit(step, news.status);\n  pid_ = 0;",
        "  note_exit(step, news.status);\n  pid_ = 0;"),
    "old Ready is believed": (
        "src/core/watch_start.cc", "if (asked && run == run_ && state_", "if (asked && state_"),
    "old Gone is believed": (
        "src/core/watch_stop.cc", "  if (news.run != run_) return bury(step, news.run);\n", ""),
    "a stop is ignored in back-off": (
        "src/core/watch.cc",
        "    case State::backoff:\n    case State::failed:\n    case State::exited:\n"
        "      disarm(step);\n      due_.reset();\n      return enter(step, State::stopped, cause);",
        "    case State::backoff:\n      return;\n    case State::failed:\n    case State::exited:\n"
        "      disarm(step);\n      due_.reset();\n      return enter(step, State::stopped, cause);"),
    "a failed start ignores a stop": (
        "src/core/watch_stop.cc",
        "  if (state_ == State::stopping || state_ == State::stuck) return settle(step);\n"
        "  after_ = After::fail;", "  after_ = After::fail;"),
    "deaths are replaced without back-off": (
        "src/core/watch_stop.cc", "  if (failures_ > 0) {", "  if (failures_ > 99) {"),
    "a death replaces what is not wanted": (
        "src/core/watch_stop.cc", "if (closing_ || !wanted_ || !monitored_)", "if (closing_)"),
    "the index never goes back": (
        "src/core/kv_follower.cc", "index_ = back || restored ? 0 : index;",
        "index_ = std::max(index_, index);"),
    "HTTP 500 is an absent key": (
        "src/core/kv_follower.cc", "if (!answered || !reply.known_leader) {",
        "if (reply.status == 500) return KvAnswer{true, 1, {}};\n"
        "  if (!answered || !reply.known_leader) {"),
    "an answer without a leader counts": (
        "src/core/kv_follower.cc", "if (!answered || !reply.known_leader) {", "if (!answered) {"),
    "an absence is not confirmed": (
        "src/core/kv_follower.cc", "if (!absent_ && !confirming_) {", "if (false) {"),
    "never asked again after a failure": (
        "src/core/kv_follower.cc", "  due_ = now + Duration(static_cast<std::int64_t>(pause));",
        "  due_ = now + std::chrono::hours(99) + Duration(static_cast<std::int64_t>(pause));"),
    "everything is a change": (
        "src/core/timeline.cc",
        "return samples_.size() > 1 && !samples_.back().same_as(samples_.front());",
        "return samples_.size() > 0;"),
    "nothing is a change": (
        "src/core/timeline.cc",
        "return samples_.size() > 1 && !samples_.back().same_as(samples_.front());",
        "return false;"),
    "the index counts as content": (
        "src/core/timeline.h", "return kind == other.kind && digest == other.digest;",
        "return kind == other.kind && digest == other.digest && index == other.index;"),
    "the baseline is taken after the spawn": (
        "src/core/watch_judge.cc", "    changes_[i]->begin(blank ? Sample{} : changes_[i]->latest(), assumed);",
        "    static_cast<void>(blank);\n    changes_[i]->begin(Sample{}, assumed);"),
    "a held watch is judged": (
        "src/core/watch_judge.cc", "return monitored_ && !hold_ && !closing_ && state_",
        "return monitored_ && !closing_ && state_"),
    "a brain that takes over stops what runs": (
        "src/core/supervisor_boot.cc",
        "if (main && !known && newest.at(memo->watch) == live.run) {",
        "if (main && !known && newest.at(memo->watch) == live.run && memo->failures > 0) {"),
    "an end that is known counts again": (
        "src/core/supervisor_boot.cc", "const bool known = main && watch->ended() == live.run;",
        "const bool known = false;"),
    "the oldest run of a watch is the one that counts": (
        "src/core/supervisor_boot.cc", "      newest[memo->watch] = live.run;",
        "      newest.emplace(memo->watch, live.run);"),
    "burials come first": (
        "src/core/supervisor.cc", "if (std::holds_alternative<fx::Forget>(effect)) return 2;",
        "if (std::holds_alternative<fx::Forget>(effect)) return -1;"),
    "a stray that failed to start is waited for": (
        "src/core/supervisor.cc",
        "on(Step& step, const ev::StartFailed& event) {\n  if (bury_stray(step, event.run)) return;\n",
        "on(Step& step, const ev::StartFailed& event) {\n"),
    "a watch that returns does not wait for its stray": (
        "src/core/supervisor_load.cc", "if (stray != strays_.end()) {", "if (false) {"),
    "what a load keeps is not told": (
        "src/core/supervisor_load.cc", "      retained_.insert(watch.spec().name);", "      continue;"),
    "what an earlier load kept is taken for nobody's": (
        "src/core/supervisor_boot.cc", "    Watch* watch = memo ? roster_.find(memo->watch) : nullptr;\n",
        "    Watch* watch = memo && !retained_.contains(memo->watch) ? roster_.find(memo->watch) : nullptr;\n"),
    "what is left alone is noted after its load": (
        "src/core/supervisor_load.cc", "      note_down(step, watch);  // before the load is noted as done\n", ""),
    "an action with a known id is done again": (
        "src/core/orders.cc", "    if (known != orders_.end()) {", "    if (known != orders_.end() && !known->done) {"),
    "no KILL": (
        "src/keeper/keeper_end.cc", "  if (!slot.is(wire::kLeaveTree | wire::kGuest)) kernel_.kill_tree(slot.life);", ""),
    "gone is told while something is left": (
        "src/keeper/keeper_end.cc",
        "  if (left.count == 0) return nothing_left(slot, news::kExited);",
        "  if (left.count < 2) return nothing_left(slot, news::kExited);"),
    "recovered runs are not verified": (
        "src/keeper/keeper_recover.cc", "if (adoption.what != Adoption::What::same) {",
        "if (adoption.what == Adoption::What::dead) {"),
    "an unknown status is 0": (
        "src/keeper/keeper_slot.h", "status_how = static_cast<std::uint8_t>(status.how == 0 ? 3 : status.how);",
        "status_how = static_cast<std::uint8_t>(status.how == 0 || status.how == 3 ? 1 : status.how);"),
    "the gate opens before the record": (
        "src/keeper/keeper.cc", "#ifdef SUPV_CANARY_NO_GATE", "#if 1"),
    "forgotten runs stay recorded": (
        "src/keeper/keeper_table.cc",
        "  static_cast<void>(kernel_.save(index_of(slot), Record{}));\n", ""),
}


def commands(build):
    """The compiler's command for each source file."""
    with open(build / "compile_commands.json") as file:
        found = {}
        for entry in json.load(file):
            found.setdefault(entry["file"], entry)
    return found


def users_of(path, every):
    """The sources that must be compiled again: itself, or all of its library for a header."""
    if path.endswith(".cc"):
        return [path]
    part = path.split("/")[1]
    return [str(pathlib.Path(f).relative_to(SOURCE)) for f in every
            if str(f).startswith(f"{SOURCE}/src/core/" if part == "core" else f"{SOURCE}/src/{part}/keeper")]


def compile_mutant(build, every, work, mutated, path):
    """Objects of the mutated sources; None when the mutant does not compile."""
    shadow = work / "src"
    shutil.copytree(SOURCE / "src" / pathlib.Path(path).parts[1], shadow / pathlib.Path(path).parts[1])
    (work / path).write_text(mutated)
    objects = []
    jobs = []
    for source in users_of(path, every):
        entry = every[str(SOURCE / source)]
        target = work / (source.replace("/", "_") + ".o")
        words = [w for w in shlex.split(entry["command"]) if "ccache" not in w]
        words[words.index("-o") + 1] = str(target)
        words[-1] = str(work / source)
        words[1:1] = [f"-I{shadow}", "-w"]
        words = [w for w in words if w != "-Werror"]
        jobs.append(subprocess.Popen(words, cwd=entry["directory"], stderr=subprocess.PIPE))
        objects.append(target)
    errors = [job.communicate()[1] for job in jobs]
    if any(job.returncode for job in jobs):
        return None, b"".join(errors).decode()[:400]
    return objects, ""


def link(build, objects, library, test, work):
    """The test with the mutated objects in place of the library's."""
    copy = work / f"lib{library}.a"
    if not copy.exists():
        shutil.copy(build / f"lib{library}.a", copy)
        for target in objects:
            member = pathlib.Path(str(target).split("_")[-1]).name
            name = "_".join(target.name.split("_")[2:])
            alias = work / name
            shutil.copy(target, alias)
            subprocess.run(["ar", "r", copy, alias], check=True, stderr=subprocess.DEVNULL)
            del member
    command = subprocess.run(["ninja", "-C", build, "-t", "commands", "-s", f"tests/{test}"],
                             check=True, capture_output=True, text=True).stdout.strip()
    command = command.replace(f"lib{library}.a", str(copy))
    target = work / pathlib.Path(test).name
    words = command.replace(f"-o tests/{test}", f"-o {target}")
    done = subprocess.run(words, shell=True, cwd=build, capture_output=True, text=True)
    return (target, "") if done.returncode == 0 else (None, done.stderr[:400])


def kill(build, every, name, seconds):
    """Who noticed the mutant; None: nobody."""
    path, old, new = MUTANTS[name]
    text = (SOURCE / path).read_text()
    if text.count(old) != 1:
        return f"!! the source no longer says what is to be mutated ({text.count(old)})"
    library = "supv_" + pathlib.Path(path).parts[1]
    with tempfile.TemporaryDirectory(prefix="supv-mutant-") as directory:
        work = pathlib.Path(directory)
        objects, error = compile_mutant(build, every, work, text.replace(old, new), path)
        if objects is None:
            return "!! does not compile: " + error
        tests = ["sim/sim_test"] + (UNIT if library == "supv_core" else [])
        for test in tests:
            program, error = link(build, objects, library, test, work)
            if program is None:
                return "!! does not link: " + error
            environment = dict(os.environ, SUPV_SECONDS=str(seconds))
            try:
                done = subprocess.run([program], env=environment, capture_output=True, text=True,
                                      errors="replace", timeout=seconds * 3 + 60)
            except subprocess.TimeoutExpired:
                return f"{test}: it hangs"
            if done.returncode != 0:
                lines = [line for line in done.stdout.splitlines()
                         if line.startswith("seed") or "ERROR" in line or line.startswith("aborted")]
                return f"{test}: {lines[0] if lines else 'exit ' + str(done.returncode)}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("names", nargs="*")
    options = parser.parse_intermixed_args()
    build = options.build.resolve()
    every = commands(build)
    whole = subprocess.run([build / "tests/sim/sim_test"], capture_output=True, text=True,
                           env=dict(os.environ, SUPV_SECONDS=str(options.seconds)))
    if whole.returncode != 0:
        sys.exit("the source itself breaks a promise; mend that first:\n" + whole.stdout)
    survivors = []
    for name in options.names or MUTANTS:
        killer = kill(build, every, name, options.seconds)
        print(f"{'SURVIVES' if killer is None else 'killed':9} {name}: {killer or ''}"[:220], flush=True)
        if killer is None or killer.startswith("!!"):
            survivors.append(name)
    print(f"{len(survivors)} of {len(options.names or MUTANTS)} mutants survive")
    sys.exit(1 if survivors else 0)


main()
