#include "brain/account.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "base/units.h"
#include "keeper/wire.h"

namespace supv {

namespace {

constexpr std::size_t kMaxEntry = std::size_t{1} << 20;
constexpr int kMaxGroups = 65536;  // NGROUPS_MAX

/// What getpwnam_r found, with the bytes its pointers point into.
struct Entry {
  struct passwd passwd {};
  std::vector<char> bytes;
};

std::optional<std::uint32_t> parse_id(const std::string& text) {
  const auto number = parse_unsigned(text);
  // The last number is "unchanged" to the kernel.
  if (!number || *number >= std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

/// Calls a get..._r function with more and more room. Returns whether there is such an entry.
template <typename Lookup>
bool look_up(std::vector<char>& bytes, const char* step, const std::string& name, Lookup lookup) {
  for (bytes.resize(1024); bytes.size() <= kMaxEntry; bytes.resize(bytes.size() * 2)) {
    const int error = lookup(bytes.data(), bytes.size());
    if (error == ERANGE) continue;
    // "No such name" is told in many ways (getpwnam(3), ERRORS).
    if (error == 0) return true;
    if (error == ENOENT || error == ESRCH || error == EBADF || error == EPERM) return false;
    throw StartRefused(step, error,
                       fmt::format("cannot look up {} '{}': {}", step, name, std::strerror(error)));
  }
  throw StartRefused(step, ERANGE, fmt::format("the entry of {} '{}' is too large", step, name));
}

std::optional<Entry> find_user(const std::string& text) {
  Entry entry;
  struct passwd* found = nullptr;
  bool answered = look_up(entry.bytes, "uid", text, [&](char* room, std::size_t size) {
    return ::getpwnam_r(text.c_str(), &entry.passwd, room, size, &found);
  });
  const auto number = parse_id(text);
  if ((!answered || found == nullptr) && number) {
    answered = look_up(entry.bytes, "uid", text, [&](char* room, std::size_t size) {
      return ::getpwuid_r(*number, &entry.passwd, room, size, &found);
    });
  }
  if (!answered || found == nullptr) return std::nullopt;
  return entry;
}

gid_t find_group(const std::string& text) {
  std::vector<char> bytes;
  struct group group {};
  struct group* found = nullptr;
  const bool answered = look_up(bytes, "gid", text, [&](char* room, std::size_t size) {
    return ::getgrnam_r(text.c_str(), &group, room, size, &found);
  });
  if (answered && found != nullptr) return group.gr_gid;
  if (const auto number = parse_id(text)) return *number;
  throw StartRefused("gid", 0, fmt::format("no such group '{}'", text));
}

std::vector<gid_t> groups_of(const char* name, gid_t primary) {
  std::vector<gid_t> groups(32);
  int count = static_cast<int>(groups.size());
  while (::getgrouplist(name, primary, groups.data(), &count) < 0) {
    if (count > kMaxGroups)
      throw StartRefused("group_list", E2BIG, "the user is in too many groups");
    // Some versions do not say how much is needed.
    if (static_cast<std::size_t>(count) <= groups.size())
      count = static_cast<int>(groups.size()) * 2;
    groups.resize(static_cast<std::size_t>(count));
  }
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

/// A supvd that is not root and already is who it shall be has nothing to change, and may not.
void keep_what_is(Account& account) {
  if (::geteuid() == 0) return;
  if (account.uid == ::geteuid()) account.set_uid = wire::kKeep;
  if (account.gid == ::getegid()) account.set_gid = wire::kKeep;
  if (account.set_uid == wire::kKeep) account.groups.reset();
}

}  // namespace

Account find_account(const std::string& uid, const std::string& gid) {
  Account account;
  account.uid = ::geteuid();
  account.gid = ::getegid();
  account.set_uid = account.set_gid = wire::kKeep;
  if (uid.empty() && gid.empty()) return account;
  if (uid.empty()) {
    account.gid = account.set_gid = find_group(gid);
    account.groups = std::vector<gid_t>{account.gid};
    if (::geteuid() != 0) account.groups.reset();
    keep_what_is(account);
    return account;
  }
  const std::optional<Entry> entry = find_user(uid);
  const auto number = parse_id(uid);
  if (!entry && !number) throw StartRefused("uid", 0, fmt::format("no such user '{}'", uid));
  if (!entry && gid.empty()) {
    throw StartRefused("gid", 0, fmt::format("user {} has no account, so gid must be given", uid));
  }
  account.uid = account.set_uid = entry ? entry->passwd.pw_uid : *number;
  account.gid = account.set_gid = gid.empty() ? entry->passwd.pw_gid : find_group(gid);
  account.groups =
      entry ? groups_of(entry->passwd.pw_name, account.gid) : std::vector<gid_t>{account.gid};
  const std::string name = entry ? entry->passwd.pw_name : uid;
  const bool has_shell = entry && entry->passwd.pw_shell[0] != '\0';
  account.variables = {{"HOME", entry ? entry->passwd.pw_dir : "/"},
                       {"USER", name},
                       {"LOGNAME", name},
                       {"SHELL", has_shell ? entry->passwd.pw_shell : "/bin/sh"}};
  keep_what_is(account);
  return account;
}

}  // namespace supv
