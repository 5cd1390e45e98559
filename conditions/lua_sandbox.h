#pragma once

#include <cstddef>
#include <cstdint>
#include <lua.hpp>
#include <memory>
#include <string>

namespace supv::lua {

/// One script in a state of Lua of its own: text in, results out, and nothing else within reach but
/// the harmless part of Lua's library and what `fill` adds. Bounded in memory and CPU time, except
/// for one call of the library that does not end (a search with a hostile pattern): that takes
/// ending the process, which is why a script never runs in one that matters.
///
/// Lua is the C library, whose errors are longjmps: a function that Lua calls keeps no object with
/// a destructor while it calls Lua, and lets no exception out.
class Sandbox {
 public:
  enum class Step { done, waits, failed };

  /// At most `memory` bytes. `fill` is called once, with the table of globals as its argument.
  /// `guest` is what `fill` and its functions get from guest_of(). Throws std::invalid_argument
  /// when that is too little memory to begin with.
  Sandbox(std::size_t memory, void* guest, lua_CFunction fill);
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  static void* guest_of(lua_State* state);

  /// Compiles an expression, or else statements, and runs nothing. Throws std::invalid_argument
  /// with what is wrong and the line.
  void compile(const std::string& script);
  bool is_expression() const { return is_expression_; }

  /// Runs the script from its beginning, in a coroutine; globals stay. What ran before is dropped.
  Step begin();
  /// Goes on after a function has yielded.
  Step go_on();
  /// After Step::done: the results, the last results() values on its stack. Only functions of Lua
  /// that cannot fail may be used on it.
  lua_State* thread() const { return thread_; }
  int results() const { return results_; }
  /// After Step::failed: why, in one line.
  const std::string& error() const { return error_; }
  /// After Step::failed: there was too little memory. What fills it may be its globals, so that it
  /// may never run again; another Sandbox can.
  bool is_full() const { return is_full_; }

 private:
  struct Memory {
    std::size_t most;
    std::size_t used;
  };
  struct Close {
    void operator()(lua_State* state) const { lua_close(state); }
  };

  static Sandbox& of(lua_State* state);
  static void* allocate(void* memory, void* block, std::size_t old_size, std::size_t new_size);
  static int open(lua_State* state);
  static int make_thread(lua_State* state);
  static void look_at_clock(lua_State* state, lua_Debug* place);
  Step resume();
  void keep_error(lua_State* state, int status);

  Memory memory_;
  void* guest_;
  lua_CFunction fill_;
  std::unique_ptr<lua_State, Close> state_;
  lua_State* thread_ = nullptr;  ///< Belongs to state_.
  int results_ = 0;
  bool is_expression_ = false;
  std::int64_t used_ns_ = 0;  ///< CPU time since begin(), up to the last wait.
  std::int64_t until_ns_ = 0;
  int expired_at_ = 0;  ///< The line at which the time was up.
  bool is_full_ = false;
  std::string error_;
};

}  // namespace supv::lua
