#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/units.h"

/// Who is told, and how, as plain comparable values. Written by config/, read by core/ and brain/.
namespace supv {

/// One contact: a kind, and what that kind wants to know.
struct ContactSpec {
  std::string name;
  std::string kind;  ///< "email", "webhook", "slack", ...
  std::vector<std::string> groups;
  /// Every declared option of the kind in the order of its declaration, defaults filled in, as
  /// text; lists are joined by '\n', maps are lines of "NAME: VALUE". May hold secrets.
  std::vector<std::pair<std::string, std::string>> options;
  bool operator==(const ContactSpec&) const = default;
};

}  // namespace supv
