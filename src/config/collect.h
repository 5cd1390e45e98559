#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.h"
#include "config/reader.h"
#include "config/scope.h"
#include "config/tree.h"

namespace supv {

struct Document;

/// One watch as one file writes it.
struct WatchEntry {
  const Node* key = nullptr;   ///< Its name.
  const Node* body = nullptr;  ///< A map.
  const Document* document = nullptr;
};

/// One watch file.
struct Document {
  Document(std::string path, std::string content) : source(std::move(path), std::move(content)) {}
  Source source;
  const Node* root = nullptr;  ///< A map, or nullptr: broken or empty.
  Scope scope;
  const Document* includer = nullptr;
  std::vector<WatchEntry> watches;
  std::vector<WatchEntry> tasks;
  std::map<std::string_view, const WatchEntry*> by_name;
  const Node* find(std::string_view key) const {
    return root == nullptr ? nullptr : root->find(key);
  }
};

/// Reads the files of a configuration: those that were given, what they include, and the ready-made
/// watches that they extend. Checks the keys at the top of each.
class Collection {
 public:
  Collection(const LoadInput& input, Arena& arena, Reader& reader)
      : input_(input), arena_(arena), reader_(reader) {}

  /// Reads everything that was given.
  void read();
  /// The watch `name` of NAME.watch.yaml in one of the given directories, or nullptr.
  const WatchEntry* ready_made(const std::string& name);

  /// What was given and included, in the order of reading.
  const std::vector<std::unique_ptr<Document>>& documents() const { return documents_; }
  /// Every file that was read, in order.
  const std::vector<std::string>& files() const { return files_; }

 private:
  std::string absolute(const std::string& path, const std::string& base) const;
  void read_path(const std::string& path);
  /// `reference` is what names the file in another one, or nullptr.
  void read_file(const std::string& path, const Node* reference, const Document* includer);
  std::unique_ptr<Document> open(const std::string& path, const Node* reference);
  void parse(Document& document);
  void read_scope(Document& document);
  void read_vars(Document& document, const Node& map);
  void read_vars_file(Document& document, const std::string& path, const Node& reference);
  void read_includes(const Document& document);
  bool circular(const std::string& path, const Node& reference);
  void list_watches(Document& document);
  std::vector<WatchEntry> list_entries(const Document& document, const char* key, const char* what);

  const LoadInput& input_;
  Arena& arena_;
  Reader& reader_;
  std::vector<std::unique_ptr<Document>> documents_;
  std::vector<std::unique_ptr<Document>> others_;  ///< Files of vars, ready-made watches.
  std::map<std::string, const Document*> ready_made_;
  std::vector<std::string> files_;
  std::vector<std::string> open_;  ///< The files that are including one another right now.
};

}  // namespace supv
