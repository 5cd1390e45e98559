#include "app/supvctl_installed.h"

#include <algorithm>

#include "app/places.h"
#include "base/text.h"
#include "config/load.h"
#include "plugin/ask.h"

namespace supv::ctl {

std::vector<InstalledPlugin> installed_plugins() {
  std::vector<InstalledPlugin> found;
  const FileAccess disk = disk_access();
  for (const std::string& directory : plugin_dirs()) {
    for (const std::string& path : disk.glob(escape_glob(directory) + "/*.so")) {
      const std::string name = plugin_name(path);
      const bool known = std::any_of(found.begin(), found.end(),
                                     [&](const InstalledPlugin& one) { return one.name == name; });
      if (!known) found.push_back({name, path, nullptr, {}});
    }
  }
  std::sort(found.begin(), found.end(),
            [](const InstalledPlugin& a, const InstalledPlugin& b) { return a.name < b.name; });
  return found;
}

void study(InstalledPlugin& plugin) {
  if (plugin.declaration || !plugin.error.empty()) return;
  const PluginFacts facts = ask_plugin(plugin.path, {}, Confinement{});
  plugin.error = facts.error;
  if (!facts.error.empty()) return;
  try {
    plugin.declaration = std::make_unique<const Declaration>(facts.declaration);
  } catch (const BadPlugin& bad) {
    plugin.error = bad.what();
  }
}

}  // namespace supv::ctl
