#include "config/tree.h"

#include <fmt/core.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <optional>
#include <sstream>

#include "config/tree_builder.h"
#include "config/yaml_text.h"

namespace supv {
namespace {

/// Says what the parser found in words that help, and at the place where it went wrong.
void report_parser(const YAML::Exception& e, const Source& source, const TreeBuilder& builder,
                   Report& report) {
  const std::string_view message = e.msg;
  const auto bracket = builder.open_bracket();
  if (bracket && message.find("flow not found") != std::string_view::npos) {
    report.error(source.place(*bracket, 1),
                 fmt::format("this '{}' is never closed", source.text[*bracket]));
    return;
  }
  if (message == YAML::ErrorMsg::EOF_IN_SCALAR) {
    if (const auto quote = open_quote(source.text, builder.last())) {
      report.error(source.place(*quote, 1), "this quote is never closed");
      return;
    }
  }
  const std::size_t offset = e.mark.pos < 0 ? 0 : static_cast<std::size_t>(e.mark.pos);
  if (const auto tab = tab_indentation(source, builder.spans());
      tab && source.line_at(*tab) <= source.line_at(std::min(offset, source.text.size()))) {
    report.error(source.place(*tab, 1), "a tab in the indentation", "indent with spaces");
    return;
  }
  const Plain plain = plain_words(message);
  report.error(source.place(offset, 1), std::string(plain.text), std::string(plain.help));
}

void report_second(const Source& source, std::size_t offset, Report& report) {
  const bool marker = std::string_view(source.text).substr(offset).starts_with("---");
  report.error(source.place(offset, marker ? 3 : 1),
               marker ? "a second document begins here" : "this belongs to nothing above it",
               marker ? "one file holds one document" : "check the indentation");
}

}  // namespace

const Node* Node::find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key->text == key) return entry.value;
  }
  return nullptr;
}

std::string_view kind_name(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::null:
      return "nothing";
    case Node::Kind::scalar:
      return "text";
    case Node::Kind::list:
      return "a list";
    case Node::Kind::map:
      return "a map";
  }
  return "";
}

const Node* parse_tree(const Source& source, Arena& arena, Report& report) {
  if (!check_directives(source, report)) return nullptr;
  TreeBuilder builder(source, arena, report);
  try {
    std::istringstream in(source.text);
    YAML::Parser parser(in);
    parser.HandleNextDocument(builder);
    while (builder.ended() && parser.HandleNextDocument(builder)) {
    }
    if (const auto tab = tab_indentation(source, builder.spans())) {
      report.error(source.place(*tab, 1), "a tab in the indentation", "indent with spaces");
    }
  } catch (const StopReading&) {
    return nullptr;
  } catch (const SecondDocument& second) {
    // What stands above it can be checked all the same.
    report_second(source, second.offset, report);
  } catch (const YAML::Exception& e) {
    report_parser(e, source, builder, report);
    return nullptr;
  }
  if (builder.root() != nullptr) return builder.root();
  Node empty;
  empty.source = &source;
  return &arena.make(std::move(empty));
}

}  // namespace supv
