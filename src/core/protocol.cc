#include "core/protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace supv::protocol {
namespace {

using Json = nlohmann::ordered_json;

enum Param : std::uint32_t {
  kSelect = 1,
  kAll = 2,
  kFiles = 4,
  kActionId = 8,
  kSignal = 16,
  kUntil = 32,
  kHoldMs = 64,
  kReason = 128,
  kForce = 256,
  kNoRestart = 512,
  kMissing = 1024,
  kCount = 2048,
  kFollow = 4096,
  kKvAction = 8192,
  kKey = 16384,
  kValue = 32768,
  kContact = 65536,
  kCondition = 131072,
};

struct Method {
  std::string_view name;
  Kind kind;
  Request::Verb verb;  // Only for Kind::core.
  std::uint32_t params;
  bool reads;        // Allowed to readers.
  bool needs_watch;  // A call that names nothing is a usage error.
};

constexpr std::uint32_t kTarget = kSelect | kAll | kFiles;
constexpr std::uint32_t kDeed = kTarget | kActionId | kReason | kForce;

using Verb = Request::Verb;
constexpr std::array kMethods = {
    Method{"status", Kind::core, Verb::status, kTarget, true, false},
    Method{"show", Kind::core, Verb::show, kTarget, true, false},
    Method{"why", Kind::core, Verb::why, kTarget, true, false},
    Method{"wait", Kind::core, Verb::wait, kTarget | kUntil, true, true},
    Method{"plan", Kind::core, Verb::plan, kFiles | kMissing | kNoRestart, true, false},
    Method{"probe", Kind::core, Verb::probe, kTarget | kCondition, false, true},
    Method{"start", Kind::core, Verb::start, kDeed, false, true},
    Method{"stop", Kind::core, Verb::stop, kDeed, false, true},
    Method{"restart", Kind::core, Verb::restart, kDeed, false, true},
    Method{"reload", Kind::core, Verb::reload, kDeed, false, true},
    Method{"signal", Kind::core, Verb::signal, kDeed | kSignal, false, true},
    Method{"monitor", Kind::core, Verb::monitor, kDeed, false, true},
    Method{"unmonitor", Kind::core, Verb::unmonitor, kDeed, false, true},
    Method{"hold", Kind::core, Verb::hold, kDeed | kHoldMs, false, true},
    Method{"release", Kind::core, Verb::release, kDeed, false, true},
    Method{"remove", Kind::core, Verb::remove, kDeed, false, true},
    Method{"load", Kind::core, Verb::load,
           kFiles | kActionId | kReason | kForce | kMissing | kNoRestart, false, false},
    Method{"quit", Kind::core, Verb::quit, kActionId | kReason | kForce, false, false},
    Method{"terminate", Kind::core, Verb::terminate, kActionId | kReason | kForce, false, false},
    Method{"version", Kind::version, Verb::status, 0, true, false},
    Method{"history", Kind::history, Verb::status, kTarget | kCount, true, false},
    Method{"events", Kind::events, Verb::status, kTarget | kCount | kFollow, true, false},
    Method{"kv", Kind::kv, Verb::status, kKvAction | kKey | kValue, false, false},
    Method{"contact_test", Kind::contact, Verb::status, kContact, false, false},
    Method{"logs", Kind::logs, Verb::status, kTarget, true, false},
};

constexpr std::array<std::pair<std::string_view, Param>, 18> kParams = {{
    {"select", kSelect},
    {"all", kAll},
    {"files", kFiles},
    {"action_id", kActionId},
    {"signal", kSignal},
    {"for", kUntil},
    {"hold_ms", kHoldMs},
    {"reason", kReason},
    {"force", kForce},
    {"no_restart", kNoRestart},
    {"missing", kMissing},
    {"n", kCount},
    {"follow", kFollow},
    {"action", kKvAction},
    {"key", kKey},
    {"value", kValue},
    {"contact", kContact},
    {"condition", kCondition},
}};

constexpr std::size_t kMaxActionId = 128;

const Method& method_of(const Call& call) {
  const auto found = std::find_if(kMethods.begin(), kMethods.end(), [&](const Method& method) {
    return method.kind == call.kind &&
           (call.kind != Kind::core || method.verb == call.request.verb);
  });
  // Verb::events never gets here as a core call; it has a Kind of its own.
  return found == kMethods.end() ? kMethods.front() : *found;
}

/// What is wrong with a parameter; empty: nothing.
using Complaint = std::string;

Complaint read_flag(const Json& value, bool& flag) {
  if (!value.is_boolean()) return "must be true or false";
  flag = value.get<bool>();
  return {};
}

Complaint read_text(const Json& value, std::string& text) {
  if (!value.is_string()) return "must be a text";
  text = value.get<std::string>();
  return {};
}

Complaint read_texts(const Json& value, std::vector<std::string>& texts) {
  if (!value.is_array()) return "must be a list of texts";
  for (const Json& element : value) {
    if (!element.is_string()) return "must be a list of texts";
    texts.push_back(element.get<std::string>());
    if (texts.back().empty()) return "must not contain an empty text";
    if (texts.back().find('\0') != std::string::npos) return "must not contain NUL";
  }
  return {};
}

Complaint read_number(const Json& value, std::uint64_t most, std::uint64_t& number) {
  const Complaint complaint = fmt::format("must be a whole number from 0 to {}", most);
  if (!value.is_number_unsigned()) return complaint;
  number = value.get<std::uint64_t>();
  return number > most ? complaint : Complaint();
}

Complaint read_word(const Json& value, const std::vector<std::string_view>& words,
                    std::string& word) {
  if (value.is_string()) {
    word = value.get<std::string>();
    if (std::find(words.begin(), words.end(), word) != words.end()) return {};
  }
  return fmt::format("must be one of {}", fmt::join(words, ", "));
}

Complaint read_signal(const Json& value, int& signal) {
  const std::string text = value.is_number_unsigned() ? std::to_string(value.get<std::uint64_t>())
                           : value.is_string()        ? value.get<std::string>()
                                                      : std::string();
  const std::optional<int> parsed = parse_signal(text);
  if (!parsed) return "must be the name or number of a signal";
  signal = *parsed;
  return {};
}

Complaint read_files(const Json& value, std::vector<std::string>& files) {
  if (Complaint complaint = read_texts(value, files); !complaint.empty()) return complaint;
  // supvd's working directory is not the caller's.
  const bool absolute = std::all_of(files.begin(), files.end(),
                                    [](const std::string& file) { return file[0] == '/'; });
  return absolute ? Complaint() : "must be absolute paths";
}

Complaint read_hold(const Json& value, Duration& hold) {
  constexpr std::uint64_t kCentury = 100ULL * 366 * 86400 * 1000;
  std::uint64_t milliseconds = 0;
  Complaint complaint = read_number(value, kCentury, milliseconds);
  hold = Duration(static_cast<Duration::rep>(milliseconds));
  return complaint;
}

Complaint read_action_id(const Json& value, std::string& id) {
  if (Complaint complaint = read_text(value, id); !complaint.empty()) return complaint;
  if (id.empty() || id.size() > kMaxActionId) {
    return fmt::format("must have 1 to {} characters", kMaxActionId);
  }
  return {};
}

Complaint read_param(Param param, const Json& value, Call& call) {
  Request& request = call.request;
  switch (param) {
    case kSelect:
      return read_texts(value, request.select);
    case kAll:
      return read_flag(value, request.all);
    case kFiles:
      return read_files(value, request.files);
    case kActionId:
      return read_action_id(value, request.action_id);
    case kSignal:
      return read_signal(value, request.signal);
    case kUntil:
      return read_word(value, {"up", "ready", "stopped", "gone", "launched", "settled"},
                       request.until);
    case kHoldMs:
      return read_hold(value, request.hold_for);
    case kReason:
      return read_text(value, request.reason);
    case kCondition:
      return read_text(value, request.condition);
    case kForce:
      return read_flag(value, request.force);
    case kNoRestart:
      return read_flag(value, request.no_restart);
    case kMissing:
      return read_word(value, {"stop", "unmonitor", "keep"}, request.missing);
    case kCount:
      return read_number(value, 1'000'000, call.count);
    case kFollow:
      return read_flag(value, call.follow);
    case kKvAction:
      return read_word(value, {"get", "put", "delete"}, call.kv_action);
    case kKey:
    case kContact:
      return read_text(value, call.key);
    case kValue:
      return read_text(value, call.value);
  }
  return "is not known";
}

std::string unknown_param(const Method& method, std::string_view name) {
  std::vector<std::string_view> allowed;
  for (const auto& [known, param] : kParams) {
    if ((method.params & param) != 0) allowed.push_back(known);
  }
  const std::string_view near = nearest_word(name, allowed);
  return fmt::format("{}: unknown parameter '{}'{}", method.name, printable(name),
                     near.empty() ? "" : fmt::format(", did you mean '{}'?", near));
}

/// What is missing or does not go together.
Complaint check_whole(const Method& method, const Call& call) {
  const Request& request = call.request;
  if (method.needs_watch && !request.all && request.select.empty() && request.files.empty()) {
    return fmt::format("{}: name a watch, or say all", method.name);
  }
  if ((method.params & kSignal) != 0 && request.signal == 0) return "signal: is missing";
  if (method.kind == Kind::contact && call.key.empty()) return "contact: is missing";
  if (method.kind != Kind::kv) return {};
  if (call.kv_action.empty()) return "action: is missing";
  if (call.key.empty()) return "key: is missing";
  return {};
}

Complaint read_params(const Method& method, const Json& params, Call& call) {
  for (const auto& [name, value] : params.items()) {
    const std::string_view wanted = name;  // C++20 of clang 14 captures no structured binding.
    const auto found = std::find_if(kParams.begin(), kParams.end(),
                                    [wanted](const auto& param) { return param.first == wanted; });
    if (found == kParams.end() || (method.params & found->second) == 0) {
      return unknown_param(method, name);
    }
    const Complaint complaint = read_param(found->second, value, call);
    if (!complaint.empty()) return fmt::format("{}: {}", name, complaint);
  }
  return check_whole(method, call);
}

Refusal unknown_method(std::string id, std::string_view name) {
  std::vector<std::string_view> names;
  for (const Method& method : kMethods) names.push_back(method.name);
  const std::string_view near = nearest_word(name, names);
  return {std::move(id), kUnknownMethod,
          fmt::format("unknown method '{}'{}", printable(name),
                      near.empty() ? "" : fmt::format(", did you mean '{}'?", near))};
}

/// Empty if the message is no JSON-RPC request: then `why` says so.
const char* malformed(const Json& message) {
  if (!message.is_object()) return "a call is one JSON object (batches are not supported)";
  const auto version = message.find("jsonrpc");
  if (version == message.end() || *version != "2.0") return "jsonrpc: must be \"2.0\"";
  const auto id = message.find("id");
  if (id == message.end()) return "id: is missing (every call gets a reply)";
  if (!id->is_string() && !id->is_number()) return "id: must be a text or a number";
  const auto method = message.find("method");
  if (method == message.end() || !method->is_string()) return "method: must be a text";
  const auto params = message.find("params");
  if (params != message.end() && !params->is_object()) return "params: must be an object";
  for (const auto& [key, value] : message.items()) {
    if (key != "jsonrpc" && key != "id" && key != "method" && key != "params") {
      return "a call has jsonrpc, id, method and params, nothing else";
    }
  }
  return nullptr;
}

std::string id_text(const Json& message) {
  if (!message.is_object()) return "null";
  const auto id = message.find("id");
  if (id == message.end() || !(id->is_string() || id->is_number())) return "null";
  return id->dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json params_of(const Method& method, const Call& call) {
  const Request& request = call.request;
  Json params = Json::object();
  const auto put = [&](Param param, const char* name, bool wanted, auto&& value) {
    if (wanted && (method.params & param) != 0) params[name] = value;
  };
  put(kSelect, "select", !request.select.empty(), request.select);
  put(kAll, "all", request.all, true);
  put(kFiles, "files", !request.files.empty(), request.files);
  put(kActionId, "action_id", !request.action_id.empty(), request.action_id);
  put(kSignal, "signal", request.signal != 0, request.signal);
  put(kUntil, "for", !request.until.empty(), request.until);
  put(kHoldMs, "hold_ms", request.hold_for.count() != 0, request.hold_for.count());
  put(kCondition, "condition", !request.condition.empty(), request.condition);
  put(kReason, "reason", !request.reason.empty(), request.reason);
  put(kForce, "force", request.force, true);
  put(kNoRestart, "no_restart", request.no_restart, true);
  put(kMissing, "missing", !request.missing.empty(), request.missing);
  put(kCount, "n", call.count != 0, call.count);
  put(kFollow, "follow", call.follow, true);
  put(kKvAction, "action", true, call.kv_action);
  put(kKey, "key", true, call.key);
  put(kContact, "contact", true, call.key);
  put(kValue, "value", call.kv_action == "put", call.value);
  return params;
}

}  // namespace

std::variant<Call, Refusal> parse_call(std::string_view line) {
  if (line.size() > kMaxLine) {
    return Refusal{"null", kInvalidRequest, fmt::format("longer than {} bytes", kMaxLine)};
  }
  const Json message = Json::parse(line, nullptr, false);
  if (message.is_discarded()) return Refusal{"null", kParseError, "not JSON"};
  std::string id = id_text(message);
  if (const char* why = malformed(message)) return Refusal{std::move(id), kInvalidRequest, why};
  const auto& name = message["method"].get_ref<const std::string&>();
  const auto method = std::find_if(kMethods.begin(), kMethods.end(),
                                   [&](const Method& known) { return known.name == name; });
  if (method == kMethods.end()) return unknown_method(std::move(id), name);
  Call call;
  call.id = std::move(id);
  call.kind = method->kind;
  call.request.verb = method->verb;
  if (const auto params = message.find("params"); params != message.end()) {
    const Complaint complaint = read_params(*method, *params, call);
    if (!complaint.empty()) return Refusal{std::move(call.id), kInvalidParams, complaint};
  } else if (const Complaint complaint = check_whole(*method, call); !complaint.empty()) {
    return Refusal{std::move(call.id), kInvalidParams, complaint};
  }
  return call;
}

std::string call_line(const Call& call) {
  const Method& method = method_of(call);
  Json message = {{"jsonrpc", "2.0"}};
  message["id"] = Json::parse(call.id.empty() ? "0" : call.id, nullptr, false);
  message["method"] = method.name;
  message["params"] = params_of(method, call);
  return message.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string_view method_name(const Call& call) { return method_of(call).name; }

bool only_reads(const Call& call) {
  // A plan of a file shows lines of that file, whoever it belongs to.
  if (call.kind == Kind::core && call.request.verb == Verb::plan) {
    return call.request.files.empty();
  }
  return method_of(call).reads;
}

}  // namespace supv::protocol
