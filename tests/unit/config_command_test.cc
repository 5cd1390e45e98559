#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "config/command.h"

using namespace supv;

namespace {

std::vector<std::string> argv_of(const std::string& text) {
  std::string error;
  const auto command = parse_command(text, error);
  CAPTURE(std::string(text));
  CAPTURE(error);
  REQUIRE(command);
  return command->argv;
}

/// What sh executes, or the direct form in brackets, with * for a shell that stays.
std::string shape(const std::string& text) {
  std::string error;
  const auto command = parse_command(text, error);
  if (!command) return "error: " + error;
  if (command->argv.size() == 3 && command->argv[0] == "/bin/sh" && command->argv[1] == "-c") {
    return (command->own_shell ? "* " : "") + command->argv[2];
  }
  std::string out;
  for (const auto& word : command->argv) out += "[" + word + "]";
  return out;
}

std::string output_of(const std::vector<std::string>& argv) {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    std::vector<char*> raw;
    for (const auto& word : argv) raw.push_back(const_cast<char*>(word.c_str()));
    raw.push_back(nullptr);
    execvp(raw[0], raw.data());
    _exit(127);
  }
  close(ends[1]);
  std::string out;
  char block[4096];
  for (ssize_t got = 0; (got = read(ends[0], block, sizeof block)) > 0;) {
    out.append(block, static_cast<std::size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return out;
}

}  // namespace

TEST_CASE("the command rule") {
  struct Row {
    const char* text;
    const char* shape;
  };
  const Row rows[] = {
      // no shell
      {"prog", "[prog]"},
      {"  prog  a\tb \n", "[prog][a][b]"},
      {"prog 'a b' \"c d\" e\\ f", "[prog][a b][c d][e f]"},
      {"prog \"\" ''", "[prog][][]"},
      {"prog a'b'\"c\"d", "[prog][abcd]"},
      {"prog \"a\\\"b\\\\c\\d\"", "[prog][a\"b\\c\\d]"},
      {"prog 'a\\b$c`d'", "[prog][a\\b$c`d]"},
      {"prog a\\\n b", "[prog][a][b]"},
      {"prog --x=1 A=1 a:b @c +d,e %f ^g a#b a~b {x} ]",
       "[prog][--x=1][A=1][a:b][@c][+d,e][%f][^g][a#b][a~b][{x}][]]"},
      {"prog '*' '#' '~' \\$HOME", "[prog][*][#][~][$HOME]"},
      {"env X=1 prog", "[env][X=1][prog]"},
      {"'cd' /x", "[cd][/x]"},
      {"größe 日本", "[größe][日本]"},
      // a shell for one simple command
      {"X=1 prog", "X=1 exec prog"},
      {"X=1 Y='a b' Z=\"$HOME\" prog a", "X=1 Y='a b' Z=\"$HOME\" exec prog a"},
      {"X=$(a; b) prog", "X=$(a; b) exec prog"},
      {"prog $HOME", "exec prog $HOME"},
      {"prog \"$HOME\"", "exec prog \"$HOME\""},
      {"prog `date`", "exec prog `date`"},
      {"prog $(date | cut -c1)", "exec prog $(date | cut -c1)"},
      {"prog ${X:-a b}", "exec prog ${X:-a b}"},
      {"prog *.rb", "exec prog *.rb"},
      {"prog ~/x", "exec prog ~/x"},
      {"prog --dir=~/x", "exec prog --dir=~/x"},
      {"prog > log 2>&1", "exec prog > log 2>&1"},
      {">>log 2>&1 prog a", ">>log 2>&1 exec prog a"},
      {"2>/dev/null X=1 prog", "2>/dev/null X=1 exec prog"},
      {"prog <in", "exec prog <in"},
      {"prog # it's a comment", "exec prog # it's a comment"},
      {"\"$PROG\" a", "exec \"$PROG\" a"},
      {"prog a\\\n $b", "exec prog a\\\n $b"},
      // a list
      {"cd x && prog", "cd x && exec prog"},
      {"cd x && A=1 prog > log", "cd x && A=1 exec prog > log"},
      {"a && b && c d", "a && b && exec c d"},
      {"cd x &&\n  prog", "cd x &&\n  exec prog"},
      {"cd 'a && b' && prog", "cd 'a && b' && exec prog"},
      {"cd $(a && b) && prog", "cd $(a && b) && exec prog"},
      {"umask 027 && prog", "umask 027 && exec prog"},
      // already there
      {"exec prog", "exec prog"},
      {"cd x && exec prog", "cd x && exec prog"},
      {"X=1 exec prog", "X=1 exec prog"},
      // left alone: the shell is the main process
      {"cd x && prog; true", "* cd x && prog; true"},
      {"prog;", "* prog;"},
      {"a; b", "* a; b"},
      {"a || b", "* a || b"},
      {"a && b || c", "* a && b || c"},
      {"a | b", "* a | b"},
      {"a && b | c", "* a && b | c"},
      {"prog &", "* prog &"},
      {"nohup prog >/dev/null 2>&1 &", "* nohup prog >/dev/null 2>&1 &"},
      {"(cd x && prog)", "* (cd x && prog)"},
      {"{ prog; }", "* { prog; }"},
      {"! prog $x", "* ! prog $x"},
      {"a && ! b", "* a && ! b"},
      {"if true; then prog; fi", "* if true; then prog; fi"},
      {"while true; do prog; done", "* while true; do prog; done"},
      {"for i in 1 2; do prog; done", "* for i in 1 2; do prog; done"},
      {"case x in x) prog;; esac", "* case x in x) prog;; esac"},
      {"f() { prog; }; f", "* f() { prog; }; f"},
      {"a\nb", "* a\nb"},
      {"prog <<E\nx\nE", "* prog <<E\nx\nE"},
      {"cat <<-E && prog\nx\nE", "* cat <<-E && prog\nx\nE"},
      {"prog &> log", "* prog &> log"},
      {"a && b &", "* a && b &"},
      {"a &&", "* a &&"},
      {"a && && b", "* a && && b"},
      // what only a shell can do must not be given to exec
      {"cd x", "* cd x"},
      {"a && cd x", "* a && cd x"},
      {"export X=1", "* export X=1"},
      {"prog && export X=1", "* prog && export X=1"},
      {"X=1", "* X=1"},
      {"a && X=1", "* a && X=1"},
      {". ./env && eval $x", "* . ./env && eval $x"},
      {". ./env && prog", ". ./env && exec prog"},
      {"ulimit -n 10", "* ulimit -n 10"},
      {"command prog", "* command prog"},
      {"exit 3", "* exit 3"},
      {"> log", "* > log"},
      // nothing to run
      {"", "error: the command is empty"},
      {" \n\t", "error: the command is empty"},
      {"# only", "error: the command is only a comment"},
      {"''", "error: the command's program is empty"},
      {"prog 'x", "error: a quote in this command is never closed"},
      {"prog \"x", "error: a quote in this command is never closed"},
      {"prog \"x\\\"", "error: a quote in this command is never closed"},
      {"cd x && prog \"$y", "error: a quote in this command is never closed"},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.text));
    CHECK(shape(row.text) == std::string(row.shape));
  }
}

TEST_CASE("what is split without a shell is what the shell would have made of it") {
  for (const char* text :
       {"printf '%s|' a b", "printf '%s|' 'a b' \"c d\" e\\ f",
        "printf '%s|' \"a\\\"b\\\\c\\d\" ''", "printf '%s|' a'b'\"c\"d {x} ] a#b a~b A=1",
        "printf '%s|' \\$HOME '$HOME' \"\\$x\\`\"", "printf '%s|' a\\\nb",
        "printf '%s|' \"a\\\nb\" 'c\\d' --x=1 +y,z %w ^v @u"}) {
    CAPTURE(std::string(text));
    const auto argv = argv_of(text);
    CHECK(argv[0] == "printf");
    CHECK(output_of(argv) == output_of({"/bin/sh", "-c", text}));
  }
}

TEST_CASE("with exec the program itself is the process that was started") {
  for (const char* text :
       {"X=1 sh -c 'echo $$ $PPID $X'", "cd / && sh -c 'echo $$ $PPID'",
        "cd / && Y=2 sh -c 'echo $$ $PPID $Y' 2>&1", "sh -c 'echo $$ $PPID' # it is"}) {
    CAPTURE(std::string(text));
    const std::string out = output_of(argv_of(text));
    // Without a shell between them the parent is this test.
    CHECK(out.find(" " + std::to_string(getpid())) != std::string::npos);
    if (std::string(text).starts_with("X=1")) CHECK(out.ends_with(" 1\n"));
    if (std::string(text).find("Y=2") != std::string::npos) CHECK(out.ends_with(" 2\n"));
  }
}
