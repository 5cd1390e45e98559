#pragma once

#include <supv/condition.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/messages.h"
#include "host/channel.h"

namespace supv {

/// The conditions that may wait (SUPV_WAITS), on our side of the line to the host. The brain never
/// waits for them: what has not been answered in time is unknown, and so is everything that is
/// asked while the old call still hangs.
class HostLine {
 public:
  struct Surroundings {
    std::function<void()> need;  ///< A host is to be there from now on.
    std::function<Moment()> now;
    std::function<void(ev::Judged)> judged;  ///< May queue, must not call back.
    /// What a condition can ask for beside its options: "watch.log" and "watch.dir".
    std::function<std::vector<std::pair<std::string, std::string>>(const std::string& watch,
                                                                   const ProcessSpec& process)>
        places;
  };
  explicit HostLine(Surroundings surroundings);

  /// Conditions of this kind belong here.
  static bool takes(const supv_condition_descriptor* descriptor) {
    return descriptor != nullptr && (descriptor->flags & SUPV_WAITS) != 0;
  }

  /// Makes condition `index` of the spec for the run.
  void arm(RunId run, std::uint32_t index, const std::string& watch,
           std::shared_ptr<const WatchSpec> spec, const supv_condition_descriptor& descriptor);
  /// Ends all conditions of the run.
  void disarm(RunId run);
  /// Asks one, by an event of kind SUPV_TICK or SUPV_ENDED. False: it is none of ours. Otherwise
  /// exactly one ev::Judged comes of it, unless it is disarmed.
  bool ask(RunId run, std::uint32_t index, const supv_event& event);

  /// A host is there (again) and gets every condition; null: it is gone.
  void attach(HostChannel* channel);
  /// The channel can be read.
  void hear();

  /// When tick() has something to do.
  std::optional<Time> deadline() const;
  void tick(Time now);

 private:
  struct Armed {
    RunId run{};
    std::uint32_t index = 0;
    std::uint64_t id = 0;  ///< Its name at the host.
    std::string watch;
    std::shared_ptr<const WatchSpec> spec;
    const supv_condition_descriptor* descriptor = nullptr;
    Duration patience{};
    std::uint64_t serial = 0;      ///< Of the latest question.
    bool waiting = false;          ///< The host has not answered it.
    std::optional<Time> deadline;  ///< The core waits for it as well.
    std::int64_t asked_wall_ms = 0;
    std::optional<std::string> late;  ///< A change that was told too late; said next time.
    std::string refused;              ///< Why the host could not be told of it.
  };
  Armed* find(RunId run, std::uint32_t index);
  void tell(Armed& armed);
  void judge(Armed& armed, Verdict verdict, std::string reason, std::string metrics = {});
  void forget(Armed& armed);

  Surroundings surroundings_;
  HostChannel* channel_ = nullptr;
  bool seen_ = false;  ///< There has been a host.
  std::uint64_t ids_ = 0;
  std::unordered_map<std::uint64_t, Armed> armed_;              ///< By id.
  std::unordered_map<RunId, std::vector<std::uint64_t>> runs_;  ///< Their ids.
  std::set<std::pair<Time, std::uint64_t>> deadlines_;          ///< With the id.
};

}  // namespace supv
