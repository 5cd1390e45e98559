#pragma once

#include <array>
#include <cstdint>
#include <lua.hpp>
#include <optional>
#include <string>
#include <supv/condition.hpp>
#include <utility>
#include <vector>

namespace supv::lua {

/// What a script can see and ask for beside Lua's own library: the watch and its processes, time,
/// HTTP, commands, files, and the words that it answers with.
class World {
 public:
  explicit World(const sdk::Host& host);
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// For Sandbox, whose guest the World is.
  static int fill(lua_State* state);
  static World& of(lua_State* state);

  /// A poll begins: this is its time, and nothing has been measured.
  void begin(const supv_event& event);
  /// The script goes on with what came of its request; the reply lives until it has.
  void answer(const supv_reply& reply) { reply_ = &reply; }
  const supv_reply& reply() const { return *reply_; }
  /// A request was made that is given up after so long; 0: after 10s, as long as the watch file
  /// says nothing else.
  void await(std::int64_t timeout_ms);
  /// When whoever asked has given up all requests of this poll, on the clock of events.
  std::int64_t given_up_ns() const { return now_ns_ + patience_ms_ * 1'000'000; }

  const sdk::Host& host() const { return host_; }
  const std::string& watch() const { return watch_; }
  /// What relative paths are relative to; empty when nobody says.
  const std::string& dir() const { return dir_; }
  std::int64_t wall_ns() const { return wall_ns_; }
  bool usage(supv_scope scope, bool with_pss, supv_usage& usage);
  /// Percent of one core since the poll before.
  std::optional<double> cpu(supv_scope scope);
  const std::vector<std::int32_t>& pids(supv_scope scope);

  /// Notes why something that the script asked for in this poll is nil; a literal.
  void miss(const char* why) { missing_ = why; }
  const char* missing() const { return missing_; }

  /// False when there are too many already.
  bool measure(const char* name, const char* value);
  /// As supv_verdict says.
  std::string metrics() const;

 private:
  struct CpuTime {
    std::int64_t at_ns;
    std::uint64_t used_ns;
  };
  struct Cpu {
    bool wanted = false;
    std::optional<CpuTime> before;
    std::optional<double> percent;
  };

  void sample(supv_scope scope);

  sdk::Host host_;
  std::string watch_;
  std::string dir_;
  std::int64_t now_ns_ = 0;
  std::int64_t wall_ns_ = 0;
  std::int64_t patience_ms_ = 0;
  const supv_reply* reply_ = nullptr;
  const char* missing_ = "";
  std::array<Cpu, 2> cpu_;  ///< Of each scope.
  std::vector<std::pair<std::string, std::string>> metrics_;
  std::vector<std::int32_t> pids_;
};

/// The verdict that the value at `index` is, if fire(), ok() or unknown() made it.
std::optional<sdk::Verdict> verdict_at(lua_State* state, int index);

// Each adds functions to the table of globals, which is on top of the stack.
void add_processes(lua_State* state);
void add_answers(lua_State* state);
void add_requests(lua_State* state);
void add_files(lua_State* state);

/// Raises an error of Lua unless an argument is a text without zero bytes.
const char* check_text(lua_State* state, int argument);

/// Runs C++ that may throw, between two calls of Lua, of which it makes none. False: it threw.
template <typename Action>
bool succeeds(Action action) noexcept {
  try {
    action();
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace supv::lua
