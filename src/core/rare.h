#pragma once

#include <memory>
#include <optional>
#include <utility>

namespace supv {

/// An optional value that costs a pointer while it is absent: for what most watches never have.
template <typename Value>
class Rare {
 public:
  Rare& operator=(Value value) {
    value_ = std::make_unique<Value>(std::move(value));
    return *this;
  }
  explicit operator bool() const { return value_ != nullptr; }
  Value& operator*() { return *value_; }
  const Value& operator*() const { return *value_; }
  Value* operator->() { return value_.get(); }
  const Value* operator->() const { return value_.get(); }
  void reset() { value_.reset(); }
  /// A copy for a report.
  std::optional<Value> copy() const {
    return value_ ? std::optional<Value>(*value_) : std::nullopt;
  }

 private:
  std::unique_ptr<Value> value_;
};

}  // namespace supv
