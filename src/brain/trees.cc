#include "brain/trees.h"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "base/units.h"
#include "keeper/tag.h"

namespace supv {

namespace {

/// The mount point of cgroup2, from the text of /proc/self/mounts.
std::string cgroup_mount(const std::string& mounts_path) {
  std::ifstream mounts(mounts_path);
  std::string line;
  while (std::getline(mounts, line)) {
    std::istringstream words(line);
    std::string device;
    std::string place;
    std::string type;
    if (words >> device >> place >> type && type == "cgroup2") return place;
  }
  return {};
}

}  // namespace

Trees::Trees(std::function<int(RunId)> pid_of, std::string proc)
    : pid_of_(std::move(pid_of)),
      proc_(std::move(proc)),
      root_(cgroup_mount(proc_ + "/self/mounts")) {
  own_ = cgroup_of(static_cast<int>(::getpid()));
}

std::uint64_t Trees::tag_of(int pid) const {
  std::ifstream limits(fmt::format("{}/{}/limits", proc_, pid));
  std::string line;
  constexpr std::string_view kName = "Max file locks";
  while (std::getline(limits, line)) {
    if (line.rfind(kName, 0) != 0) continue;
    std::istringstream words(line.substr(kName.size()));
    std::string soft;
    std::string hard;
    words >> soft >> hard;
    return parse_unsigned(hard).value_or(0);  // "unlimited": no tag.
  }
  return 0;
}

/// The directory of the process's cgroup; empty when there is no cgroup2 to speak of.
std::string Trees::cgroup_of(int pid) const {
  if (root_.empty()) return {};
  std::ifstream groups(fmt::format("{}/{}/cgroup", proc_, pid));
  std::string line;
  while (std::getline(groups, line)) {
    if (line.rfind("0::/", 0) == 0) return root_ + line.substr(3);
  }
  return {};
}

const RunTree* Trees::tree_of(RunId run) {
  const int pid = pid_of_(run);
  const auto found = known_.find(run);
  if (found != known_.end()) {
    found->second.pid = pid;
    return &found->second;
  }
  if (pid == 0) return nullptr;
  RunTree tree;
  tree.pid = pid;
  if (const std::uint64_t tag = tag_of(pid)) {
    const TagRange range = range_of(tag);
    tree.first_tag = range.low;
    tree.last_tag = range.high;
  }
  tree.cgroup = cgroup_of(pid);
  if (tree.cgroup == own_) tree.cgroup.clear();
  return &known_.emplace(run, std::move(tree)).first->second;
}

bool Trees::is_member(RunId run, int pid) {
  const RunTree* tree = tree_of(run);
  if (tree == nullptr) return false;
  if (pid == tree->pid) return true;
  if (tree->first_tag != 0) {
    const std::uint64_t tag = tag_of(pid);
    if (tag >= tree->first_tag && tag <= tree->last_tag) return true;
  }
  if (tree->cgroup.empty()) return false;
  const std::string cgroup = cgroup_of(pid);
  return cgroup == tree->cgroup || cgroup.rfind(tree->cgroup + "/", 0) == 0;
}

}  // namespace supv
