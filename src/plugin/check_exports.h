#pragma once

#include <string>
#include <vector>

namespace supv {

/// The names that a shared object exports to others, except the one that a plugin must export.
/// Empty for anything that is no shared object of this machine's kind. Never throws for what is in
/// the file.
std::vector<std::string> other_exports(int file);

}  // namespace supv
