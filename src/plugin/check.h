#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "plugin/ask.h"

namespace supv {

/// One thing that was found out about a plugin.
struct Finding {
  enum class Level : std::uint8_t { ok, warning, wrong };
  Level level = Level::ok;
  std::string stage;  ///< "file", "load", ..., "instances": one word.
  std::string text;   ///< One sentence without a full stop, safe to print.
};

struct PluginCheck {
  std::string path;
  PluginOptions options;                      ///< As they are written in a watch file.
  std::chrono::milliseconds patience{10000};  ///< For each call, and for each stage of many calls.
};

struct PluginVerdict {
  std::vector<Finding> findings;  ///< In the order of the stages.
  std::string declaration;        ///< Declaration::pack(); empty: it did not come so far.
  bool good() const;              ///< Nothing is wrong; there may be warnings.
};

/// Tries everything that supvd would do to a plugin, and some things that it would not: with a
/// clock, a process and answers that are invented. The plugin lives in a child that is confined as
/// in supvd, so whatever it does becomes a finding. The calling process has one thread; it becomes
/// the reaper of what the plugin leaves behind, and kills it. Throws std::system_error when there
/// can be no child.
PluginVerdict check_plugin(const PluginCheck& check);

}  // namespace supv
