#include "gateway/dev_kv_api.h"

#include <algorithm>

#include "base/units.h"
#include "gateway/dev_kv_url.h"

namespace supv {
namespace {

constexpr std::string_view kKvPath = "/v1/kv/";
constexpr auto kDefaultWait = std::chrono::minutes(5);
constexpr auto kMaxWait = std::chrono::minutes(10);

KvAnswer plain(unsigned status, std::string text) {
  return {status, {{"Content-Type", "text/plain; charset=utf-8"}}, std::move(text)};
}

KvAnswer json(std::string text) {
  return {200, {{"Content-Type", "application/json"}}, std::move(text) + '\n'};
}

void add_consul_headers(KvAnswer& answer, std::uint64_t index) {
  answer.headers.emplace_back("X-Consul-Index", std::to_string(index));
  answer.headers.emplace_back("X-Consul-Knownleader", "true");
  answer.headers.emplace_back("X-Consul-Lastcontact", "0");
}

std::string json_entry(const std::string& key, const KvStore::Entry& entry) {
  const std::string value = entry.value.empty() ? "null" : '"' + base64_encode(entry.value) + '"';
  return "    {\n        \"LockIndex\": 0,\n        \"Key\": " + json_string(key) +
         ",\n        \"Flags\": " + std::to_string(entry.flags) + ",\n        \"Value\": " + value +
         ",\n        \"CreateIndex\": " + std::to_string(entry.create_index) +
         ",\n        \"ModifyIndex\": " + std::to_string(entry.modify_index) + "\n    }";
}

std::string json_list(const std::vector<std::string>& items) {
  std::string out = "[\n";
  for (const std::string& item : items) {
    out += item;
    out += &item == &items.back() ? "\n" : ",\n";
  }
  return out + ']';
}

/// One request taken apart.
struct Call {
  std::string key;
  UrlParameters parameters;
  bool has(std::string_view name) const { return parameters.find(name) != parameters.end(); }
  std::string get(std::string_view name) const {
    const auto found = parameters.find(name);
    return found == parameters.end() ? std::string() : found->second;
  }
};

/// What every request to the KV has in common; empty: nothing is wrong with it.
std::optional<KvAnswer> check_common(const Call& call) {
  if (call.has("wait") && !call.get("wait").empty() && !parse_go_duration(call.get("wait")))
    return plain(400, "Invalid wait time");
  if (call.has("index") && !call.get("index").empty() && !parse_unsigned(call.get("index")))
    return plain(400, "Invalid index");
  if (call.has("stale") && call.has("consistent"))
    return plain(400, "Cannot specify ?stale with ?consistent, conflicting semantics.");
  if (!call.get("ns").empty())
    return plain(400,
                 "Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul "
                 "Enterprise feature");
  return std::nullopt;
}

/// The flags of `names` that are there together, as Consul complains about them.
std::optional<KvAnswer> check_conflict(const Call& call, std::vector<std::string_view> names) {
  if (std::count_if(names.begin(), names.end(), [&](auto name) { return call.has(name); }) < 2)
    return std::nullopt;
  std::string text = "Conflicting flags: ";
  for (const auto& [name, value] : call.parameters) text.append(name).append("=" + value + "&");
  text.pop_back();
  return plain(400, text);
}

KvAnswer read_keys(const KvStore& store, const Call& call) {
  const std::string separator = call.get("separator");
  std::vector<std::string> keys;
  for (const auto* entry : store.list(call.key)) {
    std::string key = entry->first;
    const auto at = separator.empty() ? std::string::npos : key.find(separator, call.key.size());
    if (at != std::string::npos) key.resize(at + separator.size());
    key = "    " + json_string(key);
    if (keys.empty() || keys.back() != key) keys.push_back(key);
  }
  KvAnswer answer = keys.empty() ? KvAnswer{404, {}, {}} : json(json_list(keys));
  add_consul_headers(answer, store.index_of_prefix(call.key));
  return answer;
}

KvAnswer read_prefix(const KvStore& store, const Call& call) {
  std::vector<std::string> items;
  for (const auto* entry : store.list(call.key))
    items.push_back(json_entry(entry->first, entry->second));
  KvAnswer answer = items.empty() ? KvAnswer{404, {}, {}} : json(json_list(items));
  add_consul_headers(answer, store.index_of_prefix(call.key));
  return answer;
}

KvAnswer read_key(const KvStore& store, const Call& call) {
  const KvStore::Entry* entry = store.find(call.key);
  KvAnswer answer{404, {}, {}};
  if (entry != nullptr && call.has("raw")) {
    answer = {200,
              {{"Content-Type", "text/plain"},
               {"Content-Security-Policy", "sandbox"},
               {"X-Content-Type-Options", "nosniff"}},
              entry->value};
  } else if (entry != nullptr) {
    answer = json(json_list({json_entry(call.key, *entry)}));
  }
  add_consul_headers(answer, store.index_of_key(call.key));
  return answer;
}

KvApi::Outcome read(const KvStore& store, const Call& call) {
  KvApi::Outcome outcome;
  const bool prefix = call.has("recurse") || call.has("keys");
  if (call.key.empty() && !prefix) {
    outcome.answer = plain(400, "Missing key name");
    return outcome;
  }
  outcome.answer = call.has("keys") ? read_keys(store, call)
                   : prefix         ? read_prefix(store, call)
                                    : read_key(store, call);
  const auto asked = parse_unsigned(call.get("index")).value_or(0);
  const auto now = prefix ? store.index_of_prefix(call.key) : store.index_of_key(call.key);
  if (asked == 0 || now > asked) return outcome;
  std::chrono::nanoseconds time = parse_go_duration(call.get("wait")).value_or(kDefaultWait);
  if (time.count() <= 0) time = kDefaultWait;
  outcome.wait =
      KvWait{call.key, prefix, asked, std::min<std::chrono::nanoseconds>(time, kMaxWait)};
  return outcome;
}

/// A number in `name`; on a wrong one `error` is what Consul says.
std::uint64_t number(const Call& call, std::string_view name, std::optional<KvAnswer>& error) {
  if (!call.has(name)) return 0;
  const std::string text = call.get(name);
  const auto value = parse_unsigned(text);
  if (!value)
    error = plain(500, "strconv.ParseUint: parsing " + json_string(text) + ": invalid syntax");
  return value.value_or(0);
}

KvApi::Outcome write(KvStore& store, const Call& call, const KvAsk& ask) {
  KvApi::Outcome outcome;
  auto error = check_conflict(call, {"acquire", "cas", "release"});
  if (call.key.empty()) error = plain(400, "Missing key name");
  if (!error && (call.has("acquire") || call.has("release")))
    error = plain(500, "the trial KV has no sessions and no locks");
  const auto flags = error ? 0 : number(call, "flags", error);
  const auto cas = error ? 0 : number(call, "cas", error);
  if (!error && ask.body_size > kMaxKvValue)
    error =
        plain(413, "Request body(" + std::to_string(ask.body_size) +
                       " bytes) too large, max size: " + std::to_string(kMaxKvValue) + " bytes.");
  if (error) {
    outcome.answer = std::move(*error);
    return outcome;
  }
  const KvStore::Entry* entry = store.find(call.key);
  const bool allowed = !call.has("cas") || (entry == nullptr ? 0 : entry->modify_index) == cas;
  outcome.changed = allowed && store.put(call.key, ask.body, flags);
  outcome.touched = call.key;
  outcome.answer = json(allowed ? "true" : "false");
  return outcome;
}

KvApi::Outcome erase(KvStore& store, const Call& call) {
  KvApi::Outcome outcome;
  auto error = check_conflict(call, {"cas", "recurse"});
  if (!error && call.key.empty() && !call.has("recurse")) error = plain(400, "Missing key name");
  const auto cas = error ? 0 : number(call, "cas", error);
  if (error) {
    outcome.answer = std::move(*error);
    return outcome;
  }
  const KvStore::Entry* entry = store.find(call.key);
  const bool allowed = !call.has("cas") || entry == nullptr || entry->modify_index == cas;
  if (allowed)
    outcome.changed = call.has("recurse") ? store.erase_prefix(call.key) : store.erase(call.key);
  outcome.touched = call.key;
  outcome.answer = json(allowed ? "true" : "false");
  return outcome;
}

/// Requests that are answered without a look at the store.
std::optional<KvAnswer> route(const KvAsk& ask, const std::string& path, std::string_view query,
                              std::uint16_t port) {
  const std::string cleaned = path == "/v1/kv" ? std::string(kKvPath) : clean_url_path(path);
  if (cleaned != path) {
    std::string location = cleaned;
    if (!query.empty()) location += '?' + std::string(query);
    return KvAnswer{301, {{"Location", location}}, {}};
  }
  const bool kv = path.substr(0, kKvPath.size()) == kKvPath;
  if (path == "/v1/status/leader" && ask.method == "GET")
    return json("\"127.0.0.1:" + std::to_string(port) + '"');
  if (!kv) return KvAnswer{404, {}, {}};
  constexpr const char* kAllowed = "OPTIONS,GET,PUT,DELETE";
  if (ask.method == "OPTIONS") return KvAnswer{200, {{"Allow", kAllowed}}, {}};
  if (ask.method == "GET" || ask.method == "PUT" || ask.method == "DELETE") return std::nullopt;
  KvAnswer refused = plain(405, "method " + ask.method + " not allowed");
  refused.headers.emplace_back("Allow", kAllowed);
  return refused;
}

bool printable_path(std::string_view path) {
  return std::none_of(path.begin(), path.end(),
                      [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

}  // namespace

KvApi::Outcome KvApi::serve(KvStore& store, const KvAsk& ask) const {
  const std::string_view target = ask.target;
  const auto mark = std::min(target.find('?'), target.size());
  const auto path = percent_decode(target.substr(0, mark), false);
  const std::string_view query = target.substr(std::min(mark + 1, target.size()));
  Outcome outcome;
  if (!path || !printable_path(*path)) {
    outcome.answer = plain(400, "Bad Request");
    return outcome;
  }
  auto answer = route(ask, *path, query, port_);
  if (answer) {
    outcome.answer = std::move(*answer);
    return outcome;
  }
  const Call call{path->substr(kKvPath.size()), parse_url_query(query)};
  answer = check_common(call);
  const std::string datacenter = call.get("dc");
  if (!answer && !datacenter.empty() && datacenter != "dc1")
    answer = plain(500, "No path to datacenter");
  if (answer) {
    outcome.answer = std::move(*answer);
    return outcome;
  }
  if (ask.method == "PUT") return write(store, call, ask);
  if (ask.method == "DELETE") return erase(store, call);
  return read(store, call);
}

bool KvApi::concerns(const KvStore& store, const KvWait& wait, std::string_view touched) {
  if (!store.uses_table_index(wait.key, wait.prefix)) return true;
  const auto slash =
      wait.key.empty() ? std::string::npos : wait.key.rfind('/', wait.key.size() - 2);
  const std::string_view folder =
      std::string_view(wait.key).substr(0, slash == std::string::npos ? 0 : slash + 1);
  const auto common = std::min(folder.size(), touched.size());
  return folder.substr(0, common) == touched.substr(0, common);
}

}  // namespace supv
