#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>

#include "app/load_input.h"
#include "app/supvd_daemon.h"
#include "app/supvd_instance.h"
#include "app/supvd_roles.h"
#include "app/supvd_settings.h"
#include "base/text.h"
#include "brain/peers.h"
#include "config/load.h"
#include "keeper/run_keeper.h"

namespace supv {
namespace {

constexpr int kBadConfiguration = 78;  // EX_CONFIG; systemd knows it too.

bool missing(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) != 0 && errno == ENOENT;
}

/// Reads the configuration and shows what is to be said about it.
Loaded read_configuration(const Settings& settings) {
  if (settings.default_config && missing(settings.configs.front())) {
    std::fprintf(stderr,
                 "%s:1:1: error: there is no configuration here; say supvd -c FILE_OR_DIR\n",
                 printable(settings.configs.front()).c_str());
    return {};
  }
  Loaded loaded = load(load_input(settings.configs));
  std::fputs(render(loaded.diagnostics, isatty(STDERR_FILENO) == 1).c_str(), stderr);
  return loaded;
}

int check(const Settings& settings) {
  const Loaded loaded = read_configuration(settings);
  if (!loaded.ok) return kBadConfiguration;
  std::printf("ok: %zu watch%s\n", loaded.config.watches.size(),
              loaded.config.watches.size() == 1 ? "" : "es");
  return 0;
}

int start(Settings settings) {
  Loaded loaded = read_configuration(settings);
  if (!loaded.ok) return kBadConfiguration;
  const DaemonSpec daemon = std::move(loaded.config.daemon);
  // The keeper lives for years in this process, and has no use for a configuration.
  loaded = {};
  malloc_trim(0);
  if (!settings.log_given && !settings.foreground && !daemon.log.empty() &&
      daemon.log.front() == '/') {
    settings.log = daemon.log;
  }
  Instance instance = claim_instance(settings, socket_mode(daemon));
  if (!settings.foreground) return launch(settings, std::move(instance));
  try {
    const int code = become_keeper(settings, std::move(instance), {});
    // Its directories were made for the question alone, if it was supvctl that has started this.
    const auto folder = std::filesystem::path(settings.socket).parent_path();
    std::error_code ignored;
    if (!settings.probe.empty() && folder.filename().string().starts_with("supv-probe-"))
      std::filesystem::remove_all(folder, ignored);
    return code;
  } catch (const std::exception&) {
    leave_instance(settings);  // Nothing has been started; the socket would only mislead.
    throw;
  }
}

int supvd_main(int argc, char** argv) {
  if (const auto code = run_role(argc, argv)) return *code;
  std::optional<Reborn> before = reborn();
  // A re-executed keeper has its signals blocked, and none of them may be lost now.
  if (!before) reset_process();
  SettingsOr parsed = parse_settings(argc, argv);
  if (!parsed.settings) {
    std::fputs(parsed.text.c_str(), parsed.code == 0 ? stdout : stderr);
    return parsed.code;
  }
  if (before) return resume_keeper(*parsed.settings, std::move(*before));
  return parsed.settings->check ? check(*parsed.settings) : start(std::move(*parsed.settings));
}

}  // namespace
}  // namespace supv

/// supvd: starts supervision, or lives one of the family's roles.
int main(int argc, char** argv) {
  try {
    return supv::supvd_main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "supvd: %s\n", error.what());
    return 1;
  }
}
