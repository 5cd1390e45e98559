#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What god's configuration files said when they were executed, as plain values. Made by
/// import_god.rb, read by the conversion.
namespace supv::import_god {

/// A line of a user's file.
struct Spot {
  std::string file;
  std::size_t line = 0;
};

struct ValuePair;

/// A Ruby value.
struct Value {
  enum class Kind {
    nothing,
    boolean,
    number,
    text,
    symbol,
    list,
    map,
    code,      ///< A lambda or method; `text` is its source, empty when it is not known.
    timeline,  ///< God::Timeline; `number` is its size.
    object,    ///< Anything else; `text` is its class.
  };
  Kind kind = Kind::nothing;
  bool truth = false;
  double number = 0;
  std::string text;
  std::vector<Value> items;
  std::vector<ValuePair> pairs;
  std::vector<std::string> prelude;  ///< code: Ruby that gives it what it uses of its surroundings.
  std::vector<std::string> unsure;   ///< code: names in it that could not be taken along.
  Spot spot;                         ///< code

  bool is(Kind wanted) const { return kind == wanted; }
  bool present() const { return kind != Kind::nothing; }
  /// Text or symbol.
  bool is_word() const { return kind == Kind::text || kind == Kind::symbol; }
};

/// An entry of a Ruby hash.
struct ValuePair {
  Value key;
  Value value;
};

using Attributes = std::vector<std::pair<std::string, Value>>;

/// The attribute's value; one of Kind::nothing when it was not set.
const Value& attribute(const Attributes& attributes, std::string_view name);

struct Part;

/// A condition, behavior or contact.
struct Thing {
  std::string kind;      ///< As the file names it: "memory_usage".
  bool custom = false;   ///< Its class is the file's own.
  bool unknown = false;  ///< God has no such class.
  Attributes attributes;
  Attributes methods;       ///< Of a custom class: name to source.
  std::vector<Part> parts;  ///< Of `complex`.
  Spot spot;

  const Value& get(std::string_view name) const { return attribute(attributes, name); }
};

/// A part of god's `complex`; `op` is this, and, or, and_not or or_not.
struct Part {
  std::string op;
  Thing condition;
};

/// The conditions of one start_if, transition or lifecycle.
struct Metric {
  std::vector<std::string> from;  ///< Empty: lifecycle.
  Value to;                       ///< A symbol, a map of booleans to symbols, or nothing.
  std::vector<Thing> conditions;
  Spot spot;
};

/// `w.keepalive(...)`.
struct Keepalive {
  Attributes options;
  Spot spot;
};

struct RecordedWatch {
  bool task = false;
  Attributes attributes;
  std::vector<std::pair<std::string, std::size_t>> lines;  ///< Where attributes were set.
  std::vector<Thing> behaviors;
  std::vector<Metric> metrics;
  std::vector<Keepalive> keepalives;
  Spot spot;

  const Value& get(std::string_view name) const { return attribute(attributes, name); }
  /// The line that set the attribute; the watch's own when none did.
  Spot where(std::string_view name) const;
};

struct Setting {
  std::string name;
  Value value;
  Spot spot;
};

struct Remark {
  std::string text;
  Spot spot;
};

struct Recording {
  std::vector<Setting> globals;  ///< God.xxx = ...
  std::vector<RecordedWatch> watches;
  std::vector<Thing> contacts;
  std::vector<Thing> contact_defaults;  ///< `kind` is the class: "Email".
  std::vector<Remark> notes;
  std::vector<Remark> errors;  ///< Why god would not have started; then nothing is converted.
  std::vector<std::string> files;
  std::string diplomat_url;
  std::string home;
  bool root = false;
};

}  // namespace supv::import_god
