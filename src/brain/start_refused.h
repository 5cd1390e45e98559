#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace supv {

/// A run that could not even be described to the keeper; becomes ev::StartFailed.
class StartRefused : public std::runtime_error {
 public:
  /// `step` as in wire::Step's names; `error` is an errno or 0; `text` is for people.
  StartRefused(std::string step, int error, const std::string& text)
      : std::runtime_error(text), step_(std::move(step)), error_(error) {}
  const std::string& step() const { return step_; }
  int error() const { return error_; }

 private:
  std::string step_;
  int error_;
};

}  // namespace supv
