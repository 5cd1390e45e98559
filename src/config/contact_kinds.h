#pragma once

#include "config/schema.h"

namespace supv {

/// A contact: one key for each kind, a map of that kind's options, and `groups`. Every option with
/// its type, default, help, and whether it must be written.
const Level& contact_level();
/// `contact_defaults`: the kinds alone.
const Level& contact_defaults_level();

}  // namespace supv
