#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "brain/environment.h"

namespace supv {

/// Who a run is.
struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
  /// What the child must change; wire::kKeep: nothing (supvd is that user already).
  std::uint32_t set_uid = 0;
  std::uint32_t set_gid = 0;
  std::optional<std::vector<gid_t>> groups;  ///< Supplementary groups to set; none: unchanged.
  /// HOME, USER, LOGNAME and SHELL; empty when no `uid` was given.
  Environment variables;
};

/// Finds the account for `uid` and `gid` as a watch file writes them: names, numbers or empty.
/// Reads the machine's account data base. Throws StartRefused (step "uid" or "gid").
Account find_account(const std::string& uid, const std::string& gid);

}  // namespace supv
