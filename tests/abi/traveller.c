/* A plugin that uses every struct and every function of ABI 1. Built with a header of another time
 * than supvd's: with the frozen one, and (SUPV_FUTURE) with one in which every struct has one more
 * field. With RECKLESS it looks at the new fields without asking whether they are there. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <supv/condition.h>

#ifdef RECKLESS
#define HAS(pointer) 1
#else
#define HAS(pointer) ((pointer)->size >= sizeof *(pointer))
#endif

static const struct supv_option options[] = {
    {.name = "text", .type = SUPV_TEXT, .fallback = "as it was", .help = "The first."},
    {.name = "size", .type = SUPV_SIZE, .fallback = "2KiB", .help = "The second."},
    {.name = "which",
     .type = SUPV_CHOICE,
     .fallback = "b",
     .help = "The third.",
     .choices = "a|b|c"},
    {.name = "must", .type = SUPV_INTEGER, .help = "The last.", .required = 1},
};

struct traveller {
  const struct supv_host* host;
  unsigned asked;
  char reason[256];
};

static int option_is(const struct supv_host* host, const char* name, const char* value) {
  const char* has = host->option(host->context, name);
  return has != NULL && strcmp(has, value) == 0;
}

static void* create(const struct supv_host* host, char* error, size_t room) {
  struct traveller* self = NULL;
  if (!option_is(host, "text", "as it was") || !option_is(host, "size", "2048") ||
      !option_is(host, "which", "b") || host->option(host->context, "must") == NULL) {
    snprintf(error, room, "the options have not arrived as they were declared");
    return NULL;
  }
  self = calloc(1, sizeof *self);
  if (self == NULL) {
    snprintf(error, room, "no memory");
    return NULL;
  }
  self->host = host;
  return self;
}

/* What the host lends, each asked once; the first thing that is not as it should be. */
static const char* look_around(const struct supv_host* host, struct supv_usage* usage) {
  char bytes[64];
  int32_t pids[4];
  const int32_t pid = host->pid(host->context);
  const char* cgroup = host->cgroup(host->context);
  memset(usage, 0, sizeof *usage);
  usage->size = sizeof *usage;
  if (host->watch_name(host->context) == NULL) return "no name";
  if (host->read(host->context, "/proc/loadavg", bytes, sizeof bytes) <= 0) return "no load";
  if (host->read(host->context, "/etc/passwd", bytes, sizeof bytes) != -13) return "reads anything";
  if (cgroup != NULL && cgroup[0] != '/') return "no path";
  if (host->usage(host->context, SUPV_SCOPE_PROCESS, 1, usage) != 0)
    return pid == 0 ? NULL : "no usage of a process";
  if (usage->rss_bytes == 0 || usage->pss_bytes == 0 || usage->threads == 0) return "empty usage";
  if (usage->age_ns == 0) return "no age";
  if (host->pids(host->context, SUPV_SCOPE_TREE, pids, 4) < 1 || pids[0] != pid) return "no pids";
  return NULL;
}

static int ask(struct traveller* self) {
  struct supv_http_request request;
  if (++self->asked % 2 == 0) return self->host->run(self->host->context, "true", 1000);
  memset(&request, 0, sizeof request);
  request.size = sizeof request;
  request.method = "GET";
  request.url = "http://127.0.0.1:1/";
  request.timeout_ms = 1000;
  return self->host->http(self->host->context, &request);
}

static void say_reply(struct traveller* self, const struct supv_reply* reply,
                      struct supv_verdict* verdict) {
  size_t letters = 0;
  for (size_t i = 0; i < reply->text_size; ++i) letters += reply->text[i] >= 'a';
  verdict->outcome = reply->error != NULL ? SUPV_UNKNOWN : SUPV_OK;
  snprintf(self->reason, sizeof self->reason, "%d, %zu letters",
           reply->error != NULL ? -1 : reply->status, letters);
#ifdef SUPV_FUTURE
  if (HAS(reply) && reply->from_the_future == 1) verdict->outcome = SUPV_FIRE;
#endif
}

static void on_event(void* me, const struct supv_event* event, struct supv_verdict* verdict) {
  struct traveller* self = me;
  struct {
    struct supv_usage usage;
    char behind[64];
  } memory;
  const char* amiss = NULL;
  verdict->reason = self->reason;
#ifdef SUPV_FUTURE
  if (HAS(verdict)) verdict->from_the_future = 17;
  if (HAS(event) && event->from_the_future == 1) verdict->outcome = SUPV_FIRE;
  if (HAS(self->host) && self->host->from_the_future == 1) verdict->outcome = SUPV_FIRE;
#endif
  if (event->kind == SUPV_REPLY) {
    say_reply(self, event->reply, verdict);
    return;
  }
  if (event->kind != SUPV_TICK) {
    verdict->outcome = SUPV_UNKNOWN;
    snprintf(self->reason, sizeof self->reason, "exit %d, signal %d", event->exit_code,
             event->exit_signal);
    return;
  }
  memset(memory.behind, 'b', sizeof memory.behind);
  amiss = look_around(self->host, &memory.usage);
  for (size_t i = 0; i < sizeof memory.behind; ++i)
    if (memory.behind[i] != 'b') amiss = "more was written than there is room for";
  if (amiss == NULL && (event->armed_wall_ns > event->wall_ns || event->monotonic_ns <= 0))
    amiss = "the time is not right";
  if (amiss != NULL) {
    verdict->outcome = SUPV_FIRE; /* what the test looks for */
    snprintf(self->reason, sizeof self->reason, "%s", amiss);
    return;
  }
  snprintf(self->reason, sizeof self->reason, "waiting");
  verdict->outcome = ask(self) == 0 ? SUPV_PENDING : SUPV_UNKNOWN;
  if (verdict->size >= offsetof(struct supv_verdict, metrics) + sizeof verdict->metrics)
    verdict->metrics = "age=17s";
}

static void destroy(void* me) { free(me); }

extern const struct supv_condition_descriptor supv_condition_plugin;
const struct supv_condition_descriptor supv_condition_plugin = {
    .abi = SUPV_CONDITION_ABI,
    .size = sizeof(struct supv_condition_descriptor),
    .name = "traveller",
    .help = "True when something is not as it was declared.",
    .kind = SUPV_POLL,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .create = create,
    .on_event = on_event,
    .destroy = destroy,
#ifndef FORGETFUL
    .option_size = sizeof(struct supv_option),
#endif
};
