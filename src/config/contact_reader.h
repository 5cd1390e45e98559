#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/collect.h"
#include "config/reader.h"
#include "core/spec.h"

namespace supv {

/// Reads a `notify`: NAME, a list of them, or {contacts, priority, category}. Empty after an error.
/// Whom it names is checked by check_recipients(), when everything has been read.
std::optional<NotifySpec> read_notify(Reader& reader, const Node& node);

/// Every recipient that read_notify() met must be a contact or a group of contacts.
void check_recipients(Reader& reader, const std::vector<ContactSpec>& contacts);

/// Reads `contacts` and `contact_defaults`.
class ContactReader {
 public:
  explicit ContactReader(Reader& reader) : reader_(reader) {}

  /// The contacts of one file. Its `contact_defaults` apply to them, and below those the ones of
  /// the file that includes it.
  void read(const Document& document, std::vector<ContactSpec>& contacts);
  /// Once all are read: no contact may have the name of a group.
  void check_groups(const std::vector<ContactSpec>& contacts);

 private:
  void read_one(const Document& document, const Entry& entry, std::vector<ContactSpec>& contacts);
  const Entry* kind_of(const Entry& contact);
  void read_groups(const Node& node, ContactSpec& spec);
  void read_options(const Document& document, const Node& contact, const Level& kind,
                    const Node& options, ContactSpec& spec);
  void check_defaults(const Document& document);

  Reader& reader_;
  std::map<std::string, const Node*> names_;   ///< Where each contact is defined.
  std::map<std::string, const Node*> groups_;  ///< Where each group is named first.
};

}  // namespace supv
