#pragma once

#include <string>

namespace supv {

/// Makes the creation or renaming of `path` survive a power cut. Errors are ignored: not every
/// file system can do it, and nobody could do better.
void sync_parent(const std::string& path);

}  // namespace supv
