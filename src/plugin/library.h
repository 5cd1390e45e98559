#pragma once

#include <supv/condition.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace supv {

/// A plugin cannot be used; what() says why in one line, without its path.
class BadPlugin : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What a plugin declares, in memory of our own. Never copied: the descriptor points into it.
class Declaration {
 public:
  /// `descriptor` as the plugin has it: its structs may be shorter or longer than ours. Throws
  /// BadPlugin for another ABI, with both numbers, and for a declaration that makes no sense.
  explicit Declaration(const supv_condition_descriptor& descriptor);
  Declaration(const Declaration&) = delete;
  Declaration& operator=(const Declaration&) = delete;

  /// In our own layout; the functions are the plugin's.
  const supv_condition_descriptor& descriptor() const { return descriptor_; }

  /// For another process: everything but the functions.
  std::string pack() const;
  /// What pack() gave, with functions that only say they are elsewhere. Throws BadPlugin for
  /// anything else.
  explicit Declaration(std::string_view packed);

 private:
  struct Texts {
    std::string name, fallback, help, choices;
    bool has_fallback = false;
    bool has_choices = false;
  };
  void take_option(const supv_option& option);
  void point();

  std::string name_;
  std::string help_;
  std::vector<Texts> texts_;
  std::vector<supv_option> options_;
  supv_condition_descriptor descriptor_{};
};

/// The name a plugin's file must have for its condition: "queue.so" is the condition "queue".
/// Empty: this cannot be the file of a plugin.
std::string plugin_name(std::string_view path);

/// Opens a plugin's file for dlopen, which then gets "/proc/self/fd/N". Refuses, with BadPlugin,
/// what somebody else could have put or changed there: every directory on the way and the file
/// must belong to root or to this user, and nobody else may write to them.
Fd open_plugin(const std::string& path);

/// Loads a plugin, which runs its code: only in a process that may be lost. Never unloaded: what a
/// C++ library leaves behind at dlclose is a trap. `path` is where it is opened. Throws BadPlugin.
void* load_library(const std::string& path);

/// The descriptor that a loaded plugin exports. Throws BadPlugin.
const supv_condition_descriptor& exported_descriptor(void* library);

/// Throws BadPlugin when a plugin of this ABI is not called `name`, as its file is.
void check_name(const supv_condition_descriptor& descriptor, std::string_view name);

/// The three of them.
const supv_condition_descriptor& load_plugin(const std::string& path, std::string_view name);

}  // namespace supv
