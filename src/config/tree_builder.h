#pragma once

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/mark.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "config/tree.h"

namespace supv {

/// Thrown through the parser after something was reported that makes going on pointless.
struct StopReading {};
/// Thrown where a second document begins.
struct SecondDocument {
  std::size_t offset;
};

/// Makes nodes from the events of the YAML parser, and refuses what that parser lets pass.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const Source& source, Arena& arena, Report& report)
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
    const Node* key = nullptr;      ///< Of a map: the key that waits for its value.
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
    throw StopReading{};
  }
  void count(std::size_t nodes, std::size_t expansions, std::size_t offset);
  /// What begins at `offset` ends what came before it.
  void follow(std::size_t offset);
  void refuse_tag(std::size_t offset, const std::string& tag, bool scalar);
  Node& make(Node::Kind kind, std::size_t offset);
  void attach(const Node& node);
  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YAML::EmitterStyle::value style);
  void close();
  void merge(Node& map);
  void check_colon(const Entry& entry);
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

}  // namespace supv
