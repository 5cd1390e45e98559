#include "config/collect.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/text.h"

namespace supv {
namespace {

constexpr std::size_t kMaxFiles = 4'096;
constexpr std::size_t kMaxIncludeDepth = 64;

bool has_wildcard(std::string_view path) {
  return path.find_first_of("*?[") != std::string_view::npos;
}

void report_file(Reader& reader, const Node* reference, const std::string& path,
                 const std::string& why) {
  if (reference != nullptr) {
    reader.error(*reference, fmt::format("cannot read '{}': {}", path, why));
    return;
  }
  Place place;
  place.file = path;
  reader.report().error(place, fmt::format("cannot read this file: {}", why));
}

}  // namespace

std::string Collection::absolute(const std::string& path, const std::string& base) const {
  namespace fs = std::filesystem;
  const fs::path whole =
      path.starts_with('/') || base.empty() ? fs::path(path) : fs::path(base) / path;
  return whole.lexically_normal().string();
}

void Collection::read() {
  for (const std::string& path : input_.paths) read_path(absolute(path, input_.base_dir));
}

void Collection::read_path(const std::string& path) {
  if (!input_.files.is_directory || !input_.files.is_directory(path)) {
    read_file(path, nullptr, nullptr);
    return;
  }
  // The folder's own name may contain what a glob takes for a pattern.
  const auto found = input_.files.glob(escape_glob(path) + "/*.watch.yaml");
  if (found.empty()) {
    Place place;
    place.file = path;
    reader_.report().warning(place, "no *.watch.yaml in this directory");
  }
  for (const std::string& file : found) read_file(absolute(file, ""), nullptr, nullptr);
}

bool Collection::circular(const std::string& path, const Node& reference) {
  const auto begin = std::find(open_.begin(), open_.end(), path);
  if (begin == open_.end()) return false;
  std::vector<std::string> round(begin, open_.end());
  round.push_back(path);
  reader_.error(reference, fmt::format("files include one another: {}", fmt::join(round, " → ")));
  return true;
}

void Collection::read_file(const std::string& path, const Node* reference,
                           const Document* includer) {
  if (reader_.report().full()) return;
  if (reference != nullptr && circular(path, *reference)) return;
  if (std::find(files_.begin(), files_.end(), path) != files_.end()) {
    if (reference != nullptr) {
      reader_.warning(*reference, fmt::format("'{}' has been read before", path),
                      "defaults and vars of this file do not apply to it");
    }
    return;
  }
  if (files_.size() >= kMaxFiles || open_.size() >= kMaxIncludeDepth) {
    report_file(reader_, reference, path, "too many files");
    return;
  }
  auto document = open(path, reference);
  if (document == nullptr) return;
  Document& read = *documents_.emplace_back(std::move(document));
  read.includer = includer;
  if (includer != nullptr) read.scope.outer = &includer->scope;
  reader_.expander().add(&read.source, &read.scope);
  parse(read);
  if (read.root == nullptr) return;
  open_.push_back(path);
  read_scope(read);
  list_watches(read);
  read_includes(read);
  open_.pop_back();
}

std::unique_ptr<Document> Collection::open(const std::string& path, const Node* reference) {
  std::string why = "no such file";
  auto content = input_.files.read ? input_.files.read(path, why) : std::nullopt;
  if (!content) {
    report_file(reader_, reference, path, why);
    return nullptr;
  }
  files_.push_back(path);
  return std::make_unique<Document>(path, std::move(*content));
}

void Collection::parse(Document& document) {
  if (!check_text(document.source, reader_.report())) return;
  const Node* root = parse_tree(document.source, arena_, reader_.report());
  if (root == nullptr) return;
  if (root->kind == Node::Kind::null) {
    Place place;
    place.file = document.source.path;
    reader_.report().warning(place, "this file says nothing");
  } else if (!root->is_map()) {
    reader_.error(*root, fmt::format("a watch file is a map, not {}", kind_name(root->kind)),
                  "begin with 'watches:'");
  } else {
    document.root = root;
  }
}

void Collection::read_scope(Document& document) {
  const Fields fields(reader_, *document.root, top_level());
  reader_.expander().enter(&document.scope, "");
  const Node* node = fields.find("node");
  if (node != nullptr && reader_.require(*node, Node::Kind::map, "a map")) {
    const Fields overrides(reader_, *node, node_level());
    const auto take = [&](std::string_view key, std::optional<std::string>& out) {
      std::string value;
      if (const Node* written = overrides.find(key)) reader_.text(*written, value);
      if (!value.empty()) out = std::move(value);
    };
    take("interface", document.scope.interface);
    take("ip", document.scope.ip);
    take("mac", document.scope.mac);
    take("hostname", document.scope.hostname);
  }
  if (const Node* files = fields.find("vars_file")) {
    std::vector<std::string> paths;
    reader_.texts(*files, paths);
    for (const std::string& path : paths) {
      read_vars_file(document, absolute(path, document.source.dir), *files);
    }
  }
  if (const Node* vars = fields.find("vars")) read_vars(document, *vars);
}

void Collection::read_vars(Document& document, const Node& map) {
  std::vector<std::pair<std::string, std::string>> vars;
  if (!reader_.require(map, Node::Kind::map, "a map of names to texts")) return;
  // One at a time, so that a variable may use those above it.
  for (const Entry& entry : map.entries) {
    const std::string& name = entry.key->text;
    if (entry.value->kind == Node::Kind::null) {
      document.scope.vars[name] = entry.value->text;
    } else if (auto value = reader_.text(*entry.value)) {
      document.scope.vars[name] = std::move(*value);
    }
  }
}

void Collection::read_vars_file(Document& document, const std::string& path,
                                const Node& reference) {
  if (files_.size() >= kMaxFiles) return;
  auto opened = open(path, &reference);
  if (opened == nullptr) return;
  Document& file = *others_.emplace_back(std::move(opened));
  if (!check_text(file.source, reader_.report())) return;
  const Node* root = parse_tree(file.source, arena_, reader_.report());
  if (root == nullptr || root->kind == Node::Kind::null) return;
  reader_.expander().add(&file.source, &document.scope);
  read_vars(document, *root);
}

void Collection::read_includes(const Document& document) {
  const Node* node = document.find("include");
  if (node == nullptr || node->kind == Node::Kind::null) return;
  reader_.expander().enter(&document.scope, "");
  std::vector<const Node*> items = {node};
  if (node->is_list()) items = node->items;
  for (const Node* item : items) {
    std::string written;
    reader_.text(*item, written);
    if (written.empty()) continue;
    const std::string path = absolute(written, document.source.dir);
    if (!has_wildcard(path)) {
      read_file(path, item, &document);
      continue;
    }
    auto found = input_.files.glob ? input_.files.glob(path) : std::vector<std::string>();
    for (const std::string& file : found) {
      const std::string normal = absolute(file, "");
      // A pattern like *.watch.yaml matches the file it stands in.
      if (normal != document.source.path) read_file(normal, item, &document);
    }
    reader_.expander().enter(&document.scope, "");
  }
}

void Collection::list_watches(Document& document) {
  document.watches = list_entries(document, "watches", "watch");
  for (const WatchEntry& watch : document.watches) document.by_name[watch.key->text] = &watch;
  document.tasks = list_entries(document, "tasks", "task");
}

std::vector<WatchEntry> Collection::list_entries(const Document& document, const char* key,
                                                 const char* what) {
  std::vector<WatchEntry> all;
  const Node* map = document.find(key);
  if (map == nullptr || map->kind == Node::Kind::null) return all;
  if (!reader_.require(*map, Node::Kind::map, fmt::format("a map of names to {}", key))) return all;
  all.reserve(map->entries.size());
  for (const Entry& entry : map->entries) {
    if (reader_.report().full()) return all;
    if (!valid_name(entry.key->text)) {
      reader_.error(*entry.key,
                    fmt::format("'{}' cannot be the name of a {}", entry.key->text, what),
                    "1 to 64 of A-Z a-z 0-9 _ . -, not starting with . or -");
      continue;
    }
    if (entry.value->kind == Node::Kind::null) {
      reader_.error(*entry.key, fmt::format("{} '{}' says nothing", what, entry.key->text),
                    fmt::format("it needs at least '{}'",
                                std::string_view(what) == "task" ? "run' and 'if" : "start"));
      continue;
    }
    if (!reader_.require(*entry.value, Node::Kind::map,
                         fmt::format("a map of the {}'s keys", what)))
      continue;
    all.push_back({entry.key, entry.value, &document});
  }
  return all;
}

const WatchEntry* Collection::ready_made(const std::string& name) {
  auto known = ready_made_.find(name);
  if (known == ready_made_.end()) {
    const Document* found = nullptr;
    for (const std::string& dir : input_.watch_dirs) {
      const std::string path = absolute(name + ".watch.yaml", absolute(dir, input_.base_dir));
      std::string why;
      auto content = input_.files.read ? input_.files.read(path, why) : std::nullopt;
      if (!content) continue;
      files_.push_back(path);
      Document& document =
          *others_.emplace_back(std::make_unique<Document>(path, std::move(*content)));
      reader_.expander().add(&document.source, &document.scope);
      parse(document);
      if (document.root != nullptr) read_scope(document);
      if (document.root != nullptr) list_watches(document);
      found = &document;
      break;
    }
    known = ready_made_.emplace(name, found).first;
  }
  if (known->second == nullptr) return nullptr;
  const auto entry = known->second->by_name.find(name);
  return entry == known->second->by_name.end() ? nullptr : entry->second;
}

}  // namespace supv
