#include "app/import_god_parts.h"

namespace supv::import_god {
namespace {

using Kind = Value::Kind;

/// Ruby that calls a lambda or method; as a question it exits 0 when the answer is true. Empty
/// without its source.
std::string ruby_script(const Value& code, bool as_question) {
  if (!code.is(Kind::code) || code.text.empty()) return {};
  std::string script;
  for (const std::string& line : code.prelude) script += line + "\n";
  const std::string& source = code.text;
  std::string call;
  if (source.starts_with("def ")) {
    script += source + "\n";
    call = source.substr(4, source.find_first_of(" (\n;", 4) - 4);
  } else {
    const bool arrow = source.starts_with('(');
    const bool block = source.starts_with('{') || source.starts_with("do");
    call = (arrow ? "->" : block ? "lambda " : "") + source + ".call";
  }
  return script + (as_question ? "exit(" + call + " ? 0 : 1)" : call);
}

}  // namespace

std::optional<Yaml> ruby_command(const Value& code) {
  const std::string script = ruby_script(code, false);
  if (script.empty()) return std::nullopt;
  return list({word("ruby"), word("-e"), literal(script)});
}

std::optional<std::string> ruby_question(const Value& code) {
  const std::string script = ruby_script(code, true);
  if (script.empty()) return std::nullopt;
  std::string quoted = "ruby -e '";
  for (const char c : script) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + '\'';
}

}  // namespace supv::import_god
