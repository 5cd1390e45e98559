#include <doctest/doctest.h>

#include <string>

#include "config/tree.h"

using namespace supv;

namespace {

struct Parsed {
  Source source;
  Arena arena;
  Report report;
  const Node* root = nullptr;
  std::string said;

  explicit Parsed(std::string text) : source("f", std::move(text)) {
    if (check_text(source, report)) root = parse_tree(source, arena, report);
    for (const auto& one : report.take({"f"})) {
      if (!said.empty()) said += '\n';
      said +=
          std::to_string(one.place.line) + ":" + std::to_string(one.place.column) + ": " + one.text;
      if (one.related) {
        said += " (" + std::to_string(one.related->line) + ":" +
                std::to_string(one.related->column) + ")";
      }
    }
  }
};

std::string said(std::string text) { return Parsed(std::move(text)).said; }

}  // namespace

TEST_CASE("values know where they are, in characters, and whether they are quoted") {
  const Parsed parsed("größe: \"日本\"\nb: [x, 'y', &a z, *a]\r\nc:\nd: ~\ne: |\n  text\n");
  REQUIRE(parsed.root != nullptr);
  CHECK(parsed.said.empty());
  const Node* first = parsed.root->find("größe");
  REQUIRE(first != nullptr);
  CHECK(first->quoted);
  CHECK(first->text == "日本");
  CHECK(first->place().column == 8);
  CHECK(first->place().length == 4);
  const Node* list = parsed.root->find("b");
  REQUIRE(list->items.size() == 4);
  CHECK_FALSE(list->items[0]->quoted);
  CHECK(list->items[1]->quoted);
  CHECK(list->items[2]->place().column == 16);
  CHECK(list->items[2]->text == "z");
  CHECK(list->items[3]->text == "z");
  CHECK(list->items[3]->place().column == 19);
  CHECK(parsed.root->find("c")->is_empty());
  CHECK_FALSE(parsed.root->find("d")->is_empty());
  CHECK(parsed.root->find("d")->kind == Node::Kind::null);
  CHECK(parsed.root->find("e")->quoted);
  CHECK(parsed.root->find("e")->text == "text\n");
}

TEST_CASE("a null that is written is told from a value that is missing") {
  const Parsed parsed("a: {x: null, y: }\nb:\n  z: ~\nc:\nnull: 1\n");
  REQUIRE(parsed.root != nullptr);
  CHECK(parsed.root->find("a")->find("x")->text == "null");
  CHECK(parsed.root->find("a")->find("y")->is_empty());
  CHECK(parsed.root->find("b")->find("z")->text == "~");
  CHECK(parsed.root->find("c")->is_empty());
  CHECK(parsed.root->find("null")->text == "1");
}

TEST_CASE("merge keys") {
  const Parsed parsed(
      "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 0}\nd: {<<: *b}\n"
      "e: {\"<<\": q}\n");
  CHECK(parsed.said.empty());
  const Node* c = parsed.root->find("c");
  CHECK(c->find("x")->text == "0");
  CHECK(c->find("y")->text == "2");
  CHECK(c->find("z")->text == "4");
  CHECK(c->find("<<") == nullptr);
  CHECK(parsed.root->find("d")->find("y")->text == "3");
  CHECK(parsed.root->find("e")->find("<<")->text == "q");
  CHECK(said("a: {<<: x}") == "1:5: '<<' takes a map or a list of maps, not text");
}

TEST_CASE("a byte order mark does not shift anything") {
  const Parsed parsed(
      "\xEF\xBB\xBF"
      "a: b\n");
  CHECK(parsed.root->find("a")->place().column == 4);
}

TEST_CASE("what is no YAML, or too clever, is refused at its place") {
  struct Row {
    const char* text;
    const char* said;
  };
  const Row rows[] = {
      {"a: 1\nb: 2\na: 3\n", "3:1: key 'a' is given twice (1:1)"},
      {"{a: 1, \"a\": 2}", "1:8: key 'a' is given twice (1:2)"},
      {"a: 1\n---\nb: 2\n", "2:1: a second document begins here"},
      {"a: 1\n...\nb: 2\n", "3:1: this belongs to nothing above it"},
      {"- a\nb: c\n", "2:1: this belongs to nothing above it"},
      {"a: 'x\nb: 2\n", "1:4: this quote is never closed"},
      {"a: \"x\nb: 2\n", "1:4: this quote is never closed"},
      {"don't: x\na: \"x\\\"\n", "2:4: this quote is never closed"},
      {"a: [1, 2\nb: 3\n", "1:4: this '[' is never closed"},
      {"a: {x: 1\n", "1:4: this '{' is never closed"},
      {"a: ]\n", "1:4: this bracket closes nothing"},
      {"a:\n\tb: 1\n", "2:1: a tab in the indentation"},
      {"a:\n  b: 1\n \tc: 1\n", "3:2: a tab in the indentation"},
      {"a: !!str x\n", "1:4: tags are not supported"},
      {"a: ! x\n", "1:4: tags are not supported"},
      {"a: !!map {}\n", "1:4: tags are not supported"},
      {"!x\na: b\n", "1:1: tags are not supported"},
      {"a: &a [*a]\n", "1:8: this alias contains itself (1:7)"},
      {"a: &a {b: *a}\n", "1:11: this alias contains itself (1:7)"},
      {"a: *b\n", "1:4: the referenced anchor is not defined"},
      {"? [a]\n: b\n", "1:3: a key must be text, not a list"},
      {"{a: 1}: b\n", "1:1: a key must be text, not a map"},
      {"a: 1\nb\n", "2:1: there is no ':' behind 'b'"},
      {"a: {b, c: 1}\n", "1:5: there is no ':' behind 'b'"},
      {": x\n", "1:1: a key is missing before this ':'"},
      {"%YAML 1.3\n---\na: b\n", "1:1: directives are not supported"},
      {"%TAG ! x\n---\na: b\n", "1:1: directives are not supported"},
      {"a: b: c\n", "1:5: a ':' that is not expected here"},
      {"a: @x\n", "1:4: a value cannot begin with this character"},
      {"a: \x01\n", "1:4: a control character (U+0001)"},
      {"a: b\rc: d\n", "1:5: a control character (U+000D)"},
      {"a: \xC2\x85\n", "1:4: a control character (U+0085)"},
      {"é: \xff\n", "1:4: this is not valid UTF-8"},
      {"a: \xE2\x80\xAE\n", "1:4: a character that reverses the reading direction (U+202E)"},
      {"a: \xEF\xBB\xBF\n", "1:4: a byte order mark inside the text (U+FEFF)"},
      {"\xFF\xFE"
       "a",
       "1:1: this file is UTF-16"},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.text));
    CHECK(said(row.text) == std::string(row.said));
  }
  CHECK(said(std::string("a: \0\n", 5)) == "1:4: a NUL character (U+0000)");
}

TEST_CASE("what is legal is taken") {
  for (const char* text : {"", "# only\n", "%YAML 1.2\n---\na: b\n", "---\na: b\n...\n",
                           "a: |\n  x\n  \ty\nb: 1\n", "a: 'it''s'\n", "a: \"x\n  y\"\n", "a:\tb\n",
                           "a: b\t# c\n", "a: \"don't\"\n", "{}", "a: &x 1\nb: *x\n"}) {
    CAPTURE(std::string(text));
    CHECK(said(text) == "");
  }
}

TEST_CASE("limits") {
  CHECK(said(std::string(70, '[') + std::string(70, ']')) ==
        "1:65: more than 64 levels of lists and maps");
  CHECK(Parsed(std::string(64, '[') + std::string(64, ']')).said.empty());
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 20; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 9; ++k) bomb += (k > 0 ? "," : "") + last;
    bomb += "]\n";
  }
  CHECK(said(bomb).find("more than 10000 alias expansions") != std::string::npos);
  CHECK(said(std::string((1 << 20) + 1, ' ')) == "1:1: this file is larger than 1 MiB");
  CHECK(said(std::string(100'001, '\n')) == "100001:1: this file has more than 100000 lines");
  std::string many = "[";
  for (int i = 0; i < 200'001; ++i) many += "a,";
  CHECK(said(many + "]").find("more than 200000 values") != std::string::npos);
}
