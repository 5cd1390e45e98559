#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugin/confine.h"

namespace supv {

/// Options as a condition gets them, by name.
using PluginOptions = std::vector<std::pair<std::string, std::string>>;

/// What there is to know of a plugin before it is used.
struct PluginFacts {
  std::string error;        ///< Why it cannot be used; empty: it can.
  std::string declaration;  ///< Declaration::pack().
  /// For each set of options that was tried: why it is refused, or nothing.
  std::vector<std::string> refusals;
};

/// The longest that anybody waits for a plugin to say what it is.
inline constexpr std::chrono::milliseconds kPluginPatience{5000};
/// And for the process that asks it, which says so when that time is up.
inline constexpr std::chrono::milliseconds kDescriberPatience{7000};

/// Loads the plugin and tries the options, in this very process, which may not survive it.
/// Confines it first. Never throws.
PluginFacts study_plugin(const std::string& path, const std::vector<PluginOptions>& tried,
                         const Confinement& limits);

/// The command line of a process of this very program that does so: run_describe() in its main().
/// It reads pack(tried) from standard input and writes pack(facts) to standard output.
std::vector<std::string> describe_command(const std::string& path, const Confinement& limits);
/// `arguments` are those after "--role describe". Returns an exit code, or never.
int run_describe(const std::vector<std::string>& arguments);

/// Runs such a process and waits for it. Whatever the plugin does becomes `error`.
PluginFacts ask_plugin(const std::string& path, const std::vector<PluginOptions>& tried,
                       const Confinement& limits);

/// For the way between the two processes. What cannot be read is an error.
std::string pack(const PluginFacts& facts);
PluginFacts unpack_facts(std::string_view packed);
std::string pack(const std::vector<PluginOptions>& tried);
std::vector<PluginOptions> unpack_tried(std::string_view packed);

}  // namespace supv
