#include "config/command.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace supv {
namespace {

using std::string_view;

struct Token {
  enum class Kind : std::uint8_t { word, and_then, redirection, other };
  Kind kind;
  std::size_t begin;
  std::size_t end;
  std::string value;  ///< Of a word: without its quotes, if nothing in it needs a shell.
  bool bare;          ///< Nothing in the word is quoted.
};

/// What the shell does in itself: there is no program of that name to exec.
constexpr std::array<string_view, 46> kShellWords = {
    ".",        ":",     "alias", "bg",    "break",    "case",     "cd",      "command",
    "continue", "do",    "done",  "elif",  "else",     "esac",     "eval",    "exit",
    "export",   "fc",    "fg",    "fi",    "for",      "function", "getopts", "hash",
    "if",       "jobs",  "local", "read",  "readonly", "return",   "set",     "shift",
    "source",   "then",  "times", "trap",  "type",     "ulimit",   "umask",   "unalias",
    "unset",    "until", "wait",  "while", "!",        "{"};

bool is_shell_word(const Token& token) {
  return token.bare &&
         std::find(kShellWords.begin(), kShellWords.end(), token.value) != kShellWords.end();
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Takes a command line apart, as far as it must be understood to know where `exec` belongs.
class Lexer {
 public:
  explicit Lexer(string_view text) : text_(text) {}

  /// False when a quote is never closed.
  bool run();
  const std::vector<Token>& tokens() const { return tokens_; }
  /// Something that only a shell does.
  bool needs_shell() const { return needs_shell_; }
  /// More than words, redirections and `&&`: not understood, so never changed.
  bool beyond() const { return beyond_; }

 private:
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool starts(string_view what) const { return text_.substr(at_).starts_with(what); }
  void push(Token::Kind kind, std::size_t length) {
    tokens_.push_back({kind, at_, at_ + length, "", true});
    at_ += length;
    needs_shell_ = true;
  }
  void operator_or_blank();
  void redirection();
  bool word();
  bool single_quoted(Token& token);
  bool double_quoted(Token& token);
  void substitution(Token& token);
  void skip_nested(char open, char close);

  string_view text_;
  std::size_t at_ = 0;
  std::vector<Token> tokens_;
  bool needs_shell_ = false;
  bool beyond_ = false;
};

bool Lexer::run() {
  while (at_ < text_.size()) {
    const char c = peek();
    if (starts("\\\n")) {
      at_ += 2;
    } else if (is_blank(c) || string_view("\n|&;()<>#").find(c) != string_view::npos) {
      operator_or_blank();
    } else if (!word()) {
      return false;
    }
  }
  return true;
}

void Lexer::operator_or_blank() {
  const char c = peek();
  if (is_blank(c)) {
    ++at_;
  } else if (c == '#') {
    needs_shell_ = true;
    at_ = std::min(text_.find('\n', at_), text_.size());
  } else if (starts("&&")) {
    push(Token::Kind::and_then, 2);
  } else if (c == '<' || c == '>') {
    redirection();
  } else if (c == '\n' && !tokens_.empty() && tokens_.back().kind == Token::Kind::and_then) {
    ++at_;  // a list may go on in the next line
  } else {
    beyond_ = true;
    push(Token::Kind::other, 1);
  }
}

void Lexer::redirection() {
  if (starts("<<")) beyond_ = true;
  // Digits that touch the operator are the number of a descriptor, not a word.
  if (!tokens_.empty() && tokens_.back().kind == Token::Kind::word && tokens_.back().end == at_ &&
      tokens_.back().bare &&
      std::all_of(tokens_.back().value.begin(), tokens_.back().value.end(), is_digit)) {
    tokens_.pop_back();
  }
  for (const string_view two : {">>", ">&", "<&", "<>", ">|", "<<"}) {
    if (starts(two)) {
      push(Token::Kind::redirection, 2);
      return;
    }
  }
  push(Token::Kind::redirection, 1);
}

bool Lexer::single_quoted(Token& token) {
  const std::size_t end = text_.find('\'', at_ + 1);
  if (end == string_view::npos) return false;
  token.value += text_.substr(at_ + 1, end - at_ - 1);
  at_ = end + 1;
  return true;
}

bool Lexer::double_quoted(Token& token) {
  ++at_;
  while (at_ < text_.size() && peek() != '"') {
    const char c = peek();
    if (c == '\\' && at_ + 1 < text_.size()) {
      const char next = peek(1);
      const bool escapes = string_view("$`\"\\\n").find(next) != string_view::npos;
      if (!escapes) token.value += c;
      if (next != '\n') token.value += next;
      at_ += 2;
    } else if (c == '$' || c == '`') {
      substitution(token);
    } else {
      token.value += c;
      ++at_;
    }
  }
  if (at_ >= text_.size()) return false;
  ++at_;
  return true;
}

void Lexer::skip_nested(char open, char close) {
  int depth = 0;
  while (at_ < text_.size()) {
    const char c = peek();
    if (c == '\\') {
      ++at_;
    } else if (c == '\'' && open == '(') {
      at_ = std::min(text_.find('\'', at_ + 1), text_.size());
    } else if (c == close && (open == close || --depth == 0)) {
      ++at_;
      return;
    } else if (c == open) {
      ++depth;
    }
    ++at_;
  }
  // Not understood: the shell will say what is wrong with it.
  at_ = text_.size();
  beyond_ = true;
}

void Lexer::substitution(Token& token) {
  needs_shell_ = true;
  token.bare = false;
  if (peek() == '`') {
    ++at_;
    skip_nested('`', '`');
  } else if (peek(1) == '(') {
    ++at_;
    skip_nested('(', ')');
  } else if (peek(1) == '{') {
    ++at_;
    skip_nested('{', '}');
  } else {
    ++at_;
  }
}

bool Lexer::word() {
  Token token{Token::Kind::word, at_, at_, "", true};
  while (at_ < text_.size() && string_view(" \t\n|&;()<>").find(peek()) == string_view::npos) {
    const char c = peek();
    if (c == '\'' || c == '"') {
      token.bare = false;
      if (!(c == '"' ? double_quoted(token) : single_quoted(token))) return false;
    } else if (c == '\\') {
      if (peek(1) != '\n') {
        token.bare = false;
        token.value += at_ + 1 < text_.size() ? peek(1) : '\\';
      }
      at_ = std::min(at_ + 2, text_.size());
    } else if (c == '$' || c == '`') {
      substitution(token);
    } else {
      const bool home = c == '~' && (token.value.empty() || token.value.back() == '=' ||
                                     token.value.back() == ':');
      if (home || c == '*' || c == '?' || c == '[') needs_shell_ = true;
      token.value += c;
      ++at_;
    }
  }
  token.end = at_;
  tokens_.push_back(std::move(token));
  return true;
}

/// `NAME=` unquoted at the start of a word.
bool is_assignment(const Token& token, string_view text) {
  const string_view word = text.substr(token.begin, token.end - token.begin);
  const std::size_t equals = word.find('=');
  if (equals == string_view::npos || equals == 0 || !name_start(word[0])) return false;
  return std::all_of(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(equals),
                     [](char c) { return name_start(c) || is_digit(c); });
}

/// The first word of the simple command in [from, to) that is no assignment and no redirection.
const Token* command_word(const std::vector<Token>& tokens, std::size_t from, std::size_t to,
                          string_view text) {
  for (std::size_t i = from; i < to; ++i) {
    if (tokens[i].kind == Token::Kind::redirection) {
      ++i;  // and its target
    } else if (!is_assignment(tokens[i], text)) {
      return &tokens[i];
    }
  }
  return nullptr;
}

Command through_shell(string_view text, bool own_shell) {
  return {{"/bin/sh", "-c", std::string(text)}, own_shell};
}

/// The shell's line with `exec` where the rule wants it.
Command with_exec(const Lexer& lexer, string_view text) {
  const std::vector<Token>& tokens = lexer.tokens();
  if (lexer.beyond()) return through_shell(text, true);
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= tokens.size(); ++i) {
    if (i < tokens.size() && tokens[i].kind != Token::Kind::and_then) continue;
    const Token* first = command_word(tokens, begin, i, text);
    const bool last = i == tokens.size();
    // A keyword anywhere opens something larger than a list of simple commands.
    if (begin == i ||
        (first != nullptr && first->bare && (first->value == "!" || first->value == "{"))) {
      return through_shell(text, true);
    }
    if (last) {
      if (first == nullptr || is_shell_word(*first)) return through_shell(text, true);
      if (first->bare && first->value == "exec") return through_shell(text, false);
      std::string line(text.substr(0, first->begin));
      line += "exec ";
      line += text.substr(first->begin);
      return through_shell(line, false);
    }
    begin = i + 1;
  }
  return through_shell(text, true);
}

}  // namespace

std::optional<Command> parse_command(string_view text, std::string& error) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == string_view::npos) {
    error = "the command is empty";
    return std::nullopt;
  }
  text.remove_prefix(first);
  text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
  Lexer lexer(text);
  if (!lexer.run()) {
    error = "a quote in this command is never closed";
    return std::nullopt;
  }
  const std::vector<Token>& tokens = lexer.tokens();
  if (tokens.empty()) {
    error = "the command is only a comment";
    return std::nullopt;
  }
  const Token& program = tokens.front();
  const bool plain = !lexer.needs_shell() && !is_shell_word(program) && program.value != "exec" &&
                     !is_assignment(program, text);
  if (!plain) return with_exec(lexer, text);
  if (program.value.empty()) {
    error = "the command's program is empty";
    return std::nullopt;
  }
  Command command;
  for (const Token& token : tokens) command.argv.push_back(token.value);
  return command;
}

}  // namespace supv
