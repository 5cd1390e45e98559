#include "app/supvd_settings.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "app/places.h"
#include "base/text.h"
#include "keeper/wire.h"

namespace supv {
namespace {

constexpr const char* kFlags[] = {"--config",    "--foreground",  "--check",      "--dev",
                                  "--log",       "--log-level",   "--log-format", "--socket",
                                  "--state-dir", "--runtime-dir", "--log-dir",    "--pid-file",
                                  "--version",   "--max-watches", "--wait-ready", "--help"};

void add_flags(CLI::App& app, Settings& settings) {
  app.add_option("-c,--config", settings.configs, "Watch file, or a folder of *.watch.yaml")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag("-D,--foreground", settings.foreground, "Do not go to the background");
  app.add_flag("--check", settings.check, "Check the configuration and exit (0 or 78)");
  app.add_flag("--dev", settings.dev, "Run a Consul-compatible KV to try things with");
  app.add_option("-l,--log", settings.log, "supvd's own log");
  app.add_option("--log-level", settings.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  app.add_option("--log-format", settings.log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
  app.add_option("--socket", settings.socket, "Control socket ($SUPV_SOCKET)");
  app.add_option("--runtime-dir", settings.runtime_dir, "Records, FIFOs (SOCKET.d)");
  app.add_option("--state-dir", settings.state_dir, "Durable state ($SUPV_STATE_DIR)");
  app.add_option("--log-dir", settings.log_dir, "Captured output");
  app.add_option("-P,--pid-file", settings.pid_file, "Where to write supvd's pid");
  app.add_option("--max-watches", settings.max_watches, "Processes at a time")
      ->check(CLI::Range(1U, wire::kMaxSlots - 256));
  app.add_flag("--wait-ready", settings.wait_ready,
               "Return when every watch is ready; 1 if one fails");
  app.add_option("--probe", settings.probe)->group("");  // For supvctl probe.
  app.set_version_flag("--version", "supvd " SUPV_VERSION);
}

/// A flag that is nearly one of ours.
std::string suggestion(int argc, char** argv) {
  const std::vector<std::string_view> known(std::begin(kFlags), std::end(kFlags));
  for (int i = 1; i < argc; ++i) {
    const std::string_view word =
        std::string_view(argv[i]).substr(0, std::string_view(argv[i]).find('='));
    if (word.compare(0, 2, "--") != 0) continue;
    const std::string_view near = nearest_word(word, known);
    if (!near.empty() && near != word) return fmt::format("; did you mean {}?", near);
  }
  return "";
}

void make_absolute(std::string& path) {
  if (!path.empty()) path = absolute_path(path);
}

Settings complete(Settings settings) {
  settings.default_config = settings.configs.empty();
  if (settings.default_config) settings.configs.push_back(default_config_dir());
  for (std::string& path : settings.configs) make_absolute(path);
  if (settings.socket.empty()) settings.socket = default_socket();
  make_absolute(settings.socket);
  if (settings.runtime_dir.empty()) settings.runtime_dir = settings.socket + ".d";
  if (settings.state_dir.empty()) settings.state_dir = default_state_dir();
  if (settings.log_dir.empty()) settings.log_dir = default_log_dir();
  make_absolute(settings.runtime_dir);
  make_absolute(settings.state_dir);
  make_absolute(settings.log_dir);
  make_absolute(settings.pid_file);
  make_absolute(settings.log);
  settings.log_given = !settings.log.empty();
  if (getpid() == 1 || std::getenv("NOTIFY_SOCKET") != nullptr) settings.foreground = true;
  if (!settings.log_given && !settings.foreground) settings.log = settings.log_dir + "/supvd.log";
  return settings;
}

}  // namespace

SettingsOr parse_settings(int argc, char** argv) {
  Settings settings;
  CLI::App app("Supervise processes", "supvd");
  add_flags(app, settings);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return {{}, 0, app.help()};
  } catch (const CLI::CallForVersion&) {
    return {{}, 0, "supvd " SUPV_VERSION "\n"};
  } catch (const CLI::ParseError& error) {
    return {{},
            2,
            fmt::format("supvd: {}{}\nsupvd --help tells more\n", printable(error.what()),
                        suggestion(argc, argv))};
  }
  return {complete(std::move(settings)), 0, {}};
}

std::vector<std::string> to_arguments(const Settings& settings) {
  std::vector<std::string> arguments = {"--socket",      settings.socket,  //
                                        "--runtime-dir", settings.runtime_dir,
                                        "--state-dir",   settings.state_dir,  //
                                        "--log-dir",     settings.log_dir};
  const auto add = [&arguments](const char* flag, const std::string& value) {
    if (!value.empty()) arguments.insert(arguments.end(), {flag, value});
  };
  if (!settings.default_config) {
    for (const std::string& path : settings.configs) add("--config", path);
  }
  if (settings.log_given) add("--log", settings.log);
  add("--log-level", settings.log_level);
  add("--log-format", settings.log_format);
  add("--pid-file", settings.pid_file);
  if (settings.max_watches) add("--max-watches", std::to_string(*settings.max_watches));
  if (settings.foreground) arguments.emplace_back("--foreground");
  if (settings.dev) arguments.emplace_back("--dev");
  add("--probe", settings.probe);
  return arguments;
}

}  // namespace supv
