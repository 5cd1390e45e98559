#include <cmath>
#include <cstdio>
#include <cstring>

#include "lua_world.h"

namespace supv::lua {
namespace {

/// The address is what a metatable of ours is known by.
const char kVerdictKey = 0;

/// A verdict is a value of its own, neither true nor false, so that `a and fire("x") or ok("y")`
/// gives what it says.
int push_verdict(lua_State* state, supv_outcome outcome) {
  const char* reason = luaL_optstring(state, 1, "");
  *static_cast<supv_outcome*>(lua_newuserdatauv(state, sizeof outcome, 1)) = outcome;
  lua_pushstring(state, reason);
  lua_setiuservalue(state, -2, 1);
  lua_rawgetp(state, LUA_REGISTRYINDEX, &kVerdictKey);
  lua_setmetatable(state, -2);
  return 1;
}

int fire(lua_State* state) { return push_verdict(state, SUPV_FIRE); }
int ok(lua_State* state) { return push_verdict(state, SUPV_OK); }
int unknown(lua_State* state) { return push_verdict(state, SUPV_UNKNOWN); }

/// A name as monitoring plugins may have it, without quotes to escape.
bool is_label(const char* name) {
  constexpr std::size_t kMaxLabel = 64;
  const std::size_t size = std::strlen(name);
  if (size == 0 || size > kMaxLabel) return false;
  for (std::size_t i = 0; i < size; ++i) {
    if (static_cast<unsigned char>(name[i]) < ' ' || std::strchr("='|", name[i]) != nullptr) {
      return false;
    }
  }
  return true;
}

bool is_unit(const char* unit) {
  constexpr std::size_t kMaxUnit = 8;
  const std::size_t size = std::strlen(unit);
  constexpr const char* kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ%/";
  return size <= kMaxUnit && std::strspn(unit, kLetters) == size;
}

/// metric(name, value [, unit])
int metric(lua_State* state) {
  const char* name = check_text(state, 1);
  luaL_argcheck(state, is_label(name), 1, "1 to 64 characters are needed, without = ' and |");
  luaL_checkany(state, 2);
  const char* unit = luaL_optstring(state, 3, "");
  luaL_argcheck(state, is_unit(unit), 3, "at most 8 letters or % are a unit");
  // What could not be measured has no value: metric("rss", memory()) of a process that is gone.
  if (lua_isnil(state, 2)) return 0;
  const double value = luaL_checknumber(state, 2);
  luaL_argcheck(state, std::isfinite(value), 2, "not a finite number");
  char text[64];
  if (lua_isinteger(state, 2)) {
    std::snprintf(text, sizeof text, "%lld%s", lua_tointeger(state, 2), unit);
  } else {
    std::snprintf(text, sizeof text, "%.14g%s", value, unit);
  }
  bool kept = false;
  if (!succeeds([&] { kept = World::of(state).measure(name, text); }) || !kept) {
    return luaL_error(state, "too many metrics");
  }
  return 0;
}

}  // namespace

std::optional<sdk::Verdict> verdict_at(lua_State* state, int index) {
  index = lua_absindex(state, index);
  if (lua_type(state, index) != LUA_TUSERDATA || lua_checkstack(state, 2) == 0) return {};
  if (lua_getmetatable(state, index) == 0) return {};
  lua_rawgetp(state, LUA_REGISTRYINDEX, &kVerdictKey);
  const bool ours = lua_rawequal(state, -1, -2) != 0;
  lua_pop(state, 2);
  if (!ours) return {};
  sdk::Verdict verdict;
  verdict.outcome = *static_cast<const supv_outcome*>(lua_touserdata(state, index));
  if (lua_getiuservalue(state, index, 1) == LUA_TSTRING) verdict.reason = lua_tostring(state, -1);
  lua_pop(state, 1);
  return verdict;
}

void add_answers(lua_State* state) {
  static constexpr luaL_Reg kFunctions[] = {
      {"fire", fire}, {"ok", ok}, {"unknown", unknown}, {"metric", metric}, {nullptr, nullptr}};
  luaL_setfuncs(state, kFunctions, 0);
  lua_newtable(state);
  lua_pushliteral(state, "verdict");
  lua_setfield(state, -2, "__name");
  lua_pushboolean(state, 0);  // Out of reach of getmetatable.
  lua_setfield(state, -2, "__metatable");
  lua_rawsetp(state, LUA_REGISTRYINDEX, &kVerdictKey);
}

}  // namespace supv::lua
