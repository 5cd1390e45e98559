// A plugin that works, and could be nicer: exports more than it must, help without sentences.
#include <supv/condition.h>

namespace sloppy {
int everybodys = 0;
}

namespace {

constexpr supv_option kOptions[] = {{"level", SUPV_INTEGER, "1", "the level", 0, nullptr}};

void* create(const supv_host*, char*, size_t) { return &sloppy::everybodys; }
void on_event(void*, const supv_event*, supv_verdict* verdict) {
  verdict->outcome = SUPV_OK;
  verdict->metrics = "load=1";  // Without a look at verdict->size.
}
void destroy(void*) {}

}  // namespace

extern "C" {
extern const supv_condition_descriptor supv_condition_plugin;
const supv_condition_descriptor supv_condition_plugin = {SUPV_CONDITION_ABI,
                                                         sizeof(supv_condition_descriptor),
                                                         "sloppy",
                                                         "never true",
                                                         SUPV_POLL,
                                                         kOptions,
                                                         1,
                                                         create,
                                                         on_event,
                                                         destroy,
                                                         1u << 30,
                                                         sizeof(supv_option)};
}
