#pragma once

#include <map>
#include <string>
#include <utility>

#include "base/text.h"
#include "conditions/catalog.h"
#include "config/load.h"

/// Configurations that exist only in memory.
namespace supv::test {

using Texts = std::map<std::string, std::string>;

inline FileAccess access_to(const Texts& texts) {
  FileAccess files;
  files.read = [texts](const std::string& path, std::string& error) -> std::optional<std::string> {
    const auto found = texts.find(path);
    if (found != texts.end()) return found->second;
    error = "No such file or directory";
    return std::nullopt;
  };
  files.glob = [texts](const std::string& pattern) {
    std::vector<std::string> paths;
    for (const auto& [path, text] : texts) {
      if (glob_match(pattern, path)) paths.push_back(path);
    }
    return paths;
  };
  files.is_directory = [](const std::string& path) { return path.ends_with("/d"); };
  return files;
}

inline LoadInput input_of(const Texts& texts, std::string path = "/etc/a.yaml") {
  LoadInput input;
  input.paths = {std::move(path)};
  input.environment = {{"HOME", "/root"}, {"PORT", "3000"}};
  input.node = [](const std::string& interface) {
    return NodeFacts{"host1", interface.empty() ? "10.0.0.1" : "10.9.9.9", "aa:bb:cc:dd:ee:ff"};
  };
  input.watch_dirs = {"/share"};
  input.catalog = builtin_conditions();
  input.files = access_to(texts);
  return input;
}

/// Loads one file.
inline Loaded load_text(const std::string& text) { return load(input_of({{"/etc/a.yaml", text}})); }

/// Loads one watch called w with these keys, each line indented by four.
inline Loaded load_watch(const std::string& keys) {
  return load_text("watches:\n  w:\n    start: prog\n    " + keys + "\n");
}

/// "LINE:COL: TEXT" of each diagnostic.
inline std::string brief(const Loaded& loaded) {
  std::string out;
  for (const Diagnostic& one : loaded.diagnostics) {
    if (!out.empty()) out += '\n';
    out +=
        std::to_string(one.place.line) + ":" + std::to_string(one.place.column) + ": " + one.text;
  }
  return out;
}

}  // namespace supv::test
