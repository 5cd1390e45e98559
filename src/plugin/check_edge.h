#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <system_error>

namespace supv {

/// Memory that ends where reading faults: whoever looks behind it is caught in the act.
class Edge {
 public:
  explicit Edge(std::size_t size) : size_(size) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    mapped_ = (size + page - 1) / page * page + page;
    void* memory =
        ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    start_ = static_cast<char*>(memory);
    ::mprotect(start_ + mapped_ - page, page, PROT_NONE);
    end_ = start_ + mapped_ - page;
  }
  ~Edge() { ::munmap(start_, mapped_); }
  Edge(const Edge&) = delete;
  Edge& operator=(const Edge&) = delete;

  /// The last `size` bytes; at most what was asked for.
  char* last(std::size_t size) const { return end_ - size; }
  template <typename Struct>
  Struct* put(const Struct& value, std::size_t size = sizeof(Struct)) const {
    return reinterpret_cast<Struct*>(std::memcpy(last(size), &value, size));
  }
  std::string_view put(std::string_view text) const {
    text = text.substr(0, size_);
    std::memcpy(last(text.size()), text.data(), text.size());
    return {last(text.size()), text.size()};
  }

 private:
  std::size_t size_;
  std::size_t mapped_ = 0;
  char* start_ = nullptr;
  char* end_ = nullptr;
};

}  // namespace supv
