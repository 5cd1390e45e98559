#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace supv {

/// supvd's command line with every default filled in. All paths are absolute.
struct Settings {
  std::vector<std::string> configs;
  bool default_config = false;  ///< Nobody said -c.
  bool foreground = false;
  bool check = false;
  bool dev = false;
  bool wait_ready = false;
  std::string log;         ///< Empty: standard error.
  bool log_given = false;  ///< By -l: what the configuration says about it does not count.
  std::string log_level;
  std::string log_format;
  std::string socket;
  std::string runtime_dir;
  std::string state_dir;
  std::string log_dir;
  std::string pid_file;
  std::optional<std::uint32_t> max_watches;
  std::string probe;  ///< Only this watch is there, to be asked about; nothing is started.
};

/// What the command line came to: settings, or text to print and a code to exit with.
struct SettingsOr {
  std::optional<Settings> settings;
  int code = 0;
  std::string text;
};

/// Understands a command line; errors have code 2.
SettingsOr parse_settings(int argc, char** argv);

/// The command line that gives these settings again, wherever it is run: for a re-executed keeper
/// and for brains. Without the program's name.
std::vector<std::string> to_arguments(const Settings& settings);

}  // namespace supv
