#pragma once

#include <optional>
#include <string>
#include <vector>

namespace supv {

/// Where things are unless flags say otherwise (contract 1): for root under /etc, /run, /var; for
/// anybody else where the XDG variables say.
std::string default_config_dir();
/// `$SUPV_SOCKET`, else the default of this user.
std::string default_socket();
std::string default_state_dir();
std::string default_log_dir();

/// Every place where a supvd of this machine may listen as far as the names tell: root's socket,
/// this user's, those of other users. Used to say where another supvd was found.
std::vector<std::string> other_sockets();

/// Folders of ready-made watches: beside the program's installation prefix, and the source tree's.
std::vector<std::string> watch_dirs();

/// Folders of condition plugins: $SUPV_PLUGIN_PATH, beside the program's installation prefix, and
/// the usual ones.
std::vector<std::string> plugin_dirs();

/// `path` made absolute against the working directory; never resolves symlinks.
std::string absolute_path(const std::string& path);

/// The program's own file, as the kernel names it.
std::string own_program();

}  // namespace supv
