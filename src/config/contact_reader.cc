#include "config/contact_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "config/contact_checks.h"
#include "config/contact_kinds.h"

namespace supv {
namespace {

constexpr std::size_t kMaxContacts = 1000;
constexpr std::string_view kNameHelp = "1 to 64 of A-Z a-z 0-9 _ . -, not starting with . or -";

Key notify_key(std::string_view name, KeyType type, std::string_view help) {
  return {name, type, help};
}
const std::array kNotify = {
    notify_key("contacts", KeyType::texts, "Contacts, or groups of them."),
    notify_key("priority", KeyType::text, "A word that is passed on."),
    notify_key("category", KeyType::text, "A word that is passed on."),
};
const Level kNotifyLevel = {"notify", kNotify};

void read_names(Reader& reader, const Node& node, std::vector<std::string>& out) {
  if (!node.is_list()) {
    std::vector<std::string> one;
    reader.texts(node, one);
    for (std::string& name : one) {
      reader.mention(node, name);
      out.push_back(std::move(name));
    }
    return;
  }
  if (node.items.empty()) reader.error(node, "nobody is named here");
  for (const Node* item : node.items) {
    if (reader.require(*item, Node::Kind::scalar, "the name of a contact"))
      read_names(reader, *item, out);
  }
}

}  // namespace

std::optional<NotifySpec> read_notify(Reader& reader, const Node& node) {
  NotifySpec spec;
  if (node.is_map()) {
    const Fields fields(reader, node, kNotifyLevel);
    const Node* contacts = fields.find("contacts");
    if (contacts == nullptr) {
      reader.error(node, "'contacts' is missing", "write who is told: {contacts: [ops]}");
      return std::nullopt;
    }
    read_names(reader, *contacts, spec.contacts);
    std::string word;
    if (const Node* priority = fields.find("priority")) reader.text(*priority, word);
    spec.priority = std::exchange(word, {});
    if (const Node* category = fields.find("category")) reader.text(*category, word);
    spec.category = std::move(word);
  } else {
    read_names(reader, node, spec.contacts);
  }
  if (spec.contacts.empty()) return std::nullopt;
  return spec;
}

void check_recipients(Reader& reader, const std::vector<ContactSpec>& contacts) {
  std::set<std::string_view> names;
  for (const ContactSpec& contact : contacts) {
    names.insert(contact.name);
    names.insert(contact.groups.begin(), contact.groups.end());
  }
  const std::vector<std::string_view> known(names.begin(), names.end());
  for (const auto& [node, name] : reader.mentions()) {
    if (reader.report().full()) return;
    if (names.count(name) > 0) continue;
    if (known.empty()) {
      reader.error(*node, fmt::format("there is no contact '{}'", name),
                   "define it: contacts: {NAME: {KIND: {…}}}");
    } else {
      reader.unknown(*node, fmt::format("there is no contact or group of contacts '{}'", name),
                     name, known);
    }
  }
}

void ContactReader::read(const Document& document, std::vector<ContactSpec>& contacts) {
  reader_.expander().enter(&document.scope, "");
  check_defaults(document);
  const Node* map = document.find("contacts");
  if (map == nullptr || map->kind == Node::Kind::null) return;
  if (!reader_.require(*map, Node::Kind::map, "a map of names to contacts")) return;
  for (const Entry& entry : map->entries) {
    if (reader_.report().full()) return;
    if (contacts.size() >= kMaxContacts) {
      reader_.error(*entry.key, fmt::format("there can be {} contacts", kMaxContacts));
      return;
    }
    read_one(document, entry, contacts);
  }
}

void ContactReader::check_defaults(const Document& document) {
  const Node* map = document.find("contact_defaults");
  if (map == nullptr || map->kind == Node::Kind::null) return;
  if (!reader_.require(*map, Node::Kind::map, "a map of kinds to options")) return;
  const Fields fields(reader_, *map, contact_defaults_level());
  for (const Key& kind : contact_defaults_level().keys) {
    const Node* options = fields.find(kind.name);
    if (options == nullptr || !reader_.require(*options, Node::Kind::map, "a map of options"))
      continue;
    const Fields checked(reader_, *options, *kind.level);
    for (const Key& key : kind.level->keys) {
      if (const Node* node = checked.find(key.name)) read_contact_option(reader_, key, *node);
    }
  }
}

void ContactReader::read_one(const Document& document, const Entry& entry,
                             std::vector<ContactSpec>& contacts) {
  ContactSpec spec;
  spec.name = entry.key->text;
  if (!valid_name(spec.name)) {
    reader_.error(*entry.key, fmt::format("'{}' cannot be the name of a contact", spec.name),
                  std::string(kNameHelp));
    return;
  }
  const auto [first, fresh] = names_.emplace(spec.name, entry.key);
  if (!fresh) {
    Diagnostic diagnostic;
    diagnostic.place = entry.key->place();
    diagnostic.text = fmt::format("contact '{}' is defined twice", spec.name);
    diagnostic.related = first->second->place();
    diagnostic.related_text = "first time here";
    reader_.report().add(std::move(diagnostic));
  }
  if (!reader_.require(*entry.value, Node::Kind::map, "a map, like {webhook: {url: …}}")) return;
  const Fields fields(reader_, *entry.value, contact_level());
  if (const Node* groups = fields.find("groups")) read_groups(*groups, spec);
  const Entry* kind = kind_of(entry);
  if (kind == nullptr) return;
  spec.kind = kind->key->text;
  if (!reader_.require(*kind->value, Node::Kind::map, "a map of options")) return;
  const auto& kinds = contact_defaults_level().keys;
  const auto level = std::find_if(kinds.begin(), kinds.end(),
                                  [&](const Key& key) { return key.name == spec.kind; });
  read_options(document, *kind->key, *level->level, *kind->value, spec);
  if (fresh) contacts.push_back(std::move(spec));
}

/// The one entry that is a kind, or null after an error.
const Entry* ContactReader::kind_of(const Entry& contact) {
  const auto kinds = key_names(contact_defaults_level());
  const Entry* found = nullptr;
  bool unknown = false;
  for (const Entry& entry : contact.value->entries) {
    const std::string& name = entry.key->text;
    const bool is_kind = std::find(kinds.begin(), kinds.end(), name) != kinds.end();
    unknown = unknown || (!is_kind && name != "groups");
    if (!is_kind || (entry.value->kind == Node::Kind::null && !entry.value->is_empty())) continue;
    if (found != nullptr) {
      reader_.error(*entry.key,
                    fmt::format("a contact is of one kind: '{}' or '{}'", found->key->text, name),
                    "make two contacts, and a group of both");
      return nullptr;
    }
    found = &entry;
  }
  // An unknown key was meant to be the kind, and has been reported.
  if (found == nullptr && !unknown) {
    reader_.error(*contact.key, fmt::format("contact '{}' has no kind", contact.key->text),
                  fmt::format("one of {}", fmt::join(kinds, ", ")));
  }
  return found != nullptr && found->value->is_empty() ? nullptr : found;
}

void ContactReader::read_groups(const Node& node, ContactSpec& spec) {
  reader_.texts(node, spec.groups);
  for (const std::string& group : spec.groups) {
    groups_.emplace(group, &node);
    if (!valid_name(group)) {
      reader_.error(node, fmt::format("'{}' cannot be the name of a group", group),
                    std::string(kNameHelp));
    }
  }
}

void ContactReader::check_groups(const std::vector<ContactSpec>& contacts) {
  for (const ContactSpec& contact : contacts) {
    const auto group = groups_.find(contact.name);
    if (group == groups_.end()) continue;
    reader_.error(*group->second,
                  fmt::format("the group '{}' is also the name of a contact", contact.name));
  }
}

void ContactReader::read_options(const Document& document, const Node& contact, const Level& kind,
                                 const Node& options, ContactSpec& spec) {
  const Fields fields(reader_, options, kind);
  ContactOptions written;
  for (const Key& key : kind.keys) {
    const Node* node = fields.find(key.name);
    // What this file's defaults do not say, those of the file that includes it do.
    for (const Document* at = &document; node == nullptr && at != nullptr; at = at->includer) {
      const Node* defaults = at->find("contact_defaults");
      if (defaults == nullptr || !defaults->is_map()) continue;
      const Node* of_kind = defaults->find(spec.kind);
      const Node* value =
          of_kind != nullptr && of_kind->is_map() ? of_kind->find(key.name) : nullptr;
      if (value != nullptr && value->kind != Node::Kind::null) node = value;
    }
    if (node == nullptr && key.required) {
      reader_.error(contact, fmt::format("'{}' needs '{}'", spec.kind, key.name),
                    std::string(key.help));
    }
    written.emplace(key.name, node);
    spec.options.emplace_back(
        key.name, node == nullptr ? default_of(key) : read_contact_option(reader_, key, *node));
  }
  check_contact(reader_, contact, written, spec);
}

}  // namespace supv
