#include "app/supvd_roles.h"

#include <sys/prctl.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "app/load_input.h"
#include "app/supvd_settings.h"
#include "base/units.h"
#include "brain/run_brain.h"
#include "conditions/catalog.h"
#include "courier/courier.h"
#include "gateway/dev_kv.h"
#include "host/run_host.h"
#include "host/run_plugin.h"
#include "plugin/ask.h"
#include "scribe/run_scribe.h"

namespace supv {
namespace {

constexpr int kChannel = 3;
constexpr int kListener = 4;

int brain(int argc, char** argv) {
  SettingsOr parsed = parse_settings(argc, argv);
  if (!parsed.settings) {
    std::fputs(parsed.text.c_str(), stderr);
    return parsed.code;
  }
  Settings& settings = *parsed.settings;
  BrainOptions options;
  options.load = load_input(settings.configs);
  options.socket = settings.socket;
  options.runtime_dir = settings.runtime_dir;
  options.state_dir = settings.state_dir;
  options.log_dir = settings.log_dir;
  options.log_file = settings.log;
  options.log_level = settings.log_level;
  options.log_format = settings.log_format;
  options.version = SUPV_VERSION;
  options.dev = settings.dev;
  options.probe = settings.probe;
  // What -l says stands above `daemon.log`.
  options.foreground = settings.foreground || settings.log_given;
  options.keeper_fd = kChannel;
  options.listener_fd = kListener;
  return run_brain(options);
}

int dev(int argc, char** argv) {
  DevKvOptions options;
  options.report_fd = kChannel;
  for (int i = 0; i + 1 < argc; ++i) {
    if (std::string_view(argv[i]) == "--runtime-dir") options.directory = argv[i + 1];
  }
  return run_dev_kv(options);
}

int plugin(int argc, char** argv) {
  if (argc != 4) return 2;
  PluginHostOptions options;
  options.channel_fd = kChannel;
  options.name = argv[0];
  options.path = argv[1];
  options.limits.user = argv[2];
  options.limits.memory = parse_unsigned(argv[3]).value_or(options.limits.memory);
  options.catalog = builtin_conditions();
  run_plugin_host(options);
}

}  // namespace

std::optional<int> run_role(int argc, char** argv) {
  if (argc < 3 || std::string_view(argv[1]) != "--role") return {};
  const std::string_view role = argv[2];
  prctl(PR_SET_NAME, ("supvd: " + std::string(role)).c_str());
  // What follows `--role NAME` is an ordinary command line.
  if (role == "brain") return brain(argc - 2, argv + 2);
  if (role == "courier") return run_courier(kChannel);
  if (role == "scribe") return run_scribe(kChannel);
  if (role == "host") return run_host(kChannel, builtin_conditions());
  if (role == "plugin") return plugin(argc - 3, argv + 3);
  if (role == "describe") return run_describe({argv + 3, argv + argc});
  if (role == "dev") return dev(argc - 3, argv + 3);
  std::fputs("supvd: no such role\n", stderr);
  return 2;
}

}  // namespace supv
