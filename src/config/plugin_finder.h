#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.h"
#include "core/spec.h"
#include "plugin/library.h"

namespace supv {

/// Finds the plugins that a configuration names. A condition NAME that is not built in is the file
/// NAME.so; only what is named is looked at.
class PluginFinder {
 public:
  explicit PluginFinder(const LoadInput& input) : input_(input) {}

  /// Every `plugins` has been read: they are looked through first.
  void set(const PluginsSpec& plugins) { plugins_ = &plugins; }

  struct Found {
    const supv_condition_descriptor* descriptor = nullptr;  ///< Lives as long as the finder.
    std::string path;                                       ///< Empty: there is no such file.
    std::string error;  ///< The file is there, but cannot be used.
  };
  const Found& find(const std::string& name);
  /// Why the plugin does not take these options; empty: it does.
  std::string refusal(const Found& found, const FileAccess::Options& options);

  /// Names of the plugins that could be found, for suggestions.
  std::vector<std::string> names() const;
  /// Those that were found and can be used.
  std::vector<PluginSpec> used() const;
  /// Loaded::incomplete.
  bool incomplete() const { return incomplete_; }

 private:
  std::string path_of(const std::string& name) const;
  std::vector<std::string> directories() const;

  const LoadInput& input_;
  const PluginsSpec* plugins_ = nullptr;
  std::map<std::string, Found> found_;
  std::deque<Declaration> declarations_;
  std::map<std::string, std::map<FileAccess::Options, std::string>> refusals_;  ///< By path.
  bool incomplete_ = false;
};

}  // namespace supv
