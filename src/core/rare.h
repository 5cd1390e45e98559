#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace supv {

/// An optional value that costs a pointer while it is absent: for what most watches never have.
template <typename Value>
class Rare {
 public:
  Rare() = default;
  Rare(const Rare& other) : value_(other ? std::make_unique<Value>(*other) : nullptr) {}
  Rare(Rare&&) noexcept = default;
  Rare& operator=(const Rare& other) { return *this = Rare(other); }
  Rare& operator=(Rare&&) noexcept = default;
  ~Rare() = default;
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
  friend bool operator==(const Rare& a, const Rare& b) {
    return a.value_ && b.value_ ? *a.value_ == *b.value_ : a.value_ == b.value_;
  }
  /// A copy for a report.
  std::optional<Value> copy() const {
    return value_ ? std::optional<Value>(*value_) : std::nullopt;
  }

 private:
  std::unique_ptr<Value> value_;
};

/// A text that is nearly always empty, and then costs a pointer instead of a string.
class RareText {
 public:
  RareText() = default;
  /// Implicit: it stands where a string stood.
  RareText(std::string text)
      : text_(text.empty() ? nullptr : std::make_unique<const std::string>(std::move(text))) {}
  RareText(const char* text) : RareText(std::string(text)) {}
  RareText(const RareText& other) : RareText(other.text()) {}
  RareText(RareText&&) noexcept = default;
  RareText& operator=(const RareText& other) { return *this = RareText(other.text()); }
  RareText& operator=(RareText&&) noexcept = default;
  ~RareText() = default;

  const std::string& text() const {
    static const std::string kEmpty;
    return text_ ? *text_ : kEmpty;
  }
  operator const std::string&() const { return text(); }
  bool empty() const { return text_ == nullptr; }
  bool starts_with(char c) const { return text_ && text_->starts_with(c); }
  friend bool operator==(const RareText& a, const RareText& b) { return a.text() == b.text(); }

 private:
  std::unique_ptr<const std::string> text_;
};

}  // namespace supv
