#pragma once

#include <supv/condition.h>

#include <string>

#include "host/wire.h"

namespace supv::host {

/// One condition in the host. Used by one thread at a time, not always the same one; every call
/// may take for ever, its destruction too.
class Instance {
 public:
  /// `descriptor` null: there is no such condition. Calls nothing yet.
  Instance(const supv_condition_descriptor* descriptor, Make make);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  /// Makes the condition and, if it wants one, takes its first look.
  void begin();
  /// Makes the condition if that has not been done, and calls it. `said` has id and serial.
  void ask(const Ask& ask, Said& said);

 private:
  void make();
  static const char* option(void* context, const char* name);
  static const char* watch_name(void* context);

  const supv_condition_descriptor* descriptor_;
  Make make_;
  supv_host host_{};
  void* self_ = nullptr;
  std::string failure_;  ///< Why there is no self_.
};

}  // namespace supv::host
