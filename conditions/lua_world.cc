#include "lua_world.h"

#include <cstddef>
#include <cstring>
#include <utility>

#include "lua_sandbox.h"

namespace supv::lua {
namespace {

constexpr std::int64_t kPatienceMs = 10'000;
constexpr std::size_t kMaxMetrics = 32;
constexpr lua_Integer kKiB = 1024;

supv_scope check_scope(lua_State* state, int argument) {
  static constexpr const char* kScopes[] = {"tree", "process", nullptr};
  return luaL_checkoption(state, argument, "tree", kScopes) == 0 ? SUPV_SCOPE_TREE
                                                                 : SUPV_SCOPE_PROCESS;
}

int push_count(lua_State* state, std::uint64_t count) {
  lua_pushinteger(state, static_cast<lua_Integer>(count));
  return 1;
}

// --- the processes; all of them nil when they are gone ---

int pid(lua_State* state) {
  World& world = World::of(state);
  const int pid = world.host().pid();
  if (pid > 0) return push_count(state, static_cast<std::uint64_t>(pid));
  world.miss("the process is gone");
  lua_pushnil(state);
  return 1;
}

template <typename Field>
int push_usage(lua_State* state, supv_scope scope, bool with_pss, Field field) {
  supv_usage usage{};
  if (World::of(state).usage(scope, with_pss, usage)) return push_count(state, field(usage));
  lua_pushnil(state);
  return 1;
}

int memory(lua_State* state) {
  return push_usage(state, check_scope(state, 1), false,
                    [](const supv_usage& usage) { return usage.rss_bytes; });
}

int pss(lua_State* state) {
  return push_usage(state, check_scope(state, 1), true,
                    [](const supv_usage& usage) { return usage.pss_bytes; });
}

int threads(lua_State* state) {
  return push_usage(state, check_scope(state, 1), false,
                    [](const supv_usage& usage) { return usage.threads; });
}

int processes(lua_State* state) {
  return push_usage(state, SUPV_SCOPE_TREE, false,
                    [](const supv_usage& usage) { return std::uint64_t{usage.processes}; });
}

int uptime(lua_State* state) {
  supv_usage usage{};
  if (World::of(state).usage(SUPV_SCOPE_PROCESS, false, usage)) {
    lua_pushnumber(state, static_cast<double>(usage.age_ns) / 1e9);
  } else {
    lua_pushnil(state);
  }
  return 1;
}

int cpu(lua_State* state) {
  const auto percent = World::of(state).cpu(check_scope(state, 1));
  if (percent) {
    lua_pushnumber(state, *percent);
  } else {
    lua_pushnil(state);
  }
  return 1;
}

int pids(lua_State* state) {
  World& world = World::of(state);
  const supv_scope scope = check_scope(state, 1);
  const std::vector<std::int32_t>* all = nullptr;
  if (!succeeds([&] { all = &world.pids(scope); })) return luaL_error(state, "out of memory");
  if (all->empty()) {
    world.miss("the process is gone");
    lua_pushnil(state);
    return 1;
  }
  lua_createtable(state, static_cast<int>(all->size()), 0);
  for (std::size_t i = 0; i < all->size(); ++i) {
    lua_pushinteger(state, (*all)[i]);
    lua_rawseti(state, -2, static_cast<lua_Integer>(i + 1));
  }
  return 1;
}

// --- time, which is that of the poll ---

int now(lua_State* state) {
  const std::int64_t wall_ns = World::of(state).wall_ns();
  lua_pushnumber(state, static_cast<double>(wall_ns / 1'000'000'000) +
                            static_cast<double>(wall_ns % 1'000'000'000) / 1e9);
  return 1;
}

/// os.time and os.date, which look at no clock of their own; what they stand for is their upvalue.
int time(lua_State* state) {
  if (lua_isnoneornil(state, 1)) {
    lua_pushinteger(state, World::of(state).wall_ns() / 1'000'000'000);
    return 1;
  }
  lua_pushvalue(state, lua_upvalueindex(1));
  lua_insert(state, 1);
  lua_call(state, lua_gettop(state) - 1, 1);
  return 1;
}

int date(lua_State* state) {
  lua_settop(state, 2);
  if (lua_isnil(state, 1)) {
    lua_pushliteral(state, "%c");
    lua_replace(state, 1);
  }
  if (lua_isnil(state, 2)) {
    lua_pushinteger(state, World::of(state).wall_ns() / 1'000'000'000);
    lua_replace(state, 2);
  } else {
    // now() has a fraction, which os.date would refuse.
    const double seconds = luaL_checknumber(state, 2);
    luaL_argcheck(state, seconds >= -1e12 && seconds <= 1e12, 2, "out of range");
    lua_pushinteger(state, static_cast<lua_Integer>(seconds));
    lua_replace(state, 2);
  }
  lua_pushvalue(state, lua_upvalueindex(1));
  lua_insert(state, 1);
  lua_call(state, 2, 1);
  return 1;
}

void replace(lua_State* state, const char* name, lua_CFunction function) {
  lua_getfield(state, -1, name);
  lua_pushcclosure(state, function, 1);
  lua_setfield(state, -2, name);
}

}  // namespace

World::World(const sdk::Host& host)
    : host_(host), watch_(host.watch_name()), dir_(host.text("watch.dir")) {}

World& World::of(lua_State* state) { return *static_cast<World*>(Sandbox::guest_of(state)); }

void World::begin(const supv_event& event) {
  now_ns_ = event.monotonic_ns;
  wall_ns_ = event.wall_ns;
  patience_ms_ = 0;
  missing_ = "";
  metrics_.clear();
  for (const supv_scope scope : {SUPV_SCOPE_TREE, SUPV_SCOPE_PROCESS}) {
    Cpu& cpu = cpu_[scope];
    cpu.percent.reset();
    // Also in a poll that does not ask for it: the next one means the time since this one.
    if (cpu.wanted) sample(scope);
  }
}

void World::await(std::int64_t timeout_ms) {
  patience_ms_ += timeout_ms > 0 ? timeout_ms : kPatienceMs;
}

bool World::usage(supv_scope scope, bool with_pss, supv_usage& usage) {
  const bool there = host_.usage(scope, with_pss, usage);
  if (!there) miss("the process is gone");
  return there;
}

void World::sample(supv_scope scope) {
  Cpu& cpu = cpu_[scope];
  supv_usage usage{};
  if (!host_.usage(scope, false, usage)) return;
  const CpuTime time{now_ns_, usage.cpu_ns};
  const std::optional<CpuTime> before = std::exchange(cpu.before, time);
  if (!before || time.at_ns <= before->at_ns) return;
  const auto used = time.used_ns > before->used_ns ? time.used_ns - before->used_ns : 0;
  cpu.percent = 100.0 * static_cast<double>(used) / static_cast<double>(time.at_ns - before->at_ns);
}

std::optional<double> World::cpu(supv_scope scope) {
  Cpu& cpu = cpu_[scope];
  const bool first = !std::exchange(cpu.wanted, true);
  // After a wait it is too late to say what had been used when the poll began.
  if (first && patience_ms_ == 0) sample(scope);
  if (!cpu.percent) {
    supv_usage usage{};
    miss(host_.usage(scope, false, usage) ? "cpu(): first sample" : "the process is gone");
  }
  return cpu.percent;
}

const std::vector<std::int32_t>& World::pids(supv_scope scope) {
  pids_ = host_.pids(scope);
  return pids_;
}

bool World::measure(const char* name, const char* value) {
  for (auto& [known, old] : metrics_) {
    if (known != name) continue;
    old = value;
    return true;
  }
  if (metrics_.size() >= kMaxMetrics) return false;
  metrics_.emplace_back(name, value);
  return true;
}

std::string World::metrics() const {
  std::string text;
  for (const auto& [name, value] : metrics_) {
    if (!text.empty()) text += ' ';
    text.append("'").append(name).append("'=").append(value);
  }
  return text;
}

const char* check_text(lua_State* state, int argument) {
  std::size_t size = 0;
  const char* text = luaL_checklstring(state, argument, &size);
  luaL_argcheck(state, std::strlen(text) == size, argument, "contains a zero byte");
  return text;
}

void add_processes(lua_State* state) {
  static constexpr luaL_Reg kFunctions[] = {
      {"pid", pid},         {"memory", memory}, {"pss", pss},
      {"threads", threads}, {"uptime", uptime}, {"processes", processes},
      {"cpu", cpu},         {"pids", pids},     {nullptr, nullptr}};
  luaL_setfuncs(state, kFunctions, 0);
}

int World::fill(lua_State* state) {
  add_processes(state);
  add_answers(state);
  add_requests(state);
  add_files(state);
  const World& world = of(state);
  lua_pushlstring(state, world.watch().data(), world.watch().size());
  lua_setfield(state, -2, "watch");
  lua_Integer size = 1;
  for (const char* unit : {"KB", "MB", "GB"}) {
    size *= kKiB;
    lua_pushinteger(state, size);
    lua_setfield(state, -2, unit);
  }
  lua_pushcfunction(state, now);
  lua_setfield(state, -2, "now");
  lua_getfield(state, -1, "os");
  replace(state, "time", time);
  replace(state, "date", date);
  lua_pop(state, 1);
  return 0;
}

}  // namespace supv::lua
