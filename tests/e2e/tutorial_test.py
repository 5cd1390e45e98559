"""The tutorial of examples/plugin, followed to the letter. A reader of its README.md

* writes each block that has a title into the file of that name,
* takes along a file of the directory that is linked to,
* runs each block of commands (```sh) and sees what the block ```text behind it shows, in which … is
  anything, and a line with nothing else any number of lines.

What only asks (supvctl why, probe) is asked again until it shows that; the rest is run once."""
import os
import re
import shutil

import supv
from supv import BUILD, equal, wait_until

TUTORIAL = supv.HERE.parent.parent / "examples" / "plugin"
PORT = "7379"  # of the reader's Redis; ours is a free one


class Reader:
    """Somebody with an empty directory and an installed supv of his own."""

    def __init__(self, lab):
        self.lab, self.here = lab, lab.dir / "queue_length"
        self.here.mkdir()
        self.port = str(supv.free_port())
        prefix = lab.dir / "prefix"
        lab.run("cmake", "--install", BUILD, "--prefix", prefix).ok()
        # A supvd that writes nothing outside the laboratory.
        lab.write("bin/supvd", f'#!/bin/sh\nexec "{prefix}/sbin/supvd" --state-dir "{lab.state}" '
                  f'--log-dir "{lab.logs}" -l "{lab.logs}/supvd.log" "$@"\n', 0o755)
        self.env = {"PATH": f"{lab.dir}/bin:{prefix}/bin:{os.environ['PATH']}",
                    "PKG_CONFIG_PATH": f"{prefix}/share/pkgconfig",
                    "CMAKE_PREFIX_PATH": str(prefix)}

    def own(self, text):
        return text.replace(PORT, self.port)

    def write(self, name, text):
        original = TUTORIAL / name
        if original.exists():
            equal(text, original.read_text(), f"{name} as the tutorial shows it")
        (self.here / name).write_text(self.own(text))

    def take(self, name):
        shutil.copy(TUTORIAL / name, self.here)

    def run(self, commands, shown):
        *deeds, last = self.own(commands).replace("\\\n", "").splitlines()
        if re.match(r"supvctl (why|probe) ", last):
            self.do(deeds)
            wait_until(lambda: self.shows([last], shown),
                       lambda: f"{last}\nto show\n{shown}it shows\n{self.said(last)}")
        else:
            said = self.do([*deeds, last])
            equal(shown is None or matches(said, self.own(shown)), True,
                  f"{commands}shows\n{said}in place of\n{shown}")

    def do(self, lines):
        said = ""
        for line in lines:
            said += self.lab.run("bash", "-c", f"exec 2>&1; {line}", cwd=self.here, env=self.env,
                                 timeout=240).ok().out
            if line.startswith("redis-server"):
                wait_until(lambda: self.shows(["redis-cli -p 7379 ping"], "PONG\n"), "Redis")
        return said

    def said(self, line):
        return self.lab.run("bash", "-c", f"exec 2>&1; {self.own(line)}", cwd=self.here,
                            env=self.env).out

    def shows(self, lines, shown):
        return matches("".join(map(self.said, lines)), self.own(shown))


def matches(said, shown):
    def squeezed(text):
        return [" ".join(line.split()) for line in text.splitlines()]

    def pattern(line):
        return r"(.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"

    whole = "".join(map(pattern, squeezed(shown)))
    return re.fullmatch(whole, "".join(f"{line}\n" for line in squeezed(said))) is not None


def steps(text):
    """The fenced blocks (language, title, text), and the links to files, in order."""
    for found in re.finditer(r"^```(\w+)(?: title=(\S+))?\n(.*?)^```$|\]\(([\w.]+)\)", text,
                             re.S | re.M):
        language, title, block, link = found.groups()
        yield (None, link, None) if link else (language, title, block)


def test_the_tutorial_does_what_it_says(lab):
    for program in ("redis-server", "pkg-config", "dpkg-deb"):
        if shutil.which(program) is None:
            raise supv.Skip(f"{program} is not installed")
    reader = Reader(lab)
    todo = list(steps((TUTORIAL / "README.md").read_text()))
    commands = 0
    for at, (language, title, text) in enumerate(todo):
        if language is None:
            reader.take(title)
        elif title is not None:
            reader.write(title, text)
        elif language == "sh":
            after = todo[at + 1] if at + 1 < len(todo) else (None, None, None)
            reader.run(text, after[2] if after[0] == "text" else None)
            commands += 1
    equal(commands > 10, True, f"blocks of commands: {commands}")


def test_what_is_shown_is_compared(lab):
    equal(matches("a 1 b\nc\nd\n", "a … b\n…\n"), True)
    equal(matches("a   1 b\n", "…\na … b\n…\n"), True)
    equal(matches("a 1 b\nc\n", "a … b\n"), False, "a line too many")
    equal(matches("a b\n", "a c\n"), False, "another text")


supv.main(globals())
