#include "config/load.h"

namespace supv {

FileAccess disk_access() { return {}; }

Loaded load(const LoadInput& input) {
  Loaded loaded;
  loaded.config.clusters[""];
  for (const std::string& path : input.paths) {
    loaded.diagnostics.push_back(
        {Diagnostic::Severity::error, {path, 1, 1, 1, "", 0}, "cannot be read yet", "", {}, ""});
  }
  return loaded;
}

std::string json_schema(const Catalog&) { return "{}"; }

}  // namespace supv
