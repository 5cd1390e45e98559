/* A plugin that does everything right, in plain C: an option of every type, a reason, metrics. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <supv/condition.h>
#include <unistd.h>

static const struct supv_option options[] = {
    {"file", SUPV_TEXT, NULL, "Fires while this file exists.", 1, NULL},
    {"every", SUPV_DURATION, "5s", "Only told in the reason.", 0, NULL},
    {"above", SUPV_SIZE, "300MB", "Fires when the tree uses more.", 0, NULL},
    {"share", SUPV_PERCENT, "50%", "Only told in the reason.", 0, NULL},
    {"count", SUPV_INTEGER, "3", "Only told in the reason.", 0, NULL},
    {"loud", SUPV_BOOLEAN, "false", "Says more.", 0, NULL},
    {"scope", SUPV_CHOICE, "tree", "Whose memory counts.", 0, "tree|process"},
    {"names", SUPV_LIST, NULL, "Only counted.", 0, NULL},
};

struct steady {
  const struct supv_host* host;
  char* file;
  double above;
  enum supv_scope scope;
  int loud;
  unsigned names;
  unsigned polls;
  char reason[256];
  char metrics[128];
};

static const char* text(const struct supv_host* host, const char* name) {
  return host->option(host->context, name);
}

/* supvd has checked the types; somebody else may not have. */
static int number(const struct supv_host* host, const char* name, double* value) {
  const char* from = text(host, name);
  char* end = NULL;
  if (from == NULL) return 0;
  *value = strtod(from, &end);
  return end != from && *end == '\0' && *value >= 0 && *value < 1e15;
}

static void* create(const struct supv_host* host, char* error, size_t room) {
  double ignored = 0;
  const char* from = text(host, "file");
  const char* scope = text(host, "scope");
  const char* loud = text(host, "loud");
  struct steady* self = calloc(1, sizeof *self);
  if (self == NULL || from == NULL || *from == '\0') {
    snprintf(error, room, "file: it needs a path");
    free(self);
    return NULL;
  }
  self->host = host;
  if (!number(host, "above", &self->above) || !number(host, "every", &ignored) ||
      !number(host, "share", &ignored) || !number(host, "count", &ignored)) {
    snprintf(error, room, "one of above, every, share and count is no number");
    free(self);
    return NULL;
  }
  if (scope == NULL || (strcmp(scope, "tree") != 0 && strcmp(scope, "process") != 0)) {
    snprintf(error, room, "scope: neither tree nor process");
    free(self);
    return NULL;
  }
  self->scope = strcmp(scope, "tree") == 0 ? SUPV_SCOPE_TREE : SUPV_SCOPE_PROCESS;
  self->loud = loud != NULL && strcmp(loud, "true") == 0;
  for (from = text(host, "names"); from != NULL; from = strchr(from, '\n')) {
    ++self->names;
    ++from;
    if (*from == '\0') break;
  }
  from = text(host, "file");
  self->file = malloc(strlen(from) + 1);
  if (self->file == NULL) {
    snprintf(error, room, "no memory");
    free(self);
    return NULL;
  }
  strcpy(self->file, from);
  return self;
}

static void on_event(void* me, const struct supv_event* event, struct supv_verdict* verdict) {
  struct steady* self = me;
  struct supv_usage usage;
  memset(&usage, 0, sizeof usage);
  usage.size = sizeof usage;
  if (event->kind != SUPV_TICK) {
    verdict->outcome = SUPV_UNKNOWN;
    verdict->reason = "it is only asked";
    return;
  }
  ++self->polls;
  if (self->host->usage(self->host->context, self->scope, 0, &usage) != 0) {
    verdict->outcome = SUPV_UNKNOWN;
    verdict->reason = "the process is gone";
    return;
  }
  verdict->outcome = SUPV_OK;
  if ((double)usage.rss_bytes > self->above || access(self->file, F_OK) == 0)
    verdict->outcome = SUPV_FIRE;
  snprintf(self->reason, sizeof self->reason, "%s, %u names%s", self->file, self->names,
           self->loud ? ", loudly" : "");
  verdict->reason = self->reason;
  if (verdict->size >= offsetof(struct supv_verdict, metrics) + sizeof verdict->metrics) {
    snprintf(self->metrics, sizeof self->metrics, "rss=%lluB;;%.0f 'polls so far'=%uc",
             (unsigned long long)usage.rss_bytes, self->above, self->polls);
    verdict->metrics = self->metrics;
  }
}

static void destroy(void* me) {
  struct steady* self = me;
  free(self->file);
  free(self);
}

extern const struct supv_condition_descriptor supv_condition_plugin;
const struct supv_condition_descriptor supv_condition_plugin = {
    SUPV_CONDITION_ABI,
    sizeof(struct supv_condition_descriptor),
    "steady",
    "True while a file exists, or while too much memory is used.",
    SUPV_POLL,
    options,
    sizeof options / sizeof *options,
    create,
    on_event,
    destroy,
    0,
    sizeof(struct supv_option)};
