/* Its file is not called as it is. */
#include "plain.h"

PLAIN_CONDITION(SUPV_CONDITION_ABI, "other_name");
