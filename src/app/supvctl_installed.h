#pragma once

#include <memory>
#include <string>
#include <vector>

#include "plugin/library.h"

namespace supv::ctl {

/// A plugin in one of the usual directories.
struct InstalledPlugin {
  std::string name;
  std::string path;
  std::unique_ptr<const Declaration> declaration;  ///< Null: it cannot be used.
  std::string error;                               ///< Why.
};

/// Files NAME.so of plugin_dirs(), by name; of two with one name the one that counts.
std::vector<InstalledPlugin> installed_plugins();
/// Asks it what it declares, unless that has been done.
void study(InstalledPlugin& plugin);

}  // namespace supv::ctl
