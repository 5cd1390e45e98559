#include <clocale>
#include <cstdio>
#include <cstring>
#include <exception>

#include "app/supvctl_commands.h"
#include "plugin/ask.h"

/// supvctl: what an operator types.
int main(int argc, char** argv) {
  // Only to know how wide characters are; nothing else may depend on a locale.
  if (std::setlocale(LC_CTYPE, "C.UTF-8") == nullptr) std::setlocale(LC_CTYPE, "");
  try {
    // It looks at a plugin in a process of its own, as supvd does.
    if (argc > 3 && std::strcmp(argv[1], "--role") == 0 && std::strcmp(argv[2], "describe") == 0)
      return supv::run_describe({argv + 3, argv + argc});
    const supv::ctl::Parsed parsed = supv::ctl::parse_command_line(argc, argv);
    if (!parsed.invocation) {
      std::fputs(parsed.text.c_str(), parsed.code == 0 ? stdout : stderr);
      return parsed.code;
    }
    return supv::ctl::run_command(*parsed.invocation);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "supvctl: %s\n", error.what());
    return 1;
  }
}
