#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "brain/plugin_host.h"
#include "core/run_ids.h"
#include "core/spec.h"

namespace supv {

/// The processes of all plugins, and of built-in conditions that live like plugins (SUPV_HOSTED).
class PluginHosts {
 public:
  /// Slots of the keeper's that are theirs: so many plugins can be in use.
  static constexpr std::uint32_t kFirstSlot = RunIds::kFirstPlugin;
  static constexpr std::uint32_t kSlotEnd = RunIds::kFirst;

  struct Surroundings {
    Channel* keeper = nullptr;
    Reactor* reactor = nullptr;
    Environment environment;
    std::vector<const supv_condition_descriptor*> catalog;
    std::function<Moment()> now;
    std::function<void(std::string text)> warn;
    std::function<void(std::string text)> print;  ///< What a plugin wrote.
  };
  explicit PluginHosts(Surroundings surroundings);

  /// The plugins of the configuration in force. One whose file is another than before is started
  /// anew.
  void set(const PluginsSpec& plugins);
  /// Conditions of this name belong here.
  bool takes(const std::string& name) const { return known_.contains(name); }
  /// An instance of a condition that belongs here; null with `error` set when it cannot be.
  std::unique_ptr<Judge> make(const std::string& name, PluginInstance instance, std::string& error);

  /// A slot of the keeper's at the start of a brain. False: it is no plugin's.
  bool adopt(const wire::Slot& slot);
  /// News of the keeper. False: not about a plugin.
  bool hear(const wire::News& news);
  std::optional<Time> deadline() const;
  void tick(Time now);
  /// Call it before Reactor::wait.
  void before_wait();
  /// supvd ends: all are killed.
  void finish();
  bool finished() const;

 private:
  PluginHost* open(const PluginStart& start, std::string& error);
  void forget(wire::Run run);

  Surroundings surroundings_;
  std::map<std::string, PluginStart> known_;                    ///< By name of the condition.
  std::map<std::uint32_t, std::unique_ptr<PluginHost>> hosts_;  ///< By slot.
  std::uint64_t generation_ = 0;
  /// Slots in use by others: the run of an earlier brain's plugin that is being ended, or 0 for
  /// something that is no plugin.
  std::map<std::uint32_t, wire::Run> taken_;
};

}  // namespace supv
