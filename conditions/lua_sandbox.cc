#include "lua_sandbox.h"

#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace supv::lua {
namespace {

constexpr std::int64_t kCpuTime = 1'000'000'000;
/// Instructions between two looks at the clock: one of them can be a call that takes milliseconds.
constexpr int kInstructions = 1000;

const char kThreadKey = 0;

std::int64_t cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

// --- the harmless part of the library ---

/// A finalizer runs where no hook can end it.
int set_metatable(lua_State* state) {
  luaL_checktype(state, 1, LUA_TTABLE);
  luaL_argexpected(state, lua_isnoneornil(state, 2) || lua_istable(state, 2), 2, "nil or table");
  lua_settop(state, 2);
  if (lua_istable(state, 2)) {
    lua_pushliteral(state, "__gc");
    if (lua_rawget(state, 2) != LUA_TNIL) return luaL_argerror(state, 2, "__gc is not allowed");
    lua_pop(state, 1);
  }
  if (luaL_getmetafield(state, 1, "__metatable") != LUA_TNIL) {
    return luaL_error(state, "cannot change a protected metatable");
  }
  lua_setmetatable(state, 1);
  return 1;
}

/// To stderr, whose reader is supvd's log.
int print(lua_State* state) {
  char line[512];
  std::size_t size = 0;
  const int count = lua_gettop(state);
  for (int i = 1; i <= count; ++i) {
    std::size_t length = 0;
    const char* text = luaL_tolstring(state, i, &length);
    if (i > 1 && size < sizeof line - 1) line[size++] = '\t';
    if (length > sizeof line - 1 - size) length = sizeof line - 1 - size;
    std::memcpy(line + size, text, length);
    size += length;
    lua_pop(state, 1);
  }
  line[size++] = '\n';
  std::fwrite(line, 1, size, stderr);
  return 0;
}

/// Calls a function that opens a part of the library and leaves its table on the stack. Nothing is
/// left in the registry, where `require` would look for it.
void open_table(lua_State* state, lua_CFunction open) {
  lua_pushcfunction(state, open);
  lua_call(state, 0, 1);
}

void open_part(lua_State* state, int globals, const char* name, lua_CFunction open) {
  open_table(state, open);
  lua_setfield(state, globals, name);
}

/// Makes a table of globals with what is listed here of luaopen_base, and leaves it on the stack.
void open_base(lua_State* state) {
  constexpr const char* kKept[] = {"assert", "error",  "getmetatable", "ipairs",   "next",
                                   "pairs",  "pcall",  "select",       "rawequal", "rawget",
                                   "rawlen", "rawset", "tonumber",     "tostring", "type"};
  open_table(state, luaopen_base);
  lua_newtable(state);
  for (const char* name : kKept) {
    lua_getfield(state, -2, name);
    lua_setfield(state, -2, name);
  }
  lua_remove(state, -2);
  lua_pushvalue(state, -1);
  lua_setfield(state, -2, "_G");
  lua_pushcfunction(state, set_metatable);
  lua_setfield(state, -2, "setmetatable");
  lua_pushcfunction(state, print);
  lua_setfield(state, -2, "print");
  lua_pushvalue(state, -1);
  lua_rawseti(state, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

// --- compiling ---

/// Hands a script to Lua byte by byte, so that one sees how far it was understood.
struct Text {
  const char* before;
  const char* next;
  std::size_t taken = 0;

  static const char* read(lua_State*, void* self, std::size_t* size) {
    auto* text = static_cast<Text*>(self);
    if (*text->before != '\0') {
      *size = std::strlen(text->before);
      return std::exchange(text->before, "");
    }
    *size = *text->next == '\0' ? 0 : 1;
    text->taken += *size;
    return *size == 0 ? nullptr : text->next++;
  }
};

/// "script:3: what" as "script, line 3: what", in one line.
std::string readable(std::string message) {
  constexpr std::string_view kChunk = "script:";
  if (message.rfind(kChunk, 0) == 0) message.replace(0, kChunk.size(), "script, line ");
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return message;
}

}  // namespace

Sandbox& Sandbox::of(lua_State* state) {
  return **static_cast<Sandbox**>(lua_getextraspace(state));
}

void* Sandbox::guest_of(lua_State* state) { return of(state).guest_; }

Sandbox::Sandbox(std::size_t memory, void* guest, lua_CFunction fill)
    : memory_{memory, 0}, guest_(guest), fill_(fill), state_(lua_newstate(allocate, &memory_)) {
  if (!state_) throw std::invalid_argument("memory: too little for any script");
  // Each coroutine gets a copy of it.
  *static_cast<Sandbox**>(lua_getextraspace(state_.get())) = this;
  lua_pushcfunction(state_.get(), open);
  if (lua_pcall(state_.get(), 0, 0, 0) != LUA_OK) {
    throw std::invalid_argument("memory: too little for any script");
  }
}

void* Sandbox::allocate(void* self, void* block, std::size_t old_size, std::size_t new_size) {
  auto& memory = *static_cast<Memory*>(self);
  // For a new block, old_size says what kind it is.
  const std::size_t before = block == nullptr ? 0 : old_size;
  if (new_size == 0) {
    std::free(block);
    memory.used -= before;
    return nullptr;
  }
  if (new_size > before && new_size - before > memory.most - memory.used) return nullptr;
  void* moved = std::realloc(block, new_size);
  if (moved != nullptr) memory.used = memory.used - before + new_size;
  return moved;
}

int Sandbox::open(lua_State* state) {
  open_base(state);
  const int globals = lua_gettop(state);
  open_part(state, globals, "string", luaopen_string);
  lua_getfield(state, globals, "string");
  lua_pushnil(state);
  lua_setfield(state, -2, "dump");
  open_part(state, globals, "table", luaopen_table);
  open_part(state, globals, "math", luaopen_math);
  open_part(state, globals, "utf8", luaopen_utf8);
  lua_newtable(state);
  open_table(state, luaopen_os);
  for (const char* name : {"time", "date", "clock"}) {
    lua_getfield(state, -1, name);
    lua_setfield(state, -3, name);
  }
  lua_pop(state, 1);
  lua_setfield(state, globals, "os");
  lua_pushcfunction(state, of(state).fill_);
  lua_pushvalue(state, globals);
  lua_call(state, 1, 0);
  return 0;
}

void Sandbox::compile(const std::string& script) {
  if (script.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw std::invalid_argument("script: it is empty");
  }
  lua_State* state = state_.get();
  lua_settop(state, 0);
  Text expression{"return ", script.c_str()};
  // Only text: compiled code could do anything.
  int status = lua_load(state, Text::read, &expression, "=script", "t");
  is_expression_ = status == LUA_OK;
  if (is_expression_) return;
  Text statements{"", script.c_str()};
  status = lua_load(state, Text::read, &statements, "=script", "t");
  if (status == LUA_OK) {
    lua_remove(state, 1);
    return;
  }
  // What it was meant to be is what was understood for longer.
  if (expression.taken > statements.taken) lua_settop(state, 1);
  keep_error(state, status);
  throw std::invalid_argument(error_);
}

/// The compiled script is what lies on the stack of the state.
int Sandbox::make_thread(lua_State* state) {
  lua_State* thread = lua_newthread(state);
  lua_pushvalue(state, -1);
  lua_rawsetp(state, LUA_REGISTRYINDEX, &kThreadKey);
  lua_pushvalue(state, 1);
  lua_xmove(state, thread, 1);
  lua_sethook(thread, look_at_clock, LUA_MASKCOUNT, kInstructions);
  of(state).thread_ = thread;
  return 0;
}

Sandbox::Step Sandbox::begin() {
  // The coroutine before is collected without running anything that it still had to close.
  thread_ = nullptr;
  used_ns_ = 0;
  expired_at_ = 0;
  lua_State* state = state_.get();
  lua_pushcfunction(state, make_thread);
  lua_pushvalue(state, 1);
  const int status = lua_pcall(state, 1, 0, 0);
  if (status == LUA_OK) return resume();
  keep_error(state, status);
  lua_settop(state, 1);
  return Step::failed;
}

Sandbox::Step Sandbox::go_on() { return resume(); }

Sandbox::Step Sandbox::resume() {
  const std::int64_t began = cpu_time();
  until_ns_ = began + kCpuTime - used_ns_;
  const int status = lua_resume(thread_, state_.get(), 0, &results_);
  used_ns_ += cpu_time() - began;
  if (expired_at_ > 0) {
    error_ = "script, line " + std::to_string(expired_at_) + ": the script runs too long";
  } else if (status == LUA_YIELD) {
    return Step::waits;
  } else if (status == LUA_OK) {
    return Step::done;
  } else {
    keep_error(thread_, status);
  }
  thread_ = nullptr;
  return Step::failed;
}

void Sandbox::look_at_clock(lua_State* state, lua_Debug* place) {
  Sandbox& sandbox = of(state);
  if (cpu_time() < sandbox.until_ns_) return;
  if (sandbox.expired_at_ == 0) {
    lua_getinfo(state, "l", place);
    sandbox.expired_at_ = place->currentline;
  }
  // It stops here and is never resumed: nothing can catch that, and nothing is unwound.
  if (lua_isyieldable(state) != 0) {
    lua_yield(state, 0);
    return;
  }
  // Called back by a function of the library it cannot stop, only fail; whoever catches this meets
  // it again at the next instruction.
  lua_sethook(state, look_at_clock, LUA_MASKCOUNT, 1);
  luaL_error(state, "the script runs too long");
}

/// What a failed call of Lua left on top of a stack; calls nothing that could fail in turn.
void Sandbox::keep_error(lua_State* state, int status) {
  is_full_ = status == LUA_ERRMEM;
  if (is_full_) {
    error_ = "the script needs more memory than it may have, " +
             std::to_string(memory_.most / 1024) + " KiB";
  } else if (lua_type(state, -1) == LUA_TSTRING) {
    error_ = readable(lua_tostring(state, -1));
  } else {
    error_ =
        std::string("script: it raised an error that is no text but a ") + luaL_typename(state, -1);
  }
}

}  // namespace supv::lua
