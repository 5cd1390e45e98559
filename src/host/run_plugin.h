#pragma once

#include <supv/condition.h>

#include <string>
#include <vector>

#include "plugin/confine.h"

namespace supv {

struct PluginHostOptions {
  int channel_fd = -1;  ///< SEQPACKET; the brain's side is a HostChannel.
  std::string name;     ///< Of the condition.
  std::string path;     ///< Of the plugin; empty: it is in `catalog`.
  Confinement limits;
  std::vector<const supv_condition_descriptor*> catalog;
};

/// The life of the process of one plugin: confines itself, loads it, and calls its conditions until
/// the channel is closed. Never returns: what the plugin has registered for the end of the process
/// is not run.
[[noreturn]] void run_plugin_host(const PluginHostOptions& options);

}  // namespace supv
