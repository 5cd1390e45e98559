"""What the documents show: every example passes `supvctl check`, without a warning, and every command
they name exists."""
import re

import supv
from supv import equal

ROOT = supv.HERE.parent.parent
README = ROOT / "README.md"
PAGES = sorted((ROOT / "man").glob("*.[13578]"))
TOP = {"watches", "tasks", "defaults", "vars", "vars_file", "node", "include", "consul", "daemon",
       "plugins", "contacts", "contact_defaults"}


def literal_blocks(page):
    """Place and text of each example of a page that is no transcript."""
    lines = page.read_text().splitlines()
    for at, line in enumerate(lines):
        if not line.startswith(".Bd -literal"):
            continue
        end = lines.index(".Ed", at)
        text = "\n".join(lines[at + 1:end]).replace("\\&", "").replace("\\e", "\\")
        if not text.startswith(("$ ", "# ")):
            yield f"{page.name}:{at + 2}", text + "\n"


def fenced_blocks(page):
    text = page.read_text()
    for found in re.finditer(r"^```yaml\n(.*?)^```$", text, re.S | re.M):
        yield f"{page.name}:{text.count(chr(10), 0, found.start()) + 2}", found.group(1)


def inline_keys(page, keys):
    """Code in running text, or in a table, that gives one of these keys a value."""
    for number, line in enumerate(page.read_text().splitlines(), 1):
        for code in re.findall(r"`([a-z_]+: [^`]+)`", line):
            if code.split(":")[0] in keys:
                yield f"{page.name}:{number}", code + "\n"


def whole(text, conditions):
    """A fragment as part of a file; the contact `ops` that it may name is there."""
    keys = set(re.findall(r"^([a-z_]+):", text, re.M))
    if keys & TOP:
        return text
    if keys <= conditions:
        text = f"restart_if:\n  - {text}"
    start = "" if "start" in keys else "    start: sleep 3600\n"
    body = "".join(f"    {line}\n" for line in text.splitlines())
    return f"contacts: {{ops: {{syslog: {{}}}}}}\nwatches:\n  w:\n{start}{body}"


def names(lab, *command):
    out = lab.ctl(*command).ok().out
    return {line.split()[0] for line in out.splitlines() if re.match(r" {0,2}[a-z_]+ ", line)}


def check_all(lab, examples):
    conditions = names(lab, "conditions")
    wrong = []
    for place, text in examples:
        # In a name of its own: what a warning says is beside what it is about.
        path = lab.write(place.replace(":", "-") + ".watch.yaml", whole(text, conditions))
        result = lab.ctl("check", path)
        if result.code != 0 or "warning" in result.out + result.err:
            wrong.append(f"{place}:\n{result.out}{result.err}")
    equal(wrong, [], "examples")


def test_the_examples_of_the_manual_pass_the_check(lab):
    # Those of section 3 are in C; sdk_test.py compiles them.
    examples = [one for page in PAGES if page.suffix != ".3" for one in literal_blocks(page)]
    equal(len(examples) > 30, True, f"examples: {len(examples)}")
    check_all(lab, examples)


def test_the_examples_of_the_readme_pass_the_check(lab):
    keys = lab.ctl("schema").ok().json["definitions"]["watch"]["properties"].keys()
    inline = list(inline_keys(README, set(keys) | names(lab, "conditions")))
    equal(len(inline) > 3, True, f"inline examples: {len(inline)}")
    check_all(lab, [*fenced_blocks(README), *inline])


def test_the_commands_that_documents_name_exist(lab):
    commands = names(lab, "--help")
    manual = (ROOT / "man" / "supvctl.1").read_text()
    described = set(re.findall(r"Ic ([a-z]+)", manual))
    equal(commands - described, set(), "commands that supvctl(1) lacks")
    for page in [README, ROOT / "src" / "ARCHITECTURE.md", *PAGES]:
        text = page.read_text()
        said = set(re.findall(r"(?:`|\$ |# |&& |Ql |Ic |Cm )supvctl (?:Cm )?([a-z]+)", text))
        equal(said - commands, set(), f"commands that {page.name} names")


supv.main(globals())
