#include "config/tree_builder.h"

#include <fmt/core.h>

#include "config/yaml_text.h"

namespace supv {

void TreeBuilder::count(std::size_t nodes, std::size_t expansions, std::size_t offset) {
  nodes_ += nodes;
  expansions_ += expansions;
  if (expansions_ > kMaxAliasExpansions) {
    stop(offset, 1, fmt::format("more than {} alias expansions", kMaxAliasExpansions));
  }
  if (nodes_ > kMaxNodes) {
    stop(offset, 1, fmt::format("more than {} values in one file, aliases expanded", kMaxNodes));
  }
}

void TreeBuilder::follow(std::size_t offset) {
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

void TreeBuilder::refuse_tag(std::size_t offset, const std::string& tag, bool scalar) {
  const bool none = tag.empty() || tag == "?" || (scalar && tag == "!");
  if (none && (offset >= source_.text.size() || source_.text[offset] != '!')) return;
  const std::size_t end = source_.text.find_first_of(" \t\r\n,]}", offset);
  stop(offset, std::min(end, source_.text.size()) - offset, "tags are not supported",
       "remove it, or put text that begins with '!' in quotes");
}

Node& TreeBuilder::make(Node::Kind kind, std::size_t offset) {
  count(1, 0, offset);
  Node node;
  node.kind = kind;
  node.source = &source_;
  node.offset = offset;
  return arena_.make(std::move(node));
}

void TreeBuilder::attach(const Node& node) {
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

void TreeBuilder::OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) {
  std::size_t offset = offset_of(mark);
  follow(offset);
  offset = after_anchor(source_.text, offset);
  refuse_tag(offset, "", true);
  Node& node = make(Node::Kind::null, offset);
  attach(node);
  last_null_ = &node;
  if (anchor != 0) anchors_[anchor] = {&node, 1, 0, offset};
}

void TreeBuilder::OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) {
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
    throw StopReading{};
  }
  count(target.nodes, target.expansions + 1, offset);
  Node copy = *target.node;
  if (copy.is_map() || copy.is_list()) {
    // Shared: a copy of what is large would be paid for at each alias.
    attach(*target.node);
    return;
  }
  copy.alias = true;
  copy.offset = offset;
  copy.length = length;
  attach(arena_.make(std::move(copy)));
}

void TreeBuilder::OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
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

void TreeBuilder::open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag,
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

void TreeBuilder::close() {
  const Frame frame = frames_.back();
  frames_.pop_back();
  if (frame.anchor != 0) {
    anchors_[frame.anchor] = {frame.node, nodes_ - frame.nodes_before,
                              expansions_ - frame.expansions_before, frame.node->offset};
  }
  attach(*frame.node);
}

void TreeBuilder::OnMapEnd() {
  merge(*frames_.back().node);
  close();
}

void TreeBuilder::add_merged(Node& map, const Node& from, const Node& key,
                             std::unordered_map<std::string_view, const Node*>& known) {
  if (!from.is_map()) {
    stop(key.offset, 2,
         fmt::format("'<<' takes a map or a list of maps, not {}", kind_name(from.kind)));
  }
  for (const Entry& entry : from.entries) {
    if (known.emplace(entry.key->text, entry.key).second) map.entries.push_back(entry);
  }
}

void TreeBuilder::check_colon(const Entry& entry) {
  // The parser takes a word that stands alone for a key without a value.
  if (entry.value->kind != Node::Kind::null) return;
  const std::size_t end = entry.key->offset + entry.key->length;
  const std::size_t next = source_.text.find_first_not_of(" \t\r\n", end);
  if (next != std::string::npos && source_.text[next] == ':') return;
  report_.error(entry.key->place(), fmt::format("there is no ':' behind '{}'", entry.key->text));
}

void TreeBuilder::merge(Node& map) {
  std::unordered_map<std::string_view, const Node*> known;
  known.reserve(map.entries.size());
  std::vector<Entry> merges;
  std::vector<Entry> entries;
  entries.reserve(map.entries.size());
  for (Entry entry : map.entries) {
    if (entry.key->kind == Node::Kind::null) {
      if (entry.key->is_empty()) stop(entry.key->offset, 1, "a key is missing before this ':'");
      // A key called null is a name like any other.
      Node& name = arena_.make(*entry.key);
      name.kind = Node::Kind::scalar;
      entry.key = &name;
    }
    check_colon(entry);
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

std::optional<std::size_t> TreeBuilder::open_bracket() const {
  for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame) {
    if (frame->flow) return frame->node->offset;
  }
  return std::nullopt;
}

}  // namespace supv
