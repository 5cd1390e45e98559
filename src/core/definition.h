#pragma once

#include "core/report.h"
#include "core/spec.h"

namespace supv {

/// What a watch's definition says, in the words of the file: each key that differs from its default
/// with its value, in the order of the contract; `start` and how it is stopped always. Values of
/// `env` are left out: they may be secrets.
std::vector<Setting> definition_of(const WatchSpec& spec);

}  // namespace supv
