/* Crashes while it is loaded. */
#include <stdlib.h>

#include "plain.h"

__attribute__((constructor)) static void crash(void) { abort(); }

PLAIN_CONDITION(SUPV_CONDITION_ABI, "constructor_crash");
