/* Leaves a process behind while it is loaded. */
#include <unistd.h>

#include "plain.h"

__attribute__((constructor)) static void stay(void) {
  if (fork() != 0) return;
  for (;;) pause();
}

PLAIN_CONDITION(SUPV_CONDITION_ABI, "constructor_fork");
