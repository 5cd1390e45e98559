#pragma once

#include <supv/condition.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "brain/environment.h"
#include "brain/judge.h"
#include "brain/reactor.h"
#include "core/messages.h"
#include "host/channel.h"
#include "keeper/channel.h"
#include "plugin/confine.h"

namespace supv {

/// Marks a run as a plugin's process, for the next brain.
inline constexpr std::string_view kPluginMemo = "role:plugin";

/// What a plugin's process is started with.
struct PluginStart {
  std::string name;
  std::string path;         ///< Empty: it is built in.
  std::string identity;     ///< Of the file: another one is another plugin.
  std::uint32_t flags = 0;  ///< supv_flag
  Confinement limits;
  bool same(const PluginStart& other) const {
    return path == other.path && identity == other.identity && flags == other.flags &&
           limits.user == other.limits.user && limits.memory == other.limits.memory;
  }
};

/// What the instance of a condition is to the process it lives in.
struct PluginInstance {
  std::string label;  ///< "WATCH: ID", for people.
  std::string watch;
  std::vector<std::pair<std::string, std::string>> options;
  const supv_host* lent = nullptr;  ///< Outlives the instance.
  Duration patience{};              ///< How long a call may take.
};

/// One plugin in its own process: starts it through the keeper, tells it what its conditions are
/// told, answers what they ask, and starts it again, later each time, when it dies or hangs. What
/// was pending then is unknown. The condition whose call did it is not asked again for a while, so
/// that the others of this plugin go on.
class PluginHost {
 public:
  struct Surroundings {
    Channel* keeper = nullptr;
    Reactor* reactor = nullptr;
    Environment environment;
    std::function<Moment()> now;
    std::function<void(std::string text)> warn;
    std::function<void(std::string text)> print;  ///< A line that the plugin wrote.
  };
  /// `slot` of the keeper's belongs to it alone.
  PluginHost(const Surroundings& surroundings, PluginStart start, std::uint32_t slot,
             std::uint64_t generation);

  std::unique_ptr<Judge> add(PluginInstance instance);
  /// Its file, or what it may do, is another from now on: it is started anew.
  void replace(PluginStart start);
  const PluginStart& plugin() const { return start_; }

  /// News about a run in its slot.
  void hear(const wire::News& news);
  /// When tick() has something to do.
  std::optional<Time> deadline() const;
  void tick(Time now);
  void before_wait();
  /// supvd ends.
  void finish();
  bool finished() const { return run_ == RunId::none; }

 private:
  class Remote;
  using Id = std::uint64_t;
  enum class State : std::uint8_t {
    absent,  ///< Nobody needs it.
    running,
    stopping,  ///< Told to end.
    waiting,   ///< For its next start.
  };
  struct Known {
    PluginInstance instance;
    bool made = false;  ///< The process that is there has been told of it.
    std::uint64_t serial = 0;
    bool pending = false;
  };
  /// A call whose return has not been heard of.
  struct Call {
    Id id = 0;
    std::uint64_t serial = 0;
  };
  struct Penalty {
    int count = 0;
    Time until{};
    std::string why;
  };

  Answer ask(Id id, const supv_event& event);
  void overdue(Id id);
  void remove(Id id);

  void start();
  void spawn();
  enum class Fault : std::uint8_t { no, yes };
  void kill(std::string why, Fault fault = Fault::yes);
  void ended(const std::string& how);
  void lost();
  void make(Id id, Known& known);
  void conclude(Known& known, const Answer& answer);
  void conclude_all(const std::string& why);
  void blame(Id id, const std::string& why);
  std::string blame_first(std::string why);
  const Penalty* penalty(const Known& known) const;
  bool is_queued(Id id, std::uint64_t serial) const;
  bool has_threads() const;
  std::optional<Time> call_limit() const;
  void hung(Id id);
  void returned(Id id, std::uint64_t serial);
  void called(Id id, std::uint64_t serial);

  void read();
  void hear(const host::Said& said);
  void hear(const host::Want& want);
  void hear(const host::Fetch& fetch);
  void hear(const host::Run& run);
  void hear(const host::Trouble& trouble);
  template <typename Other>
  void hear(const Other&) {}
  void refuse(Known& known, Id id, const std::string& why);
  host::Ask question(Id id, Known& known, const supv_event& event) const;

  void read_output();
  void print_lines();
  Time now() const { return surroundings_.now().time; }

  Surroundings surroundings_;
  PluginStart start_;
  const std::uint32_t slot_;
  std::uint64_t generation_;

  State state_ = State::absent;
  RunId run_ = RunId::none;
  bool finishing_ = false;
  Time started_{};
  bool useful_ = false;  ///< It has answered something since then.
  Time retry_at_{};
  std::chrono::milliseconds delay_{0};
  std::optional<Time> idle_since_;
  std::string failure_;  ///< Why it is not there, or is about to end.
  Fault fault_ = Fault::yes;

  Id ids_ = 0;
  std::map<Id, Known> known_;
  std::map<std::string, Penalty> penalties_;  ///< By label.
  std::deque<Call> calls_;                    ///< In the order in which they are made.
  Time head_since_{};                         ///< The first of them is under way since then.

  std::optional<Time> silent_until_;  ///< Its channel is closed; so long it may take to end.
  std::unique_ptr<HostChannel> channel_;
  bool writing_ = false;
  Watching channel_watching_;  // After the channel: ends before it is closed.
  Fd output_;
  std::string line_;    ///< What it wrote since the last line break.
  int lines_ = 0;       ///< Printed since ...
  Time lines_since_{};  ///< ... then.
  std::optional<Time> quiet_until_;
  Watching output_watching_;
};

}  // namespace supv
