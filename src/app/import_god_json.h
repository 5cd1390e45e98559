#pragma once

#include <string>
#include <string_view>

#include "app/import_god.h"
#include "app/import_god_recording.h"
#include "config/diagnostic.h"

namespace supv::import_god {

/// Reads what import_god.rb printed. Throws std::runtime_error when it is no recording.
Recording parse_recording(std::string_view json);

/// The report of `--json`: what was converted, the YAML, the notes and what the check said of it.
std::string report_json(const Converted& converted, const Recording& recording,
                        const std::vector<Diagnostic>& check, bool ok);

}  // namespace supv::import_god
