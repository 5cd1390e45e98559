/* Everything that a plugin must not do. `how` says what, `when` in which call. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <supv/condition.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct supv_option options[] = {
    {"how", SUPV_CHOICE, "behave", "What it does wrong.", 0,
     "behave|segfault|loop|leak|leak_slowly|fork|daemon|print|exit|close|garbage|null_reason|slow|"
     "abort|stack|unstable|control|metrics|pending|descriptors|threads|overread|chatter"},
    {"when", SUPV_CHOICE, "poll", "In which call.", 0, "create|poll|ended|destroy"},
    {"after", SUPV_INTEGER, "0", "Behaves in so many calls first.", 0, NULL},
    {"if_exists", SUPV_TEXT, NULL, "Behaves while this file does not exist.", 0, NULL},
    {"fires", SUPV_BOOLEAN, "false", "Its verdict while it behaves.", 0, NULL},
};

struct naughty {
  const struct supv_host* host;
  char how[32];
  char when[32];
  char if_exists[512];
  long after;
  int fires;
  char* reason;
};

static void write_a_gigabyte(void) {
  static char block[65536];
  memset(block, 'p', sizeof block);
  for (long left = 1L << 30; left > 0; left -= (long)sizeof block)
    if (write(1, block, sizeof block) < 0) continue; /* nobody reads: that much less to do */
}

static void take_a_gigabyte(void) {
  for (int i = 0; i < 1024; ++i) {
    char* block = malloc(1 << 20);
    if (block == NULL) return;
    memset(block, 'm', 1 << 20);
  }
}

static void fork_a_thousand(void) {
  for (int i = 0; i < 1000; ++i) {
    if (fork() != 0) continue;
    for (;;) pause();
  }
}

static void run_away(void) {
  const pid_t child = fork();
  if (child == 0) {
    setsid();
    if (fork() != 0) _exit(0);
    for (;;) pause();
  }
  if (child > 0) waitpid(child, NULL, 0);
}

static int descend(volatile char* above) {
  volatile char frame[4096];
  if (*above == 0) return 0;
  frame[0] = *above;
  frame[4095] = (char)descend(frame);
  return frame[0] + frame[4095];
}

static void* sleep_for_ever(void* ignored) {
  for (;;) pause();
  return ignored;
}

static void sleep_ms(long ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

/* What can be done in any call. */
static void misbehave(const char* how) {
  if (strcmp(how, "segfault") == 0) {
    volatile int* volatile nowhere = NULL;
    *nowhere = 1;
  }
  for (volatile unsigned turns = 0; strcmp(how, "loop") == 0; ++turns) {
  }
  if (strcmp(how, "leak") == 0) take_a_gigabyte();
  if (strcmp(how, "leak_slowly") == 0) {
    void* volatile lost = malloc(128);
    if (lost != NULL) memset(lost, 'l', 128);
  }
  if (strcmp(how, "fork") == 0) fork_a_thousand();
  if (strcmp(how, "daemon") == 0) run_away();
  if (strcmp(how, "print") == 0) write_a_gigabyte();
  if (strcmp(how, "chatter") == 0) {
    fprintf(stderr, "I am here\n");
  }
  if (strcmp(how, "exit") == 0) exit(3);
  if (strcmp(how, "close") == 0) close_range(0, ~0U, 0);
  if (strcmp(how, "slow") == 0) sleep_ms(300);
  if (strcmp(how, "abort") == 0) abort();
  if (strcmp(how, "stack") == 0) {
    volatile char start = 1;
    descend(&start);
  }
  if (strcmp(how, "descriptors") == 0 && dup(0) < 0) return;
  if (strcmp(how, "threads") == 0) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0) pthread_detach(thread);
  }
}

/* 100 KB without an end, and behind them nothing. */
static const char* endless(void) {
  static char* text = NULL;
  if (text == NULL) {
    text = mmap(NULL, 26 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(text, 'g', 25 * 4096);
    mprotect(text + 25 * 4096, 4096, PROT_NONE);
  }
  return text;
}

/* What can be done to a verdict. */
static void misreport(struct naughty* self, const struct supv_event* event,
                      struct supv_verdict* verdict) {
  const char* how = self->how;
  if (strcmp(how, "garbage") == 0) {
    verdict->outcome = (enum supv_outcome)4711;
    verdict->reason = endless();
  }
  if (strcmp(how, "null_reason") == 0) {
    verdict->outcome = SUPV_FIRE;
    verdict->reason = NULL;
  }
  if (strcmp(how, "unstable") == 0) {
    free(self->reason);
    self->reason = malloc(64);
    if (self->reason == NULL) return;
    strcpy(self->reason, "it does not last any longer than the call");
    verdict->reason = self->reason;
    free(self->reason);
    self->reason = NULL;
  }
  if (strcmp(how, "control") == 0) verdict->reason = "two\nlines and \033[31mred";
  if (strcmp(how, "metrics") == 0) verdict->metrics = "=5 rss=many";
  if (strcmp(how, "pending") == 0) verdict->outcome = SUPV_PENDING;
  if (strcmp(how, "overread") == 0)
    verdict->outcome = ((const volatile char*)event)[event->size] != 0 ? SUPV_FIRE : SUPV_OK;
}

static int its_time(struct naughty* self, const char* when) {
  if (strcmp(self->when, when) != 0) return 0;
  if (self->if_exists[0] != '\0' && access(self->if_exists, F_OK) != 0) return 0;
  return self->after-- <= 0;
}

static void take(const struct supv_host* host, const char* name, char* to, size_t room) {
  const char* value = host->option(host->context, name);
  snprintf(to, room, "%s", value == NULL ? "" : value);
}

static void* create(const struct supv_host* host, char* error, size_t room) {
  char number[32];
  struct naughty* self = calloc(1, sizeof *self);
  if (self == NULL) {
    snprintf(error, room, "no memory");
    return NULL;
  }
  self->host = host;
  take(host, "how", self->how, sizeof self->how);
  take(host, "when", self->when, sizeof self->when);
  take(host, "if_exists", self->if_exists, sizeof self->if_exists);
  take(host, "after", number, sizeof number);
  self->after = strtol(number, NULL, 10);
  take(host, "fires", number, sizeof number);
  self->fires = strcmp(number, "true") == 0;
  if (its_time(self, "create")) {
    misbehave(self->how);
    if (strcmp(self->how, "garbage") == 0) memset(error, 'g', room);
    if (strcmp(self->how, "garbage") == 0 || strcmp(self->how, "null_reason") == 0) {
      free(self);
      return NULL;
    }
  }
  return self;
}

static void on_event(void* me, const struct supv_event* event, struct supv_verdict* verdict) {
  struct naughty* self = me;
  verdict->outcome = self->fires ? SUPV_FIRE : SUPV_OK;
  verdict->reason = "it behaves";
  if (!its_time(self, event->kind == SUPV_ENDED ? "ended" : "poll")) return;
  misbehave(self->how);
  misreport(self, event, verdict);
}

static void destroy(void* me) {
  struct naughty* self = me;
  if (its_time(self, "destroy")) misbehave(self->how);
  free(self);
}

extern const struct supv_condition_descriptor supv_condition_plugin;
const struct supv_condition_descriptor supv_condition_plugin = {
    SUPV_CONDITION_ABI,
    sizeof(struct supv_condition_descriptor),
    "naughty",
    "True when it is told so; what it does besides is the test.",
    SUPV_POLL,
    options,
    sizeof options / sizeof *options,
    create,
    on_event,
    destroy,
    0,
    sizeof(struct supv_option)};
