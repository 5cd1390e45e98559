#!/usr/bin/env python3
"""The interface of plugins only ever grows at its ends.

header.py grown FROZEN REAL     prints what of the frozen header the real one no longer has as it was
header.py future REAL OUT       writes the real header with a field appended to every struct"""
import pathlib
import re
import sys

BLOCK = re.compile(r"^(struct|enum) (\w+) \{\n(.*?)^\};", re.S | re.M)
FIELD = "from_the_future"


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def blocks(text):
    """(struct or enum, name) -> its members, each squeezed to one line."""
    found = {}
    for kind, name, body in BLOCK.findall(without_comments(text)):
        parts = body.split(";" if kind == "struct" else ",")
        found[kind, name] = [" ".join(part.split()) for part in parts if part.strip()]
    return found


def declared_structs(text):
    return set(re.findall(r"^struct (\w+)(?: \{|;)", without_comments(text), re.M))


def grown(frozen, real):
    wrong = []
    now = blocks(real)
    then = blocks(frozen)
    if len(then) < 10:
        wrong.append(f"only {len(then)} structs and enums were understood")
    for (kind, name), members in then.items():
        has = now.get((kind, name), [])
        for at, member in enumerate(members):
            if at >= len(has) or has[at] != member:
                wrong.append(f"{kind} {name}: member {at + 1} was '{member}', "
                             f"is {repr(has[at]) if at < len(has) else 'missing'}")
                break
        if kind == "enum" and any("=" not in member for member in has):
            wrong.append(f"enum {name}: a member has no number of its own")
    abi = re.findall(r"^#define SUPV_CONDITION_ABI .*", frozen, re.M)
    if not abi or abi[0] not in real:
        wrong.append(f"the ABI is no longer '{abi}': freeze a new header beside the old one")
    return wrong


def future(real):
    """Every struct has one more field, so nothing has the size that it has now."""
    structs = [name for kind, name in blocks(real) if kind == "struct"]
    text = BLOCK.sub(lambda found: f"{found.group(1)} {found.group(2)} {{\n{found.group(3)}" +
                     (f"  uint64_t {FIELD};\n" if found.group(1) == "struct" else "") + "};", real)
    missing = declared_structs(real) - set(structs)
    if missing or text.count(FIELD) != len(structs) or not structs:
        sys.exit(f"the header was not understood: {missing or structs}")
    return text


def main():
    mode, first, second = sys.argv[1:]
    if mode == "grown":
        wrong = grown(pathlib.Path(first).read_text(), pathlib.Path(second).read_text())
        print("\n".join(wrong))
        sys.exit(1 if wrong else 0)
    pathlib.Path(second).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(second).write_text(future(pathlib.Path(first).read_text()))


main()
