"""What an author of a plugin gets: headers, CMake package and pkg-config file work below any prefix,
in C and in C++, and the examples of supv-plugin(3) and of examples/plugin are what they say."""
import os
import re
import shutil

import supv
from supv import BUILD, contains, equal

ROOT = supv.HERE.parent.parent
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]

PLAIN_C = r"""
#include <supv/condition.h>

static void* create(const struct supv_host* host, char* error, size_t room) {
  (void)error;
  (void)room;
  return (void*)host;
}
static void on_event(void* self, const struct supv_event* event, struct supv_verdict* verdict) {
  (void)event;
  const struct supv_host* host = self;
  verdict->outcome = host->pid(host->context) > 0 ? SUPV_OK : SUPV_UNKNOWN;
  verdict->reason = "it is written in C";
}
static void destroy(void* self) { (void)self; }

void helper_that_nobody_shall_see(void) {}

const struct supv_condition_descriptor supv_condition_plugin = {
    .abi = SUPV_CONDITION_ABI,
    .size = sizeof(struct supv_condition_descriptor),
    .name = "plain",
    .help = "Never true.",
    .kind = SUPV_POLL,
    .create = create,
    .on_event = on_event,
    .destroy = destroy,
    .option_size = sizeof(struct supv_option),
};
"""


def install(lab, prefix=None, **env):
    prefix = prefix or lab.dir / "prefix"
    lab.run("cmake", "--install", BUILD, "--prefix", prefix, env=env).ok()
    return prefix


def cmake(lab, source, prefix, *options, code=0):
    """Configures, and builds unless configuring is to fail."""
    build = source / "build"
    made = lab.run("cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", *options)
    if code:
        return made.exits(code)
    made.ok()
    lab.run("cmake", "--build", build, timeout=240).ok()
    return build


def flags(lab, prefix, *options):
    return lab.run("pkg-config", *options, "supv",
                   env={"PKG_CONFIG_PATH": f"{prefix}/share/pkgconfig"}).ok().out.split()


def compile_line(lab, prefix, compiler, source):
    """The single line that makes a plugin, as the manual has it."""
    plugin = source.with_suffix(".so")
    name, *options = compiler
    lab.run(name, *WARNINGS, *options, source, "-o", plugin,
            *flags(lab, prefix, "--cflags", "--libs"), timeout=240).ok()
    return plugin


def only_the_descriptor(lab, plugin):
    symbols = lab.run("nm", "-D", "--defined-only", plugin).ok().out.split()[2::3]
    equal(symbols, ["supv_condition_plugin"], f"what {plugin.name} exports")


def accepted(lab, plugin, prefix):
    only_the_descriptor(lab, plugin)
    lab.run(prefix / "bin" / "supvctl", "plugin", "check", plugin).ok()


def example(lab):
    return shutil.copytree(ROOT / "examples" / "plugin", lab.dir / "plugin")


def literal_blocks(page):
    """The examples of a manual page, as they are read."""
    lines = (ROOT / "man" / page).read_text().splitlines()
    for at, line in enumerate(lines):
        if line.startswith(".Bd -literal"):
            text = "\n".join(lines[at + 1:lines.index(".Ed", at)]) + "\n"
            yield text.replace("\\&", "").replace("\\e", "\\").replace("\\(aq", "'")


def test_the_template_builds_out_of_the_tree(lab):
    prefix = install(lab)
    source = example(lab)
    build = cmake(lab, source, prefix, "-DCMAKE_CXX_FLAGS=" + " ".join(WARNINGS))
    accepted(lab, build / "queue_length.so", prefix)
    lab.run("ctest", "--test-dir", build, "--output-on-failure").ok()
    lab.run("cmake", "--install", build).ok()
    installed = prefix / "lib" / "supv" / "conditions" / "queue_length.so"
    equal(os.access(installed, os.R_OK), True, f"{installed} is there")
    lab.run(prefix / "bin" / "supvctl", "check", source / "queue_length.watch.yaml",
            env={"SUPV_PLUGIN_PATH": str(build)}).ok()


def test_the_template_is_one_line_as_well(lab):
    prefix = install(lab)
    source = example(lab) / "queue_length.cc"
    for compiler in (["g++", "-std=c++17", "-O2"], ["g++", "-std=c++20"], ["clang++", "-std=c++17"]):
        accepted(lab, compile_line(lab, prefix, compiler, source), prefix)


def test_an_installation_can_be_moved(lab):
    install(lab, prefix="/usr", DESTDIR=str(lab.dir / "stage"))
    prefix = lab.dir / "elsewhere with blanks"
    shutil.move(lab.dir / "stage" / "usr", prefix)
    equal(list((lab.dir / "stage").iterdir()), [], "what is installed beside the prefix")
    build = cmake(lab, example(lab), prefix)
    accepted(lab, build / "queue_length.so", prefix)
    lab.run("cmake", "--install", build).ok()
    equal((prefix / "lib/supv/conditions/queue_length.so").exists(), True, "the installed plugin")
    directory = " ".join(flags(lab, prefix, "--variable=conditiondir")).replace("\\", "")
    equal(os.path.realpath(directory), str(prefix / "lib/supv/conditions"), "conditiondir")


def test_a_plugin_can_go_elsewhere(lab):
    prefix = install(lab)
    build = cmake(lab, example(lab), prefix, "-DSUPV_CONDITION_DIR=lib/mine")
    lab.run("cmake", "--install", build, "--prefix", lab.dir / "other").ok()
    equal((lab.dir / "other/lib/mine/queue_length.so").exists(), True, "the installed plugin")
    equal(list((prefix / "lib/supv/conditions").iterdir()), [], "plugins beside supvd")


def test_a_plugin_in_plain_c(lab):
    prefix = install(lab)
    source = lab.write("c/plain.c", PLAIN_C)
    for compiler in (["gcc", "-std=c11"], ["clang", "-std=c11", "-fvisibility=hidden"]):
        accepted(lab, compile_line(lab, prefix, compiler, source), prefix)
    lab.write("c/CMakeLists.txt", "cmake_minimum_required(VERSION 3.16)\n"
              "project(plain LANGUAGES C)\nfind_package(supv 0.1 REQUIRED)\n"
              "supv_add_condition(plain plain.c)\n")
    accepted(lab, cmake(lab, source.parent, prefix) / "plain.so", prefix)


def test_what_cannot_become_a_plugin_is_said_early(lab):
    prefix = install(lab)
    project = ("cmake_minimum_required(VERSION 3.16)\nproject(plain LANGUAGES C)\n"
               "find_package(supv {} REQUIRED)\nsupv_add_condition({})\n")
    lab.write("c/plain.c", "int elsewhere(void);\nint here(void) { return elsewhere(); }\n")
    for version, arguments, message in (("0.1", "plain-c plain.c", "'plain-c' cannot be the name"),
                                        ("0.1", "plain", "which source files?"),
                                        ("0.2", "plain plain.c", "version")):
        lab.write("c/CMakeLists.txt", project.format(version, arguments))
        contains(cmake(lab, lab.dir / "c", prefix, code=1).err, message)
    lab.write("c/CMakeLists.txt", project.format("0.1", "plain plain.c"))
    lab.run("cmake", "-S", "c", "-B", "c/build", f"-DCMAKE_PREFIX_PATH={prefix}").ok()
    linked = lab.run("cmake", "--build", "c/build").exits(1, 2)
    contains(linked.out + linked.err, "elsewhere")


def test_the_examples_of_the_manual_are_plugins(lab):
    prefix = install(lab)
    blocks = list(literal_blocks("supv-plugin.3"))
    in_c = [text for text in blocks if "#include <supv/condition.h>" in text]
    in_cpp = [text for text in blocks if "#include <supv/condition.hpp>" in text]
    equal((len(in_c), len(in_cpp)), (1, 1), "complete examples")
    for compiler, name, text in ((["gcc", "-std=c11"], "memory_growth.c", in_c[0]),
                                 (["g++", "-std=c++17"], "spool_length.cc", in_cpp[0])):
        source = lab.write(f"conditions/{name}", text)
        accepted(lab, compile_line(lab, prefix, compiler, source), prefix)
    usage = [text for text in blocks if text.startswith("plugins:")]
    equal(len(usage), 1, "watch files that use them")
    lab.run(prefix / "bin" / "supvctl", "check", lab.write("page.watch.yaml", usage[0])).ok()


def of_another_age(lab, prefix, change):
    """Changes the installed header."""
    header = prefix / "include" / "supv" / "condition.h"
    was = header.read_text()
    became = change(was)
    equal(became != was, True, "the header is another one")
    header.write_text(became)


def without(header, *fields):
    """The header from before these fields were appended."""
    for field in fields:
        contains(header, field)
        header = re.sub(rf"\n[^\n]*{re.escape(field)}[^;]*;( /\*.*?\*/)?", "", header, flags=re.S)
    return header


def test_a_plugin_with_an_older_header_works(lab):
    prefix = install(lab)
    of_another_age(lab, prefix, lambda header: without(
        header, "const char* metrics", "uint64_t age_ns", "uint32_t option_size", "size_t (*pids)",
        "int64_t armed_wall_ns"))
    source = lab.write("plain.c", PLAIN_C.replace(
        "    .option_size = sizeof(struct supv_option),\n", ""))
    accepted(lab, compile_line(lab, prefix, ["gcc", "-std=c11"], source), prefix)


def test_a_plugin_with_a_newer_header_works(lab):
    prefix = install(lab)
    of_another_age(lab, prefix, lambda header: re.sub(
        r"(\nstruct \w+ \{\n.*?)\n\};", r"\1\n  uint64_t later[3];\n};", header, flags=re.S))
    source = example(lab) / "queue_length.cc"
    plugin = compile_line(lab, prefix, ["g++", "-std=c++17", "-Wno-missing-field-initializers"],
                          source)
    accepted(lab, plugin, prefix)
    described = lab.run(prefix / "bin" / "supvctl", "plugin", "check", plugin,
                        "--json").ok().json["reference"]
    for option in ("address", "queue", "above", "password"):
        contains(described, option)


supv.main(globals())
