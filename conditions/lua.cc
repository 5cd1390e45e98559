#include <algorithm>
#include <supv/condition.hpp>

#include "lua_sandbox.h"
#include "lua_world.h"

namespace {

using supv::lua::Sandbox;
using supv::sdk::Verdict;

constexpr supv_option kOptions[] = {
    {"script", SUPV_TEXT, nullptr,
     "An expression, or statements that return: true or false, and a reason if there is more to "
     "say.",
     1, nullptr},
    {"memory", SUPV_SIZE, "16MB",
     "The script's own values can occupy this much; one that needs more is unknown.", 0, nullptr},
};

constexpr std::size_t kMemory = std::size_t{16} * 1024 * 1024;
constexpr double kLeastMemory = 128.0 * 1024;
constexpr double kMostMemory = 1024.0 * 1024 * 1024;
constexpr std::size_t kMaxScript = std::size_t{32} * 1024;
constexpr std::size_t kMaxReason = 300;
constexpr std::size_t kMaxExpression = 80;

/// In one line, without the white space of a script's layout, and at most so long.
std::string shortened(const std::string& text, std::size_t most) {
  std::string line;
  for (const char c : text) {
    const bool blank = static_cast<unsigned char>(c) <= ' ';
    if (blank && (line.empty() || line.back() == ' ')) continue;
    line += blank ? ' ' : c;
  }
  if (!line.empty() && line.back() == ' ') line.pop_back();
  if (line.size() <= most) return line;
  std::size_t end = most;
  // Not in the middle of a character of UTF-8.
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;
  return line.substr(0, end) + "...";
}

std::size_t memory_of(const supv::sdk::Host& host) {
  if (!host.has("memory")) return kMemory;
  const double bytes = host.number("memory");
  if (bytes < kLeastMemory || bytes > kMostMemory) {
    throw std::invalid_argument("memory: not from 128KB to 1GB: '" + host.text("memory") + "'");
  }
  return static_cast<std::size_t>(bytes);
}

class Lua : public supv::sdk::Condition {
 public:
  explicit Lua(const supv::sdk::Host& host) : world_(host) { make_sandbox(); }

  Verdict poll(const supv_event& event) override {
    // Whoever polls again has given up the answer, or polls too soon; the script begins anew only
    // when it can be no longer under way.
    if (waits_ && event.monotonic_ns < world_.given_up_ns()) return supv::sdk::pending();
    if (sandbox_->is_full()) make_sandbox();
    world_.begin(event);
    return verdict(sandbox_->begin());
  }

  Verdict answered(const supv_reply& reply) override {
    if (!waits_) return supv::sdk::unknown("an answer that the script does not wait for");
    world_.answer(reply);
    return verdict(sandbox_->go_on());
  }

 private:
  void make_sandbox() {
    const std::string script = world_.host().text("script");
    if (script.size() > kMaxScript) throw std::invalid_argument("script: longer than 32 KiB");
    sandbox_ = std::make_unique<Sandbox>(memory_of(world_.host()), &world_, supv::lua::World::fill);
    sandbox_->compile(script);
    if (sandbox_->is_expression()) expression_ = shortened(script, kMaxExpression);
  }

  Verdict verdict(Sandbox::Step step) {
    waits_ = step == Sandbox::Step::waits;
    if (waits_) return supv::sdk::pending();
    Verdict said = step == Sandbox::Step::done ? returned() : unknown(sandbox_->error());
    said.reason = shortened(said.reason, kMaxReason);
    said.metrics = world_.metrics();
    return said;
  }

  /// What the script says by its first two results.
  Verdict returned() const {
    lua_State* thread = sandbox_->thread();
    if (sandbox_->results() == 0) return unknown("the script returned nothing");
    const int first = lua_gettop(thread) - sandbox_->results() + 1;
    if (auto made = supv::lua::verdict_at(thread, first)) {
      if (made->reason.empty()) made->reason = default_reason(made->outcome);
      return std::move(*made);
    }
    const int type = lua_type(thread, first);
    if (type != LUA_TBOOLEAN && type != LUA_TNIL) {
      return unknown(std::string("the script returned a ") + lua_typename(thread, type) +
                     ", neither true nor false");
    }
    const supv_outcome outcome = type == LUA_TNIL                    ? SUPV_UNKNOWN
                                 : lua_toboolean(thread, first) != 0 ? SUPV_FIRE
                                                                     : SUPV_OK;
    const int reason = sandbox_->results() > 1 ? lua_type(thread, first + 1) : LUA_TNIL;
    if (reason == LUA_TSTRING) return {outcome, lua_tostring(thread, first + 1)};
    if (reason != LUA_TNIL) {
      return unknown(std::string("the script's second result, its reason, is a ") +
                     lua_typename(thread, reason));
    }
    if (outcome == SUPV_UNKNOWN) return unknown("the script returned nothing");
    return {outcome, default_reason(outcome)};
  }

  std::string default_reason(supv_outcome outcome) const {
    if (outcome == SUPV_UNKNOWN) return "the script says so";
    const char* value = outcome == SUPV_FIRE ? "true" : "false";
    if (expression_.empty()) return std::string("the script returned ") + value;
    return outcome == SUPV_FIRE ? expression_ : expression_ + " is false";
  }

  /// Where nil came from is more to the point than what the script did with it.
  Verdict unknown(std::string why) const {
    const std::string missing = world_.missing();
    return supv::sdk::unknown(missing.empty() ? std::move(why) : missing + " (" + why + ")");
  }

  supv::lua::World world_;
  std::unique_ptr<Sandbox> sandbox_;
  std::string expression_;  ///< Empty when the script is statements.
  bool waits_ = false;
};

}  // namespace

SUPV_CONDITION_THAT(Lua, "lua",
                    "True when a script in Lua returns true. It is compiled when the file is "
                    "checked, and run at each poll; an error in it is unknown.",
                    SUPV_POLL, kOptions, SUPV_HOSTED);
