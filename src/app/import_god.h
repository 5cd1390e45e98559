#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/import_god_recording.h"

/// god's configuration as a watch file of supv.
namespace supv::import_god {

/// Something that a person should know about a conversion.
struct Note {
  enum class Kind : std::uint8_t {
    lost,     ///< Could not be expressed.
    changed,  ///< Is expressed, and means something else.
    review,   ///< Is expressed by a guess.
  };
  Kind kind = Kind::review;
  std::string watch;  ///< Empty: of the whole.
  std::string text;   ///< One line.
  Spot spot;          ///< `file` is empty when it has no place.
};

struct Converted {
  std::string yaml;
  std::vector<Note> notes;  ///< In the order of the files.
  std::vector<std::string> watches;
  std::vector<std::string> tasks;
  std::vector<std::string> contacts;
  bool secrets = false;  ///< The YAML holds passwords or tokens.
};

/// Converts everything that was recorded. Never throws for what a file says.
Converted convert(const Recording& recording);

}  // namespace supv::import_god
