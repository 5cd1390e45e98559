#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace supv {

/// Builds a message for another process of the same binary: plain integers in the host's order and
/// length-prefixed texts.
class PackWriter {
 public:
  template <typename Number>
  void number(Number value) {
    static_assert(std::is_integral_v<Number> || std::is_enum_v<Number>);
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out_.append(bytes, sizeof value);
  }
  void flag(bool value) { number(static_cast<std::uint8_t>(value)); }
  void text(std::string_view value) {
    number(static_cast<std::uint32_t>(value.size()));
    out_.append(value);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

/// Reads what PackWriter wrote, believing nothing: after the first thing that does not fit
/// everything is zero or empty and complete() is false.
class PackReader {
 public:
  explicit PackReader(std::string_view in) : in_(in) {}

  template <typename Number>
  Number number() {
    static_assert(std::is_integral_v<Number>);
    Number value{};
    if (!has(sizeof value)) return value;
    std::memcpy(&value, in_.data(), sizeof value);
    in_.remove_prefix(sizeof value);
    return value;
  }
  /// A byte other than 0 and 1 does not fit.
  bool flag() {
    const auto value = number<std::uint8_t>();
    if (value > 1) ok_ = false;
    return value == 1;
  }
  std::string text() {
    const auto size = number<std::uint32_t>();
    if (!has(size)) return {};
    std::string value(in_.substr(0, size));
    in_.remove_prefix(size);
    return value;
  }
  bool ok() const { return ok_; }
  bool complete() const { return ok_ && in_.empty(); }

 private:
  bool has(std::size_t size) {
    if (in_.size() < size) ok_ = false;
    if (!ok_) in_ = {};
    return ok_;
  }

  std::string_view in_;
  bool ok_ = true;
};

}  // namespace supv
