#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "conditions/catalog.h"
#include "config/load.h"

/// Any bytes as a watch file: no crash, no error without a place, no file from outside. Stricter
/// than it looks, because the sanitizers watch.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  supv::LoadInput input;
  input.paths = {"/f.yaml"};
  input.environment = {{"HOME", "/root"}};
  input.node = [](const std::string&) { return supv::NodeFacts{"h", "10.0.0.1", "aa:bb"}; };
  input.watch_dirs = {"/share"};
  input.catalog = supv::builtin_conditions();
  input.files.read = [&text](const std::string& path, std::string& error) {
    // The same text again as whatever it includes or extends.
    error = "No such file or directory";
    return path.size() < 40 ? std::optional<std::string>(text) : std::nullopt;
  };
  input.files.glob = [](const std::string&) { return std::vector<std::string>{"/g.yaml"}; };
  input.files.is_directory = [](const std::string&) { return false; };
  const supv::Loaded loaded = supv::load(input);
  if (loaded.ok != supv::without_errors(loaded.diagnostics)) std::abort();
  for (const supv::Diagnostic& one : loaded.diagnostics) {
    if (one.place.line < 1 || one.place.column < 1 || one.text.empty()) std::abort();
  }
  if (supv::render(loaded.diagnostics, true).find('\0') != std::string::npos) std::abort();
  return 0;
}
