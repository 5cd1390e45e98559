#include "plugin/check_exports.h"

#include <elf.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

namespace supv {
namespace {

constexpr off_t kMostBytes = off_t{64} << 20;

std::string content(int file) {
  struct stat status {};
  if (::fstat(file, &status) < 0 || status.st_size > kMostBytes) return {};
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count =
        ::pread(file, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (count <= 0) return {};
    done += static_cast<std::size_t>(count);
  }
  return bytes;
}

/// A struct at a place that the file names; zero when it does not lie in the file.
template <typename Struct>
Struct at(std::string_view bytes, std::uint64_t offset) {
  Struct copy{};
  if (offset <= bytes.size() && bytes.size() - offset >= sizeof copy)
    std::memcpy(&copy, bytes.data() + offset, sizeof copy);
  return copy;
}

std::string_view name_at(std::string_view bytes, std::uint64_t offset) {
  if (offset >= bytes.size()) return {};
  const std::string_view rest = bytes.substr(offset);
  return rest.substr(0, rest.find('\0'));
}

bool is_exported(const ElfW(Sym) & symbol) {
  const auto binding = symbol.st_info >> 4;
  const auto visibility = symbol.st_other & 3;
  return symbol.st_shndx != SHN_UNDEF && binding != STB_LOCAL &&
         (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}

/// What the linker itself puts into each library.
bool is_linkers(std::string_view name) {
  return name.empty() || name == "_init" || name == "_fini" || name == "_edata" || name == "_end" ||
         name == "__bss_start";
}

}  // namespace

std::vector<std::string> other_exports(int file) {
  std::vector<std::string> names;
  const std::string bytes = content(file);
  const auto head = at<ElfW(Ehdr)>(bytes, 0);
  if (std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_shentsize != sizeof(ElfW(Shdr)))
    return names;
  for (unsigned i = 0; i < head.e_shnum; ++i) {
    const auto section = at<ElfW(Shdr)>(bytes, head.e_shoff + i * sizeof(ElfW(Shdr)));
    if (section.sh_type != SHT_DYNSYM || section.sh_link >= head.e_shnum) continue;
    const auto texts = at<ElfW(Shdr)>(bytes, head.e_shoff + section.sh_link * sizeof(ElfW(Shdr)));
    const std::uint64_t count =
        std::min<std::uint64_t>(section.sh_size, bytes.size()) / sizeof(ElfW(Sym));
    for (std::uint64_t n = 0; n < count; ++n) {
      const auto symbol = at<ElfW(Sym)>(bytes, section.sh_offset + n * sizeof(ElfW(Sym)));
      const std::string_view name = name_at(bytes, texts.sh_offset + symbol.st_name);
      if (is_exported(symbol) && !is_linkers(name) && name != "supv_condition_plugin")
        names.emplace_back(name);
    }
  }
  return names;
}

}  // namespace supv
