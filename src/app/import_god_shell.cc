#include "app/import_god_shell.h"

#include <algorithm>
#include <cctype>
#include <span>

namespace supv::import_god {
namespace {

struct Token {
  bool op = false;
  std::string raw;
  std::string value;    ///< Without quotes.
  bool literal = true;  ///< The shell would change nothing but the quotes.
  std::size_t begin = 0;
};
using Tokens = std::span<const Token>;

bool is_op(const Token& token, std::string_view op) { return token.op && token.raw == op; }
bool is_word(const Token& token, std::string_view text) {
  return !token.op && token.literal && token.value == text;
}

bool is_name(std::string_view text) {
  const auto fits = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  return !text.empty() && !std::isdigit(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(), fits);
}

/// Splits a command as sh does, without expanding anything.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  /// False when a quote is never closed or a construct is not understood.
  bool scan(std::vector<Token>& out) {
    while (skip_blanks(), at_ < text_.size()) {
      Token token;
      token.begin = at_;
      if (!op(token) && !scan_word(token)) return false;
      token.raw = text_.substr(token.begin, at_ - token.begin);
      out.push_back(std::move(token));
    }
    return true;
  }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }

  bool op(Token& token) {
    constexpr std::string_view kOps[] = {"2>&1", "2>>", "1>>", "&>>", "&&", "||", ">>", "2>", "1>",
                                         "&>",   ";",   "&",   "|",   ">",  "<",  "(",  ")",  "\n"};
    for (const std::string_view each : kOps) {
      if (!text_.substr(at_).starts_with(each)) continue;
      at_ += each.size();
      token.op = true;
      return true;
    }
    return false;
  }

  bool scan_word(Token& token) {
    constexpr std::string_view kEnds = " \t\n;&|<>()";
    while (at_ < text_.size() && kEnds.find(text_[at_]) == std::string_view::npos) {
      const char c = text_[at_];
      if (c == '\'' || c == '"') {
        if (!quoted(token, c)) return false;
      } else if (c == '`' || text_.substr(at_).starts_with("$(")) {
        if (!substitution(token)) return false;
      } else if (c == '\\' && at_ + 1 < text_.size()) {
        if (text_[at_ + 1] != '\n') token.value += text_[at_ + 1];
        at_ += 2;
      } else {
        if (std::string_view("$*?[~#{!").find(c) != std::string_view::npos) token.literal = false;
        token.value += c;
        ++at_;
      }
    }
    return true;
  }

  bool quoted(Token& token, char quote) {
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (quote == '"' && text_[at_] == '\\' && at_ + 1 < text_.size() &&
          std::string_view("\"\\$`").find(text_[at_ + 1]) != std::string_view::npos) {
        ++at_;
      } else if (quote == '"' && (text_[at_] == '$' || text_[at_] == '`')) {
        token.literal = false;
      }
      token.value += text_[at_];
    }
    return at_++ < text_.size();
  }

  bool substitution(Token& token) {
    token.literal = false;
    const std::string_view close = text_[at_] == '`' ? "`" : ")";
    const std::size_t end = text_.find(close, at_ + (close == "`" ? 1 : 2));
    if (end == std::string_view::npos) return false;
    token.value += text_.substr(at_, end + 1 - at_);
    at_ = end + 1;
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::string joined(Tokens tokens) {
  std::string text;
  for (const Token& token : tokens) {
    if (!text.empty()) text += ' ';
    text += token.raw;
  }
  return text;
}

/// A redirection at the end of a simple command; false when there is none.
bool take_redirection(Tokens& tokens, CleanCommand& out) {
  if (!tokens.empty() && is_op(tokens.back(), "2>&1")) {
    // Only after its target: "2>&1 >> f" means something else.
    if (tokens.size() < 3 || tokens[tokens.size() - 2].op || !tokens[tokens.size() - 3].op) {
      return false;
    }
    tokens = tokens.first(tokens.size() - 1);
    return true;
  }
  if (tokens.size() < 3) return false;
  const Token& op = tokens[tokens.size() - 2];
  const Token& file = tokens.back();
  if (!op.op || file.op || !file.literal) return false;
  if (op.raw == "<" && file.value == "/dev/null") {
    tokens = tokens.first(tokens.size() - 2);
    return true;
  }
  const bool err = op.raw == "2>" || op.raw == "2>>";
  if (!err && op.raw != ">" && op.raw != ">>" && op.raw != "1>" && op.raw != "1>>" &&
      op.raw != "&>" && op.raw != "&>>") {
    return false;
  }
  std::string& target = err ? out.err_log : out.log;
  if (!target.empty()) return false;
  target = file.value;
  tokens = tokens.first(tokens.size() - 2);
  return true;
}

void take_sudo(Tokens& tokens, CleanCommand& out) {
  std::size_t at = 1;
  std::string user;
  while (at < tokens.size() && !tokens[at].op && tokens[at].value.starts_with('-')) {
    const std::string& option = tokens[at].value;
    if (option == "-u" && at + 1 < tokens.size() && tokens[at + 1].literal) {
      user = tokens[at + 1].value;
      at += 2;
    } else if (option == "-E" || option == "-H" || option == "-n") {
      ++at;
    } else {
      return;
    }
  }
  if (user.empty() || at >= tokens.size()) return;
  out.uid = user;
  tokens = tokens.subspan(at);
}

bool take_assignment(Tokens& tokens, CleanCommand& out) {
  const Token& first = tokens.front();
  const std::size_t equals = first.value.find('=');
  if (first.op || !first.literal || equals == std::string::npos) return false;
  if (!is_name(std::string_view(first.value).substr(0, equals))) return false;
  out.env.emplace_back(first.value.substr(0, equals), first.value.substr(equals + 1));
  tokens = tokens.subspan(1);
  return true;
}

/// What stands before the program of a simple command.
void take_prefixes(Tokens& tokens, CleanCommand& out) {
  while (tokens.size() > 1) {
    const std::size_t before = tokens.size();
    if (is_word(tokens[0], "exec") || is_word(tokens[0], "nohup")) {
      tokens = tokens.subspan(1);
    } else if (is_word(tokens[0], "env") && !tokens[1].value.starts_with('-')) {
      tokens = tokens.subspan(1);
    } else if (is_word(tokens[0], "sudo")) {
      take_sudo(tokens, out);
    } else {
      take_assignment(tokens, out);
    }
    if (tokens.size() == before) return;
  }
}

bool is_sidekiq(const Token& token) {
  return !token.op && (token.value == "sidekiq" || token.value.ends_with("/sidekiq"));
}

/// Sidekiq from 6 on stays in the foreground, and writes neither a pid file nor a log file.
void take_sidekiq_options(std::vector<Token>& tokens, CleanCommand& out) {
  const auto program = std::find_if(tokens.begin(), tokens.end(), is_sidekiq);
  if (program == tokens.end()) return;
  std::vector<Token> kept(tokens.begin(), program + 1);
  for (auto token = program + 1; token != tokens.end(); ++token) {
    const std::string& option = token->value;
    const bool takes_value =
        option == "-P" || option == "--pidfile" || option == "-L" || option == "--logfile";
    if (option == "-d" || option == "--daemon" || option == "--daemonize") {
      out.sidekiq = true;
    } else if (takes_value && token + 1 != tokens.end()) {
      out.sidekiq = true;
      ++token;
      if (option[1] == 'L' || option == "--logfile") {
        if (out.log.empty() && token->literal) out.log = token->value;
      }
    } else {
      kept.push_back(*token);
    }
  }
  tokens = std::move(kept);
}

bool simple(Tokens tokens) {
  return std::none_of(tokens.begin(), tokens.end(), [](const Token& token) { return token.op; });
}

/// `cd DIR &&` at the front. The directory of a second one counts from the first.
void take_cd(Tokens& tokens, CleanCommand& out) {
  while (tokens.size() > 3 && is_word(tokens[0], "cd") && !tokens[1].op && tokens[1].literal &&
         (is_op(tokens[2], "&&") || is_op(tokens[2], ";"))) {
    const std::string& dir = tokens[1].value;
    out.dir = out.dir.empty() || dir.starts_with('/') ? dir : out.dir + '/' + dir;
    tokens = tokens.subspan(3);
  }
}

bool is_kill_target(const Token& token) {
  return !token.op && (token.value.starts_with("`cat ") || token.value.starts_with("$(cat ") ||
                       token.value.starts_with("$(<"));
}

/// "-QUIT", "-s QUIT", "-9" before the target; the rest is what follows it.
std::optional<std::string> kill_signal(Tokens& tokens) {
  int signal = 15;
  std::size_t at = 1;
  while (at < tokens.size() && !tokens[at].op && tokens[at].value.starts_with('-')) {
    std::string name = tokens[at].value.substr(1);
    if ((name == "s" || name == "n") && at + 1 < tokens.size()) name = tokens[++at].value;
    const auto parsed = parse_signal(name);
    if (!parsed || *parsed == 0) return std::nullopt;
    signal = *parsed;
    ++at;
  }
  if (at >= tokens.size() || !is_kill_target(tokens[at])) return std::nullopt;
  tokens = tokens.subspan(at + 1);
  return signal_name(signal);
}

std::optional<Duration> sleep_time(Tokens& tokens) {
  if (tokens.size() < 2 || !tokens[1].literal) return std::nullopt;
  std::string text = tokens[1].value;
  if (!text.empty() && std::isdigit(static_cast<unsigned char>(text.back()))) text += 's';
  tokens = tokens.subspan(2);
  return parse_duration(text);
}

/// Redirections, "|| true" and what joins commands mean nothing here.
void skip_noise(Tokens& tokens) {
  while (!tokens.empty() && tokens.front().op) {
    const bool file = tokens.front().raw.find('>') != std::string::npos &&
                      tokens.front().raw != "2>&1" && tokens.size() > 1 && !tokens[1].op;
    const bool or_true =
        is_op(tokens.front(), "||") && tokens.size() > 1 && is_word(tokens[1], "true");
    tokens = tokens.subspan(file || or_true ? 2 : 1);
  }
}

}  // namespace

CleanCommand clean_start(std::string_view text) {
  CleanCommand out;
  out.command = text;
  std::vector<Token> all;
  if (!Scanner(text).scan(all) || all.empty()) return out;
  Tokens tokens = all;
  take_cd(tokens, out);
  out.command = text.substr(tokens.front().begin);
  CleanCommand taken = out;
  if (is_op(tokens.back(), "&")) {
    taken.background = true;
    tokens = tokens.first(tokens.size() - 1);
  }
  while (take_redirection(tokens, taken)) {
  }
  if (tokens.empty() || !simple(tokens)) return out;
  take_prefixes(tokens, taken);
  std::vector<Token> rest(tokens.begin(), tokens.end());
  take_sidekiq_options(rest, taken);
  taken.command = joined(rest);
  return taken;
}

std::string tidy(std::string_view text) {
  std::vector<Token> tokens;
  if (!Scanner(text).scan(tokens) || !simple(tokens)) return std::string(text);
  return joined(tokens);
}

std::vector<SignalStep> signal_steps(std::string_view text) {
  std::vector<Token> all;
  if (!Scanner(text).scan(all)) return {};
  std::vector<SignalStep> steps;
  for (Tokens tokens = all; skip_noise(tokens), !tokens.empty();) {
    if (is_word(tokens[0], "kill")) {
      const auto signal = kill_signal(tokens);
      if (!signal) return {};
      steps.push_back({*signal, {}});
    } else if (is_word(tokens[0], "sleep") && !steps.empty()) {
      const auto wait = sleep_time(tokens);
      if (!wait) return {};
      steps.back().wait += *wait;
    } else if (is_word(tokens[0], "rm")) {
      while (!tokens.empty() && !tokens.front().op) tokens = tokens.subspan(1);
    } else {
      return {};
    }
  }
  return steps;
}

}  // namespace supv::import_god
