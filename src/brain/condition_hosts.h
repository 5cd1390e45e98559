#pragma once

#include <supv/condition.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "brain/commands.h"
#include "brain/http_calls.h"
#include "brain/instant_files.h"
#include "brain/plugin_hosts.h"
#include "brain/usage.h"
#include "core/messages.h"
#include "plugin/options.h"

namespace supv {

class HostLine;

/// The options of a condition as it gets them, by name: what is written, else the fallback, both in
/// base units. What has neither is not among them.
std::vector<std::pair<std::string, std::string>> condition_options(
    const supv_condition_descriptor& descriptor, const ConditionSpec& spec);

/// How long a condition's answer may take: its `timeout`, or 10 s.
Duration patience_of(const ConditionSpec& spec);

/// What a condition's answer says; a pending one says nothing yet and is unknown.
Verdict verdict_of(supv_outcome outcome);

/// The living conditions of all runs, made from their descriptors. They are code of our own that
/// must not wait: each answers at once, or asks for something (a command, a request over HTTP) and
/// answers when that has come. Whatever goes wrong in one is its verdict *unknown*.
class ConditionHosts {
 public:
  struct Surroundings {
    std::vector<const supv_condition_descriptor*> catalog;  ///< Outlives the hosts.
    Usage* usage = nullptr;
    Commands* commands = nullptr;    ///< Null: none can be run.
    HttpCalls* http = nullptr;       ///< Null: nothing can be asked.
    PluginHosts* plugins = nullptr;  ///< Null: there are none.
    HostLine* waiting = nullptr;  ///< Takes the conditions that may wait; null: they are made here.
    std::function<int(RunId run)> pid_of;             ///< The tracked process, 0: none.
    std::function<std::string(RunId run)> cgroup_of;  ///< Of the run's tree; empty: none.
    /// HostLine::Surroundings::places, for plugins.
    std::function<std::vector<std::pair<std::string, std::string>>(const std::string& watch,
                                                                   const ProcessSpec& process)>
        places;
    std::function<Moment()> now;
    std::function<void(ev::Judged)> judged;      ///< A verdict; may queue, must not call back.
    std::function<void(std::string_view)> slow;  ///< A call took more than 50 ms; in words.
  };
  explicit ConditionHosts(Surroundings surroundings);
  ~ConditionHosts();
  ConditionHosts(const ConditionHosts&) = delete;
  ConditionHosts& operator=(const ConditionHosts&) = delete;

  /// Makes the polled and exit conditions that are named, under the number `arm.run`; for a number
  /// in use it only says whose process they ask about from now on. One that cannot be made is told
  /// as unknown each time it is asked.
  void arm(const fx::Arm& arm);
  /// Their commands are killed, their answers dropped.
  void disarm(const fx::Disarm& disarm);
  /// Answers with exactly one ev::Judged, at once or later; while an answer is awaited a further
  /// question changes nothing. A number that is not armed answers nothing: its conditions are gone.
  void poll(const fx::Poll& poll);
  void tell_end(const fx::TellEnd& end);
  /// Numbers with conditions.
  std::size_t armed() const { return armed_.size(); }

  /// When tick() has something to do: an answer that has not come is unknown by then.
  std::optional<Time> deadline() const;
  void tick(Time now);

 private:
  class Living;
  struct Armed {
    RunId subject = RunId::none;
    std::vector<std::unique_ptr<Living>> conditions;  // By index in the spec; null: not ours.
  };

  Living* find(RunId run, std::uint32_t condition);
  const supv_condition_descriptor* descriptor_of(std::string_view name) const;
  void tell(RunId run, std::uint32_t condition, supv_event event);
  void ask(Living& living, const supv_event& event);
  void stamp(supv_event& event) const;

  Surroundings surroundings_;
  InstantFiles files_;
  std::set<std::pair<Time, Living*>> awaited_;  // Who is to have an answer, and by when.
  std::unordered_map<RunId, Armed> armed_;
};

}  // namespace supv
