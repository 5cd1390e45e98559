#ifndef SUPV_CONDITION_H
#define SUPV_CONDITION_H
/* The binary interface of a supv condition. Plain C, C11. A condition is one shared object that
 * exports one constant descriptor, `supv_condition_plugin`. Structs cross by pointer only and are
 * only ever extended at their end; `size` says how much of one the other side knows.
 *
 * A condition never acts: it says what it sees. It lives as long as the run it judges: created
 * when the run comes up, destroyed when the run ends, so there is nothing to reset. Time comes with
 * the event; a condition that reads a clock of its own cannot be simulated. Strings given to the
 * condition live until the call returns; strings in a verdict must live until the condition's next
 * call.
 *
 * A plugin lives in a process of its own, which has one thread for the calls of all its instances,
 * so nothing needs a lock; with SUPV_WAITS it has several, and only the calls of one instance come
 * one at a time. Whatever goes wrong in it (a crash, a call that does not return within the
 * condition's `timeout`, an exit) makes its verdicts unknown until the process has been started
 * again. It runs without privileges, with a limit on its memory, and must leave no child behind. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SUPV_CONDITION_ABI 1u

enum supv_outcome {
  SUPV_OK = 0,      /* false: nothing to act on */
  SUPV_FIRE = 1,    /* true */
  SUPV_UNKNOWN = 2, /* could not be found out; never acts, never clears anything */
  SUPV_PENDING = 3  /* will be said later, through host->conclude */
};

enum supv_kind {
  SUPV_POLL = 0,  /* asked every `interval` by SUPV_TICK */
  SUPV_EXIT = 1,  /* told once, by SUPV_ENDED, that the run ended by itself */
  SUPV_CHANGE = 2 /* fed with samples of a watched value; supvd keeps the timeline and judges it */
};

enum supv_event_kind {
  SUPV_TICK = 0,
  SUPV_ENDED = 1,
  SUPV_REPLY = 2 /* the answer to host->http or host->run; see `reply` */
};

/* Properties of a kind of condition, in supv_condition_descriptor.flags. */
enum supv_flag {
  /* It may wait: for a disk, a file server, a name, a peer. Instances are then called on several
   * threads at once. Beside its own options it can ask for "watch.log", the files that its watch's
   * output goes to, joined by '\n', and "watch.dir", what relative paths of its watch are relative
   * to. Those that are built in can only use option and watch_name of their host. */
  SUPV_WAITS = 1,
  /* With SUPV_WAITS: it compares with what it saw when it was armed. It is asked once right then,
   * and that answer counts for nothing. */
  SUPV_BASELINE = 2,
  /* True means that something changed, not that something is wrong: it never counts as flapping. */
  SUPV_NEWS = 4,
  /* It asks about the watch's process: a task, which has none, cannot have it. */
  SUPV_OF_PROCESS = 8,
  /* Built in, and yet run in a process of its own as a plugin is. */
  SUPV_HOSTED = 16
};

enum supv_type {
  SUPV_TEXT = 0,
  SUPV_DURATION = 1, /* 5s 2m 1h30m */
  SUPV_SIZE = 2,     /* 300MB */
  SUPV_PERCENT = 3,  /* 50% */
  SUPV_INTEGER = 4,
  SUPV_BOOLEAN = 5, /* true, false */
  SUPV_CHOICE = 6,  /* one of `choices` */
  SUPV_LIST = 7     /* text, or a list of texts; joined by '\n' */
};

/* One declared option. `supvd --check`, `supvctl conditions` and the schema read these. */
struct supv_option {
  const char* name;
  enum supv_type type;
  const char* fallback; /* text of the default; NULL: no value unless written */
  const char* help;     /* one sentence */
  int required;
  const char* choices; /* for SUPV_CHOICE: "tree|process" */
};

struct supv_event {
  uint32_t size;
  enum supv_event_kind kind;
  int64_t monotonic_ns;
  int64_t wall_ns;
  int exit_code;                  /* SUPV_ENDED: -1 if killed by a signal or unknown */
  int exit_signal;                /* SUPV_ENDED: 0 if it exited */
  const struct supv_reply* reply; /* SUPV_REPLY: the answer; else NULL */
  int64_t armed_wall_ns;          /* when the condition was created, on the same clock as wall_ns */
};

/* What came of host->http or host->run. Lives until the call returns. */
struct supv_reply {
  uint32_t size;
  const char* error; /* no answer, and why, in one line; NULL: there is one */
  int status;        /* http: the status code; run: the exit code, -1 if killed by a signal */
  int signal;        /* run: what killed it, else 0 */
  const char* text;  /* http: the body; run: the first 64 KiB of stdout, then the first 4 KiB of
                      * stderr; not terminated */
  size_t text_size;
};

/* A request for host->http. NULL texts are empty. */
struct supv_http_request {
  uint32_t size;
  const char* method;  /* "GET" */
  const char* url;     /* http:// or https:// */
  const char* headers; /* "Name: value" lines, joined by '\n' */
  const char* body;
  const char* unix_socket; /* path of a socket to connect to in place of the URL's host */
  const char* ca_file;     /* PEM, in place of the system's authorities */
  const char* client_cert;
  const char* client_key;
  const char* tls_server_name;
  int insecure;  /* does not verify the server's certificate */
  int redirects; /* how many are followed; 0: none */
  int64_t timeout_ms;
};

struct supv_verdict {
  uint32_t size;
  enum supv_outcome outcome;
  const char* reason; /* one line, e.g. "312 MiB, above 300 MiB"; may be NULL */
  /* What was measured, for status and dashboards, as monitoring plugins write it:
   * 'label'=value[unit];[warn];[crit];[min];[max], separated by blanks; may be NULL. */
  const char* metrics;
};

/* What a process, or a whole tree of processes, uses. Read once per tick for all conditions. */
struct supv_usage {
  uint32_t size;
  uint32_t processes;
  uint64_t rss_bytes;
  uint64_t pss_bytes; /* only filled when asked for: it costs a millisecond per 300 MB */
  uint64_t cpu_ns;    /* user + system time as far as it was seen; never goes back, although
                       * processes come and go, so the difference of two polls is what was used */
  uint64_t threads;
  uint64_t age_ns; /* how long ago the tracked process began */
};

enum supv_scope { SUPV_SCOPE_TREE = 0, SUPV_SCOPE_PROCESS = 1 };

/* What supvd lends to a condition. All functions may be called in create and on_event. */
struct supv_host {
  uint32_t size;
  void* context; /* first argument of every function */
  /* An option's text: written, or the fallback; NULL if neither. */
  const char* (*option)(void* context, const char* name);
  const char* (*watch_name)(void* context);
  /* The tracked process, or 0 when there is none. */
  int32_t (*pid)(void* context);
  /* 0, or -1 when the run is gone. `with_pss` asks for pss_bytes as well. */
  int (*usage)(void* context, enum supv_scope scope, int with_pss, struct supv_usage* usage);
  /* Says an outcome that was SUPV_PENDING. */
  void (*conclude)(void* context, const struct supv_verdict* verdict);
  /* Both ask for something that takes time: 0 and the answer comes as SUPV_REPLY (return
   * SUPV_PENDING meanwhile), or -1 when one of them is under way already. */
  int (*http)(void* context, const struct supv_http_request* request);
  /* Runs a command line as `start` does: as the watch's user, in its directory and environment, in
   * a tree of processes of its own, which is killed when the time is up. */
  int (*run)(void* context, const char* command, int64_t timeout_ms);
  /* Reads a file below /proc or /sys that never waits, at most `room` bytes; the number of bytes
   * read, or -errno. For built-in conditions it is read once per instant, however many ask; a
   * plugin reads it with its own rights. */
  int64_t (*read)(void* context, const char* path, char* bytes, size_t room);
  /* The cgroup v2 directory of the run's tree; NULL when it has none of its own. */
  const char* (*cgroup)(void* context);
  /* The run's processes: writes at most `room` pids, returns how many there are. */
  size_t (*pids)(void* context, enum supv_scope scope, int32_t* pids, size_t room);
};

struct supv_condition_descriptor {
  uint32_t abi;  /* SUPV_CONDITION_ABI */
  uint32_t size; /* sizeof(struct supv_condition_descriptor) */
  const char* name;
  const char* help; /* one sentence: when it is true */
  enum supv_kind kind;
  const struct supv_option* options;
  uint32_t option_count;
  /* Returns the condition, or NULL after writing a message of at most `room` bytes to `error`. */
  void* (*create)(const struct supv_host* host, char* error, size_t room);
  void (*on_event)(void* self, const struct supv_event* event, struct supv_verdict* verdict);
  void (*destroy)(void* self);
  uint32_t flags;       /* supv_flag */
  uint32_t option_size; /* sizeof(struct supv_option): the distance from one option to the next */
};

/* What a plugin exports, also when everything else in it is compiled as hidden. */
extern __attribute__((visibility("default")))
const struct supv_condition_descriptor supv_condition_plugin;

#ifdef __cplusplus
}
#endif
#endif
