#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "keeper/linux_kernel.h"

namespace supv {

/// Re-execution: what one process image hands to the next beside the records, which say the rest.
/// It is a memfd of fixed-size parts with a checksum; its number travels in the environment.
class Rebirth {
 public:
  /// Everything that exec will need is laid out here, while allocating is still allowed.
  Rebirth(std::string path, std::vector<std::string> argv);

  /// Replaces this process image; returns (errno) only when that failed, with everything as before.
  int execute(const LinuxKernel& kernel, std::uint32_t slots, int lock, int listener,
              const rlimit& files);

  /// In the new image: takes the stored descriptors over and says what RLIMIT_NOFILE once was.
  /// Does nothing with a state that is not of this version or damaged.
  static void restore(const Fd& state, LinuxKernel& kernel, std::uint32_t slots);
  static bool original_files(const Fd& state, rlimit& files);

 private:
  int write_state(int memfd, const LinuxKernel& kernel, std::uint32_t slots, int lock, int listener,
                  const rlimit& files, bool keep) const;

  std::string path_;
  std::vector<std::string> argv_text_;
  std::vector<std::string> env_text_;
  std::vector<char*> argv_;
  std::vector<char*> envp_;
  char variable_[32] = {};
};

}  // namespace supv
