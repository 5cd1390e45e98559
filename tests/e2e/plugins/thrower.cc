// A plugin in C++ that does without <supv/condition.hpp>, and lets its exceptions out.
#include <supv/condition.h>

#include <cstring>
#include <stdexcept>

namespace {

constexpr supv_option kOptions[] = {
    {"when", SUPV_CHOICE, "poll", "In which call it throws.", 0, "create|poll|destroy"},
};

struct Thrower {
  const char* when;
};

void* create(const supv_host* host, char*, size_t) {
  const char* when = host->option(host->context, "when");
  if (when != nullptr && std::strcmp(when, "create") == 0) throw std::runtime_error("in create");
  const bool late = when != nullptr && std::strcmp(when, "destroy") == 0;
  return new Thrower{late ? "destroy" : "poll"};
}

void on_event(void* self, const supv_event*, supv_verdict* verdict) {
  verdict->outcome = SUPV_OK;
  if (std::strcmp(static_cast<Thrower*>(self)->when, "poll") == 0)
    throw std::runtime_error("in on_event");
}

void destroy(void* self) {
  auto* thrower = static_cast<Thrower*>(self);
  const bool late = std::strcmp(thrower->when, "destroy") == 0;
  delete thrower;
  if (late) throw std::runtime_error("in destroy");
}

}  // namespace

extern "C" {
extern const supv_condition_descriptor supv_condition_plugin;
const supv_condition_descriptor supv_condition_plugin = {SUPV_CONDITION_ABI,
                                                         sizeof(supv_condition_descriptor),
                                                         "thrower",
                                                         "Never true: it throws.",
                                                         SUPV_POLL,
                                                         kOptions,
                                                         1,
                                                         create,
                                                         on_event,
                                                         destroy,
                                                         0,
                                                         sizeof(supv_option)};
}
