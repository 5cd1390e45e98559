#include "config/tree.h"

#include <fmt/core.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "config/yaml_text.h"

namespace supv {
namespace {

/// Thrown through the parser after something was reported that makes going on pointless.
struct Stop {};
/// Thrown where a second document begins.
struct SecondDocument {
  std::size_t offset;
};

class Builder : public YAML::EventHandler {
 public:
  Builder(const Source& source, Arena& arena, Report& report)
      : source_(source), arena_(arena), report_(report) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (ended_) throw SecondDocument{offset_of(mark)};
  }
  void OnDocumentEnd() override {
    follow(source_.text.size());
    ended_ = true;
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override;
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    open(Node::Kind::list, mark, tag, anchor, style);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    open(Node::Kind::map, mark, tag, anchor, style);
  }
  void OnMapEnd() override;

  const Node* root() const { return root_; }
  bool ended() const { return ended_; }
  /// Multi-line scalars: from their start to what follows them.
  const std::vector<std::pair<std::size_t, std::size_t>>& spans() const { return spans_; }
  /// Where the last value begins that was understood.
  std::size_t last() const { return last_; }
  /// The innermost bracket that is open.
  std::optional<std::size_t> open_bracket() const;

 private:
  struct Frame {
    Node* node;
    bool flow;
    YAML::anchor_t anchor;
    Node* key = nullptr;            ///< Of a map: the key that waits for its value.
    std::size_t nodes_before;       ///< Counters when it was opened: what it holds is
    std::size_t expansions_before;  ///< the difference at its end.
  };
  struct Anchor {
    const Node* node = nullptr;  ///< Null while it is still open.
    std::size_t nodes = 1;
    std::size_t expansions = 0;
    std::size_t offset = 0;
  };

  std::size_t offset_of(const YAML::Mark& mark) const {
    return mark.pos < 0 ? 0 : std::min(static_cast<std::size_t>(mark.pos), source_.text.size());
  }
  [[noreturn]] void stop(std::size_t offset, std::size_t length, std::string text,
                         std::string help = "") {
    report_.error(source_.place(offset, length), std::move(text), std::move(help));
    throw Stop{};
  }
  void count(std::size_t nodes, std::size_t expansions, std::size_t offset);
  /// What begins at `offset` ends what came before it.
  void follow(std::size_t offset);
  void refuse_tag(std::size_t offset, const std::string& tag, bool scalar);
  Node& make(Node::Kind kind, std::size_t offset);
  void attach(Node& node);
  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YAML::EmitterStyle::value style);
  void close();
  void merge(Node& map);
  void add_merged(Node& map, const Node& from, const Node& key,
                  std::unordered_map<std::string_view, const Node*>& known);

  const Source& source_;
  Arena& arena_;
  Report& report_;
  std::vector<Frame> frames_;
  std::unordered_map<YAML::anchor_t, Anchor> anchors_;
  std::vector<std::pair<std::size_t, std::size_t>> spans_;
  const Node* root_ = nullptr;
  Node* last_null_ = nullptr;             ///< Not known yet whether it is written.
  std::optional<std::size_t> last_text_;  ///< Quoted scalar whose end is not known yet.
  std::size_t last_ = 0;
  std::size_t nodes_ = 0;
  std::size_t expansions_ = 0;
  bool ended_ = false;
};

void Builder::count(std::size_t nodes, std::size_t expansions, std::size_t offset) {
  nodes_ += nodes;
  expansions_ += expansions;
  if (expansions_ > kMaxAliasExpansions) {
    stop(offset, 1, fmt::format("more than {} alias expansions", kMaxAliasExpansions));
  }
  if (nodes_ > kMaxNodes) {
    stop(offset, 1, fmt::format("more than {} values in one file, aliases expanded", kMaxNodes));
  }
}

void Builder::follow(std::size_t offset) {
  last_ = offset;
  // An empty value has the place of the next token: that is how a written null is told from one.
  if (last_null_ != nullptr && last_null_->offset != offset) {
    last_null_->text = null_word(source_.text, last_null_->offset);
    last_null_->length = std::max<std::size_t>(last_null_->text.size(), 1);
  }
  last_null_ = nullptr;
  if (last_text_) spans_.emplace_back(*last_text_, offset);
  last_text_.reset();
}

void Builder::refuse_tag(std::size_t offset, const std::string& tag, bool scalar) {
  const bool none = tag.empty() || tag == "?" || (scalar && tag == "!");
  if (none && (offset >= source_.text.size() || source_.text[offset] != '!')) return;
  const std::size_t end = source_.text.find_first_of(" \t\r\n,]}", offset);
  stop(offset, std::min(end, source_.text.size()) - offset, "tags are not supported",
       "remove it, or put text that begins with '!' in quotes");
}

Node& Builder::make(Node::Kind kind, std::size_t offset) {
  count(1, 0, offset);
  Node node;
  node.kind = kind;
  node.source = &source_;
  node.offset = offset;
  return arena_.make(std::move(node));
}

void Builder::attach(Node& node) {
  if (frames_.empty()) {
    root_ = &node;
    return;
  }
  Frame& top = frames_.back();
  if (top.node->is_list()) {
    top.node->items.push_back(&node);
  } else if (top.key == nullptr) {
    if (node.is_map() || node.is_list()) {
      stop(node.offset, 1, fmt::format("a key must be text, not {}", kind_name(node.kind)),
           source_.text[std::min(node.offset, source_.text.size() - 1)] == '{'
               ? "put text that begins with '{' in quotes"
               : "");
    }
    top.key = &node;
  } else {
    top.node->entries.push_back({top.key, &node});
    top.key = nullptr;
  }
}

void Builder::OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) {
  std::size_t offset = offset_of(mark);
  follow(offset);
  offset = after_anchor(source_.text, offset);
  refuse_tag(offset, "", true);
  Node& node = make(Node::Kind::null, offset);
  attach(node);
  last_null_ = &node;
  if (anchor != 0) anchors_[anchor] = {&node, 1, 0, offset};
}

void Builder::OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) {
  const std::size_t offset = offset_of(mark);
  follow(offset);
  const std::size_t end = source_.text.find_first_of(" \t\r\n,]}:", offset);
  const std::size_t length = std::min(end, source_.text.size()) - offset;
  const Anchor& target = anchors_[anchor];
  if (target.node == nullptr) {
    Diagnostic diagnostic;
    diagnostic.place = source_.place(offset, length);
    diagnostic.text = "this alias contains itself";
    diagnostic.related = source_.place(target.offset, 1);
    diagnostic.related_text = "the anchor is here";
    report_.add(std::move(diagnostic));
    throw Stop{};
  }
  count(target.nodes, target.expansions + 1, offset);
  Node copy = *target.node;
  if (copy.is_map() || copy.is_list()) {
    // Shared: a copy of what is large would be paid for at each alias.
    attach(const_cast<Node&>(*target.node));
    return;
  }
  copy.alias = true;
  copy.offset = offset;
  copy.length = length;
  attach(arena_.make(std::move(copy)));
}

void Builder::OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       const std::string& value) {
  std::size_t offset = offset_of(mark);
  follow(offset);
  offset = after_anchor(source_.text, offset);
  refuse_tag(offset, tag, true);
  Node& node = make(Node::Kind::scalar, offset);
  node.quoted = tag == "!";
  node.text = value;
  const std::string_view text = source_.text;
  const char first = offset < text.size() ? text[offset] : '\0';
  if (node.quoted && (first == '"' || first == '\'')) {
    const auto end = quoted_end(text, offset);
    if (!end) stop(offset, 1, "this quote is never closed");
    node.length = *end - offset;
  } else if (!node.quoted) {
    const bool plain = text.substr(offset, value.size()) == value;
    node.length = plain ? value.size() : std::min(text.find('\n', offset), text.size()) - offset;
  }
  last_text_ = offset;
  if (anchor != 0) anchors_[anchor] = {&node, 1, 0, offset};
  attach(node);
}

void Builder::open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag,
                   YAML::anchor_t anchor, YAML::EmitterStyle::value style) {
  std::size_t offset = offset_of(mark);
  follow(offset);
  offset = after_anchor(source_.text, offset);
  if (!tag.empty() && tag != "?") refuse_tag(offset, tag, false);
  if (frames_.size() >= kMaxDepth) {
    stop(offset, 1, fmt::format("more than {} levels of lists and maps", kMaxDepth));
  }
  const std::size_t nodes_before = nodes_;
  Node& node = make(kind, offset);
  if (anchor != 0) anchors_[anchor] = {nullptr, 0, 0, offset};
  frames_.push_back(
      {&node, style == YAML::EmitterStyle::Flow, anchor, nullptr, nodes_before, expansions_});
}

void Builder::close() {
  const Frame frame = frames_.back();
  frames_.pop_back();
  if (frame.anchor != 0) {
    anchors_[frame.anchor] = {frame.node, nodes_ - frame.nodes_before,
                              expansions_ - frame.expansions_before, frame.node->offset};
  }
  attach(*frame.node);
}

void Builder::OnMapEnd() {
  merge(*frames_.back().node);
  close();
}

void Builder::add_merged(Node& map, const Node& from, const Node& key,
                         std::unordered_map<std::string_view, const Node*>& known) {
  if (!from.is_map()) {
    stop(key.offset, 2,
         fmt::format("'<<' takes a map or a list of maps, not {}", kind_name(from.kind)));
  }
  for (const Entry& entry : from.entries) {
    if (known.emplace(entry.key->text, entry.key).second) map.entries.push_back(entry);
  }
}

void Builder::merge(Node& map) {
  std::unordered_map<std::string_view, const Node*> known;
  known.reserve(map.entries.size());
  std::vector<Entry> merges;
  std::vector<Entry> entries;
  entries.reserve(map.entries.size());
  for (const Entry& entry : map.entries) {
    if (entry.key->kind == Node::Kind::null) {
      if (entry.key->is_empty()) stop(entry.key->offset, 1, "a key is missing before this ':'");
      const_cast<Node*>(entry.key)->kind = Node::Kind::scalar;
    }
    const auto [first, fresh] = known.emplace(entry.key->text, entry.key);
    if (!fresh) {
      Diagnostic diagnostic;
      diagnostic.place = entry.key->place();
      diagnostic.text = fmt::format("key '{}' is given twice", entry.key->text);
      diagnostic.related = first->second->place();
      diagnostic.related_text = "first time here";
      report_.add(std::move(diagnostic));
      continue;
    }
    (entry.key->text == "<<" && !entry.key->quoted ? merges : entries).push_back(entry);
  }
  map.entries = std::move(entries);
  for (const Entry& entry : merges) {
    if (entry.value->is_list()) {
      for (const Node* item : entry.value->items) add_merged(map, *item, *entry.key, known);
    } else {
      add_merged(map, *entry.value, *entry.key, known);
    }
  }
}

std::optional<std::size_t> Builder::open_bracket() const {
  for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame) {
    if (frame->flow) return frame->node->offset;
  }
  return std::nullopt;
}

/// Says what the parser found in words that help, and at the place where it went wrong.
void report_parser(const YAML::Exception& e, const Source& source, const Builder& builder,
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
  Builder builder(source, arena, report);
  try {
    std::istringstream in(source.text);
    YAML::Parser parser(in);
    parser.HandleNextDocument(builder);
    while (builder.ended() && parser.HandleNextDocument(builder)) {
    }
    if (const auto tab = tab_indentation(source, builder.spans())) {
      report.error(source.place(*tab, 1), "a tab in the indentation", "indent with spaces");
    }
  } catch (const Stop&) {
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
