#include "keeper/plan.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace supv {
namespace {

[[noreturn]] void refuse(int error, const char* what) {
  throw std::system_error(error, std::generic_category(), what);
}

/// Grows a plan text by text; offsets stay valid because everything counts from the first byte.
class Writer {
 public:
  Writer() : bytes_(sizeof(wire::Plan), '\0') {}

  std::uint32_t text(const std::string& text) {
    if (text.find('\0') != std::string::npos) refuse(EINVAL, "spawn plan: a text contains NUL");
    const std::uint32_t at = here();
    bytes_.append(text.c_str(), text.size() + 1);
    return at;
  }
  std::uint32_t optional_text(const std::string& words) { return words.empty() ? 0 : text(words); }
  std::uint32_t texts(const std::vector<std::string>& list) {
    std::vector<std::uint64_t> cells;
    cells.reserve(list.size() + 1);
    for (const std::string& words : list) cells.push_back(text(words));
    cells.push_back(0);
    return array(cells.data(), cells.size() * sizeof cells[0]);
  }
  std::uint32_t array(const void* from, std::size_t size) {
    bytes_.append((8 - bytes_.size() % 8) % 8, '\0');
    const std::uint32_t at = here();
    bytes_.append(static_cast<const char*>(from), size);
    return at;
  }
  std::string finish(wire::Plan plan) {
    bytes_.push_back('\0');
    plan.magic = wire::kPlanMagic;
    plan.size = here();
    std::memcpy(bytes_.data(), &plan, sizeof plan);
    return std::move(bytes_);
  }

 private:
  std::uint32_t here() const {
    if (bytes_.size() > wire::kMaxPlan) refuse(E2BIG, "spawn plan");
    return static_cast<std::uint32_t>(bytes_.size());
  }
  std::string bytes_;
};

std::uint32_t count(const std::vector<std::string>& list) {
  return static_cast<std::uint32_t>(std::min<std::size_t>(list.size(), wire::kMaxPlan));
}

Fd sealed_memfd(const std::string& bytes) {
  constexpr unsigned kNoExecSeal = 8;  // MFD_NOEXEC_SEAL, 6.3; some hosts insist on it.
  int raw = ::memfd_create("supv-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING | kNoExecSeal);
  if (raw < 0 && errno == EINVAL)
    raw = ::memfd_create("supv-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  Fd fd(check_sys(raw, "memfd_create"));
  std::size_t done = 0;
  while (done < bytes.size())
    done += static_cast<std::size_t>(check_sys(
        ::pwrite(fd.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done)),
        "write spawn plan"));
  check_sys(
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL),
      "seal spawn plan");
  return fd;
}

}  // namespace

Fd PlanBuilder::build() const {
  if (paths.empty() || argv.empty()) refuse(EINVAL, "spawn plan: nothing to execute");
  Writer writer;
  wire::Plan plan{};
  plan.path_count = count(paths);
  plan.paths = writer.texts(paths);
  plan.argc = count(argv);
  plan.argv = writer.texts(argv);
  plan.envc = count(env);
  plan.envp = writer.texts(env);
  plan.dir = writer.optional_text(dir);
  plan.chroot = writer.optional_text(chroot);
  plan.out = writer.optional_text(out);
  plan.err = writer.optional_text(err);
  plan.group_count = static_cast<std::uint32_t>(groups.size());
  plan.groups = writer.array(groups.data(), groups.size() * sizeof(std::uint32_t));
  plan.uid = uid;
  plan.gid = gid;
  plan.umask = umask;
  plan.flags = (inherit_output ? wire::kInherit : 0) | (standard_fds ? wire::kStandard : 0);
  return sealed_memfd(writer.finish(plan));
}

std::vector<std::string> candidate_paths(const std::string& program, const std::string& path) {
  if (program.find('/') != std::string::npos) return {program};
  std::vector<std::string> paths;
  std::size_t from = 0;
  while (true) {
    const std::size_t colon = path.find(':', from);
    std::string dir = path.substr(from, colon - from);
    paths.push_back((dir.empty() ? "." : dir) + "/" + program);
    if (colon == std::string::npos) return paths;
    from = colon + 1;
  }
}

}  // namespace supv
