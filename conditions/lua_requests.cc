#include <cmath>
#include <cstring>

#include "lua_world.h"

namespace supv::lua {
namespace {

constexpr double kMaxSeconds = 86'400;
constexpr int kMaxHeaders = 64;
constexpr lua_Integer kMaxRedirects = 20;

/// What was asked for comes when the script goes on; not within a function of the library, such as
/// string.gsub, that calls back.
void check_can_wait(lua_State* state, const char* name) {
  if (lua_isyieldable(state) != 0) return;
  luaL_error(state,
             "%s() must wait, which a function called by string.gsub, table.sort or the like "
             "cannot",
             name);
}

std::int64_t check_timeout(lua_State* state, int index, const char* name) {
  if (lua_isnoneornil(state, index)) return 0;
  int is_number = 0;
  const double seconds = lua_tonumberx(state, index, &is_number);
  if (is_number == 0 || !(seconds > 0) || seconds > kMaxSeconds) {
    luaL_error(state, "%s: timeout is not a number of seconds above 0", name);
  }
  return static_cast<std::int64_t>(std::ceil(seconds * 1000));
}

/// A field of the table at 2, which stays on the stack; nullptr: there is none.
const char* text_field(lua_State* state, const char* name) {
  lua_pushstring(state, name);
  const int type = lua_rawget(state, 2);
  if (type == LUA_TNIL) return nullptr;
  std::size_t size = 0;
  const char* text = type == LUA_TSTRING ? lua_tolstring(state, -1, &size) : nullptr;
  if (text == nullptr || std::strlen(text) != size) {
    luaL_error(state, "http: %s is not a text, or has a zero byte", name);
  }
  return text;
}

bool flag_field(lua_State* state, const char* name) {
  lua_pushstring(state, name);
  const int type = lua_rawget(state, 2);
  if (type != LUA_TNIL && type != LUA_TBOOLEAN) {
    luaL_error(state, "http: %s is neither true nor false", name);
  }
  const bool set = lua_toboolean(state, -1) != 0;
  lua_pop(state, 1);
  return set;
}

void check_names(lua_State* state) {
  static constexpr const char* kNames[] = {
      "method",  "headers",     "body",       "timeout",         "unix_socket", "insecure",
      "ca_file", "client_cert", "client_key", "tls_server_name", "redirects",   nullptr};
  lua_pushnil(state);
  while (lua_next(state, 2) != 0) {
    lua_pop(state, 1);
    bool known = false;
    if (lua_type(state, -1) == LUA_TSTRING) {
      const char* name = lua_tostring(state, -1);
      for (const char* const* one = kNames; *one != nullptr; ++one) {
        known = known || std::strcmp(*one, name) == 0;
      }
      if (!known) luaL_error(state, "http: there is no option '%s'", name);
    }
    if (!known) luaL_error(state, "http: its options have names, such as {timeout = 5}");
  }
}

const char* check_method(lua_State* state) {
  const char* method = text_field(state, "method");
  if (method == nullptr) return "GET";
  for (const char* known : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    if (std::strcmp(known, method) == 0) return method;
  }
  luaL_error(state, "http: method is none of GET HEAD POST PUT PATCH DELETE OPTIONS");
  return nullptr;
}

/// The header whose name and value lie on top of the stack.
const char* push_header(lua_State* state) {
  const bool named = lua_type(state, -2) == LUA_TSTRING;
  const int type = lua_type(state, -1);
  if (type != LUA_TSTRING && !(named && type == LUA_TNUMBER)) {
    luaL_error(state, "http: the value of a header is not a text");
  }
  lua_pushvalue(state, -1);
  std::size_t size = 0;
  const char* value = lua_tolstring(state, -1, &size);
  const char* header = named ? lua_pushfstring(state, "%s: %s", lua_tostring(state, -3), value)
                             : lua_pushstring(state, value);
  const char* colon = std::strchr(header, ':');
  if (std::strlen(value) != size || colon == nullptr || colon == header ||
      std::strpbrk(header, "\r\n") != nullptr) {
    luaL_error(state, "http: headers: not \"Name: value\" in one line: '%s'", header);
  }
  return header;
}

/// The option `headers`, as lines; the text stays on the stack.
const char* check_headers(lua_State* state) {
  lua_pushliteral(state, "headers");
  const int type = lua_rawget(state, 2);
  if (type == LUA_TNIL) return nullptr;
  if (type != LUA_TTABLE) {
    luaL_error(state, "http: headers is not a table such as {Accept = \"text/plain\"}");
  }
  const int table = lua_gettop(state);
  lua_pushliteral(state, "");
  const int lines = lua_gettop(state);
  int count = 0;
  lua_pushnil(state);
  while (lua_next(state, table) != 0) {
    if (++count > kMaxHeaders) luaL_error(state, "http: headers: more than %d", kMaxHeaders);
    const char* header = push_header(state);
    lua_pushfstring(state, "%s%s%s", lua_tostring(state, lines), count > 1 ? "\n" : "", header);
    lua_replace(state, lines);
    lua_settop(state, lines + 1);
  }
  return lua_tostring(state, lines);
}

int check_redirects(lua_State* state) {
  lua_pushliteral(state, "redirects");
  if (lua_rawget(state, 2) == LUA_TNIL) return 0;
  int is_integer = 0;
  const lua_Integer count = lua_tointegerx(state, -1, &is_integer);
  if (is_integer == 0 || count < 0 || count > kMaxRedirects) {
    luaL_error(state, "http: redirects is not a number from 0 to 20");
  }
  return static_cast<int>(count);
}

/// The texts are those of the table, or lie on the stack.
void read_options(lua_State* state, supv_http_request& request) {
  luaL_checktype(state, 2, LUA_TTABLE);
  luaL_checkstack(state, LUA_MINSTACK, nullptr);
  check_names(state);
  request.method = check_method(state);
  request.headers = check_headers(state);
  request.body = text_field(state, "body");
  request.unix_socket = text_field(state, "unix_socket");
  request.ca_file = text_field(state, "ca_file");
  request.client_cert = text_field(state, "client_cert");
  request.client_key = text_field(state, "client_key");
  request.tls_server_name = text_field(state, "tls_server_name");
  request.insecure = flag_field(state, "insecure") ? 1 : 0;
  request.redirects = check_redirects(state);
  lua_pushliteral(state, "timeout");
  lua_rawget(state, 2);
  request.timeout_ms = check_timeout(state, lua_gettop(state), "http");
}

int failed(lua_State* state, const char* why) {
  lua_pushnil(state);
  lua_pushstring(state, why);
  return 2;
}

int http_answered(lua_State* state, int, lua_KContext) {
  const supv_reply& reply = World::of(state).reply();
  if (reply.error != nullptr) return failed(state, reply.error);
  lua_pushinteger(state, reply.status);
  lua_pushlstring(state, reply.text_size > 0 ? reply.text : "", reply.text_size);
  return 2;
}

/// http(url [, options]): the status code and the body, or nil and why there is no answer.
int http(lua_State* state) {
  supv_http_request request{};
  request.method = "GET";
  request.url = check_text(state, 1);
  luaL_argcheck(
      state,
      std::strncmp(request.url, "http://", 7) == 0 || std::strncmp(request.url, "https://", 8) == 0,
      1, "neither http:// nor https://");
  lua_settop(state, 2);
  if (!lua_isnil(state, 2)) read_options(state, request);
  check_can_wait(state, "http");
  World& world = World::of(state);
  if (!world.host().http(request)) return luaL_error(state, "http: the request cannot be sent");
  world.await(request.timeout_ms);
  return lua_yieldk(state, 0, 0, http_answered);
}

int run_answered(lua_State* state, int, lua_KContext) {
  const supv_reply& reply = World::of(state).reply();
  if (reply.error != nullptr) return failed(state, reply.error);
  if (reply.status >= 0) {
    lua_pushinteger(state, reply.status);
  } else {
    const char* name = reply.signal > 0 ? ::sigabbrev_np(reply.signal) : nullptr;
    lua_pushnil(state);
    if (reply.signal <= 0) {
      lua_pushliteral(state, "ended, status unknown");
    } else if (name != nullptr) {
      lua_pushfstring(state, "killed by %s", name);
    } else {
      lua_pushfstring(state, "killed by %d", reply.signal);
    }
  }
  lua_pushlstring(state, reply.text_size > 0 ? reply.text : "", reply.text_size);
  return reply.status >= 0 ? 2 : 3;
}

/// run(command [, timeout]): the exit code and what was written, or nil and why there is no code.
int run(lua_State* state) {
  const char* command = check_text(state, 1);
  luaL_argcheck(state, command[std::strspn(command, " \t\r\n")] != '\0', 1, "it is empty");
  const std::int64_t timeout_ms = check_timeout(state, 2, "run");
  check_can_wait(state, "run");
  World& world = World::of(state);
  bool accepted = false;
  if (!succeeds([&] { accepted = world.host().run(command, timeout_ms); }) || !accepted) {
    return luaL_error(state, "run: no command can be run");
  }
  world.await(timeout_ms);
  return lua_yieldk(state, 0, 0, run_answered);
}

}  // namespace

void add_requests(lua_State* state) {
  static constexpr luaL_Reg kFunctions[] = {{"http", http}, {"run", run}, {nullptr, nullptr}};
  luaL_setfuncs(state, kFunctions, 0);
}

}  // namespace supv::lua
