#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/pack.h"
#include "base/text.h"
#include "plugin/library.h"
#include "plugin/options.h"

namespace supv {
namespace {

constexpr std::uint32_t kMostOptions = 256;
/// What an option had when ABI 1 began: that of a plugin which does not say.
constexpr std::size_t kFirstOptionSize = offsetof(supv_option, choices) + sizeof(const char*);
constexpr std::size_t kMostText = 4096;
constexpr std::uint32_t kPackVersion = 1;

/// Copies as much of a struct as both sides know; the rest is zero.
template <typename Struct>
Struct known_part(const void* from, std::size_t size) {
  Struct to{};
  std::memcpy(&to, from, std::min(size, sizeof to));
  return to;
}

std::string checked_text(const char* text, const std::string& what) {
  if (text == nullptr) return {};
  const std::size_t size = ::strnlen(text, kMostText);
  if (size == kMostText) throw BadPlugin(what + " is too long");
  std::string copy(text, size);
  if (printable(copy) != copy) throw BadPlugin(what + " has characters that cannot be printed");
  return copy;
}

bool is_name(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !text.empty() && text.size() <= 64 && text.front() >= 'a' && text.front() <= 'z' &&
         std::all_of(text.begin(), text.end(), fits);
}

// What is declared in another process is made there.
void* make_elsewhere(const supv_host*, char* error, std::size_t room) {
  std::snprintf(error, room, "it lives in a process of its own");
  return nullptr;
}
void say_elsewhere(void*, const supv_event*, supv_verdict* verdict) {
  verdict->outcome = SUPV_UNKNOWN;
}
void end_elsewhere(void*) {}

}  // namespace

Declaration::Declaration(const supv_condition_descriptor& descriptor) {
  if (descriptor.abi != SUPV_CONDITION_ABI)
    throw BadPlugin(fmt::format("it was built for ABI {}, this supvd speaks ABI {}", descriptor.abi,
                                SUPV_CONDITION_ABI));
  if (descriptor.size < offsetof(supv_condition_descriptor, flags))
    throw BadPlugin(fmt::format("its descriptor has {} bytes, too few", descriptor.size));
  descriptor_ = known_part<supv_condition_descriptor>(&descriptor, descriptor.size);
  name_ = checked_text(descriptor_.name, "its name");
  if (!is_name(name_))
    throw BadPlugin(
        fmt::format("'{}' cannot be the name of a condition: 1 to 64 of a-z 0-9 _, "
                    "starting with a letter",
                    name_));
  help_ = checked_text(descriptor_.help, "its help");
  if (help_.empty()) throw BadPlugin("it does not say when it is true (help is empty)");
  if (descriptor_.kind != SUPV_POLL && descriptor_.kind != SUPV_EXIT)
    throw BadPlugin(descriptor_.kind == SUPV_CHANGE
                        ? "SUPV_CHANGE is only for conditions that are built in"
                        : fmt::format("there is no kind {}", static_cast<int>(descriptor_.kind)));
  if (descriptor_.create == nullptr || descriptor_.on_event == nullptr ||
      descriptor_.destroy == nullptr)
    throw BadPlugin("one of create, on_event and destroy is null");
  if (descriptor_.option_count > kMostOptions) throw BadPlugin("it has too many options");
  if (descriptor_.option_count > 0 && descriptor_.options == nullptr)
    throw BadPlugin("its options are null");
  const std::size_t step =
      descriptor_.option_size == 0 ? kFirstOptionSize : descriptor_.option_size;
  if (step < offsetof(supv_option, choices) || step > 4096)
    throw BadPlugin(fmt::format("an option of {} bytes makes no sense", step));
  const auto* at = reinterpret_cast<const char*>(descriptor_.options);
  for (std::uint32_t i = 0; i < descriptor_.option_count; ++i, at += step)
    take_option(known_part<supv_option>(at, step));
  point();
}

void Declaration::take_option(const supv_option& option) {
  Texts texts;
  texts.name = checked_text(option.name, "the name of an option");
  if (!is_name(texts.name))
    throw BadPlugin(fmt::format("'{}' cannot be the name of an option", texts.name));
  for (const Texts& other : texts_)
    if (other.name == texts.name) throw BadPlugin(fmt::format("two options '{}'", texts.name));
  const std::string what = fmt::format("option {}: its ", texts.name);
  texts.has_fallback = option.fallback != nullptr;
  texts.fallback = checked_text(option.fallback, what + "default");
  texts.help = checked_text(option.help, what + "help");
  texts.has_choices = option.choices != nullptr;
  texts.choices = checked_text(option.choices, what + "choices");
  if (static_cast<int>(option.type) < SUPV_TEXT || static_cast<int>(option.type) > SUPV_LIST)
    throw BadPlugin(fmt::format("{}type {} is unknown", what, static_cast<int>(option.type)));
  if (texts.help.empty()) throw BadPlugin(what + "help is empty");
  if (option.type == SUPV_CHOICE && texts.choices.empty())
    throw BadPlugin(what + "choices are missing");
  if (option.required != 0 && texts.has_fallback)
    throw BadPlugin(fmt::format("option {} is required and has a default", texts.name));
  // It would be refused at each use.
  if (texts.has_fallback && !reads_as(option.type, texts.fallback, texts.choices))
    throw BadPlugin(fmt::format("{}default '{}' is not of its type", what, texts.fallback));
  texts_.push_back(std::move(texts));
  options_.push_back(option);
}

/// The descriptor and its options show our own copies.
void Declaration::point() {
  descriptor_.abi = SUPV_CONDITION_ABI;
  descriptor_.size = sizeof descriptor_;
  descriptor_.option_size = sizeof(supv_option);
  descriptor_.name = name_.c_str();
  descriptor_.help = help_.c_str();
  for (std::size_t i = 0; i < options_.size(); ++i) {
    options_[i].name = texts_[i].name.c_str();
    options_[i].help = texts_[i].help.c_str();
    options_[i].fallback = texts_[i].has_fallback ? texts_[i].fallback.c_str() : nullptr;
    options_[i].choices = texts_[i].has_choices ? texts_[i].choices.c_str() : nullptr;
  }
  descriptor_.options = options_.empty() ? nullptr : options_.data();
  descriptor_.option_count = static_cast<std::uint32_t>(options_.size());
}

std::string Declaration::pack() const {
  PackWriter out;
  out.number(kPackVersion);
  out.text(name_);
  out.text(help_);
  out.number(static_cast<std::uint32_t>(descriptor_.kind));
  out.number(descriptor_.flags);
  out.number(descriptor_.option_count);
  for (std::size_t i = 0; i < options_.size(); ++i) {
    out.text(texts_[i].name);
    out.text(texts_[i].help);
    out.flag(texts_[i].has_fallback);
    out.text(texts_[i].fallback);
    out.flag(texts_[i].has_choices);
    out.text(texts_[i].choices);
    out.number(static_cast<std::uint32_t>(options_[i].type));
    out.flag(options_[i].required != 0);
  }
  return out.take();
}

Declaration::Declaration(std::string_view packed) {
  PackReader in(packed);
  if (in.number<std::uint32_t>() != kPackVersion)
    throw BadPlugin("its declaration is of another supvd");
  supv_condition_descriptor read{};
  const std::string name = in.text();
  const std::string help = in.text();
  read.kind = static_cast<supv_kind>(in.number<std::uint32_t>());
  read.flags = in.number<std::uint32_t>();
  const auto count = in.number<std::uint32_t>();
  if (!in.ok() || count > kMostOptions) throw BadPlugin("its declaration is damaged");
  std::vector<Texts> texts(count);
  std::vector<supv_option> options(count);
  for (std::uint32_t i = 0; in.ok() && i < count; ++i) {
    texts[i].name = in.text();
    texts[i].help = in.text();
    texts[i].has_fallback = in.flag();
    texts[i].fallback = in.text();
    texts[i].has_choices = in.flag();
    texts[i].choices = in.text();
    options[i].type = static_cast<supv_type>(in.number<std::uint32_t>());
    options[i].required = in.flag() ? 1 : 0;
  }
  if (!in.complete()) throw BadPlugin("its declaration is damaged");
  name_ = name;
  help_ = help;
  texts_ = std::move(texts);
  options_ = std::move(options);
  descriptor_ = read;
  descriptor_.create = make_elsewhere;
  descriptor_.on_event = say_elsewhere;
  descriptor_.destroy = end_elsewhere;
  point();
}

}  // namespace supv
