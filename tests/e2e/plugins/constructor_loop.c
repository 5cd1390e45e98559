/* Never comes back from being loaded. */
#include "plain.h"

__attribute__((constructor)) static void loop(void) {
  for (volatile unsigned turns = 0;; ++turns) {
  }
}

PLAIN_CONDITION(SUPV_CONDITION_ABI, "constructor_loop");
