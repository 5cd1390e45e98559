#include "app/load_input.h"

#include <unistd.h>

#include <string_view>

#include "app/node_facts.h"
#include "app/places.h"
#include "conditions/catalog.h"

namespace supv {

LoadInput load_input(const std::vector<std::string>& paths) {
  LoadInput input;
  for (const std::string& path : paths) input.paths.push_back(absolute_path(path));
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    input.environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  input.node = node_facts;
  input.watch_dirs = watch_dirs();
  input.catalog = builtin_conditions();
  return input;
}

}  // namespace supv
