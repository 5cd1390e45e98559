/* A condition that is never true, for plugins whose fault lies elsewhere. */
#include <stddef.h>
#include <supv/condition.h>

static int nothing;

static void* create(const struct supv_host* host, char* error, size_t room) {
  (void)host, (void)error, (void)room;
  return &nothing;
}
static void on_event(void* self, const struct supv_event* event, struct supv_verdict* verdict) {
  (void)self, (void)event;
  verdict->outcome = SUPV_OK;
}
static void destroy(void* self) { (void)self; }

#define PLAIN_CONDITION(abi, name)                                     \
  extern const struct supv_condition_descriptor supv_condition_plugin; \
  const struct supv_condition_descriptor supv_condition_plugin = {     \
      abi,       sizeof(struct supv_condition_descriptor),             \
      name,      "Never true.",                                        \
      SUPV_POLL, NULL,                                                 \
      0,         create,                                               \
      on_event,  destroy,                                              \
      0,         sizeof(struct supv_option)}
