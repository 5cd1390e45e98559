#include "base/check.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace supv {

void check_failed(const char* file, int line, const char* condition) noexcept {
  char number[16];
  char* end = number + sizeof number;
  char* digits = end;
  do {
    *--digits = static_cast<char>('0' + line % 10);
    line /= 10;
  } while (line > 0);
  const auto say = [](const char* text, std::size_t size) {
    [[maybe_unused]] const ssize_t ignored = ::write(2, text, size);
  };
  say(file, std::strlen(file));
  say(":", 1);
  say(digits, static_cast<std::size_t>(end - digits));
  say(": broken invariant: ", 20);
  say(condition, std::strlen(condition));
  say("\n", 1);
  std::abort();
}

}  // namespace supv
