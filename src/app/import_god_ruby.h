#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace supv::import_god {

/// import_god.rb, compiled in.
std::string_view recorder_script();

/// Executes god's configuration files with `ruby` from PATH and returns what was recorded, as JSON.
/// What the files print goes to standard error. Throws std::runtime_error with one line when there
/// is no Ruby, when it does not start, or when it ends without a recording; a file that does not
/// come to an end within `limit` is stopped, and everything that it started.
std::string run_recorder(const std::vector<std::string>& files, Duration limit);

}  // namespace supv::import_god
