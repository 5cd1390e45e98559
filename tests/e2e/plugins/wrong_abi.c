/* Built for an interface that does not exist yet. */
#include "plain.h"

PLAIN_CONDITION(7, "wrong_abi");
