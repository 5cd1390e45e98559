#include <supv/condition.hpp>

namespace {

constexpr supv_option kOptions[] = {
    {"key", SUPV_TEXT, nullptr, "The key to watch; this or `prefix`.", 0, nullptr},
    {"prefix", SUPV_TEXT, nullptr, "Watch every key that begins like this.", 0, nullptr},
    {"select", SUPV_LIST, nullptr, "JSON pointers: only these parts of the value count.", 0,
     nullptr},
    {"ignore", SUPV_LIST, nullptr, "JSON pointers: these parts of the value do not count.", 0,
     nullptr},
    {"window", SUPV_INTEGER, "2", "Samples kept and shown, baseline included; at least 2.", 0,
     nullptr},
    {"mode", SUPV_CHOICE, "watch", "watch: told by Consul at once; poll: read every `interval`.", 0,
     "watch|poll"},
    {"settle", SUPV_DURATION, nullptr,
     "Quiet time after a change before acting; 0s for a key, 2s for a prefix.", 0, nullptr},
    {"settle_max", SUPV_DURATION, nullptr, "Longest time to wait for quiet; 4 times `settle`.", 0,
     nullptr},
    {"min_interval", SUPV_DURATION, "5s", "Changes closer than this are acted on together.", 0,
     nullptr},
    {"on_delete", SUPV_CHOICE, "hold", "A deleted key: hold the last value, or count as a change.",
     0, "hold|change"},
    {"on_invalid", SUPV_CHOICE, "hold",
     "A value that is no JSON, with `select` or `ignore`: hold, or compare the bytes.", 0,
     "hold|raw"},
    {"missed", SUPV_CHOICE, "act", "A change made while supvd was away: act, ignore, or notify.", 0,
     "act|ignore|notify"},
    {"datacenter", SUPV_TEXT, nullptr, "Consul datacenter; the cluster's own unless written.", 0,
     nullptr},
    {"consul", SUPV_TEXT, nullptr, "Name of a cluster under `consul: clusters:`.", 0, nullptr},
};

/// Only the declaration: the samples come from Consul, and supvd keeps the timeline that judges
/// them, because it has to outlive the run and supvd itself.
class ConsulKv : public supv::sdk::Condition {
 public:
  explicit ConsulKv(const supv::sdk::Host& host) {
    if (host.has("key") == host.has("prefix")) {
      throw std::invalid_argument("needs either `key` or `prefix`");
    }
  }
  supv::sdk::Verdict poll(const supv_event&) override {
    return supv::sdk::unknown("judged by its timeline, not by polls");
  }
};

}  // namespace

SUPV_CONDITION(ConsulKv, "consul_kv",
               "True when the newest value in Consul's KV store differs from the one that the "
               "running process was started under.",
               SUPV_CHANGE, kOptions);
