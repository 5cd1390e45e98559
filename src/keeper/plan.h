#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "keeper/wire.h"

namespace supv {

/// Everything a process is to be started with, and its writing down as a wire::Plan.
struct PlanBuilder {
  std::vector<std::string> paths;  ///< Programs to try in this order; each contains a slash.
  std::vector<std::string> argv;   ///< At least one.
  std::vector<std::string> env;    ///< "NAME=VALUE": the whole environment.
  std::string dir;                 ///< Empty: unchanged.
  std::string chroot;              ///< Empty: none.
  std::string out;                 ///< Opened read-write; empty: /dev/null, or see inherit_output.
  std::string err;                 ///< Empty: the same as out.
  std::vector<std::uint32_t> groups;  ///< Supplementary groups; set whenever uid or gid is.
  std::uint32_t uid = wire::kKeep;
  std::uint32_t gid = wire::kKeep;
  std::uint32_t umask = wire::kKeep;  ///< kKeep: 022.
  bool inherit_output = false;        ///< Without `out`: the keeper's own 1 and 2.
  /// The descriptors beside the spawn become the standard ones, from 0 on, instead of 3, 4, ...
  bool standard_fds = false;

  /// A sealed memfd with the plan. Throws std::system_error; E2BIG above wire::kMaxPlan, EINVAL
  /// for a text with a NUL in it or a plan without program or argv.
  Fd build() const;
};

/// The directories of a PATH, tried in order: "/usr/bin:/bin" and "ls" give "/usr/bin/ls",
/// "/bin/ls". A program with a slash is itself. An empty PATH element is the current directory.
std::vector<std::string> candidate_paths(const std::string& program, const std::string& path);

}  // namespace supv
