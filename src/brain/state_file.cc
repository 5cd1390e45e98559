#include "brain/state_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/hash.h"
#include "brain/sync_parent.h"

namespace supv {
namespace {

constexpr std::uint32_t kMagic = 0x53565331;  // "SVS1"
constexpr std::uint32_t kMaxSlots = 256 * 1024;
constexpr std::uint32_t kChunk = 64;  // Slots that the file grows by.
// Not a secret: only accidents have to be noticed here.
constexpr HashKey kChecksumKey{0x73757076'73746174, 0x65206669'6c652031};

struct Header {
  std::uint32_t magic;
  std::uint16_t key_size;
  std::uint16_t text_size;  // In this slot.
  std::uint16_t part;
  std::uint16_t parts;
  std::uint32_t total;  // Of the whole text; 0: the key was dropped.
  std::uint64_t sequence;
  std::uint64_t checksum;  // Last: of the slot with this field 0.
};
static_assert(sizeof(Header) == 32);

using Bytes = std::array<char, StateFile::kSlot>;

std::size_t room_beside(std::size_t key_size) {
  return StateFile::kSlot - sizeof(Header) - key_size;
}

std::size_t parts_of(std::size_t key_size, std::size_t text_size) {
  const std::size_t room = room_beside(key_size);
  return std::max<std::size_t>(1, (text_size + room - 1) / room);
}

off_t offset_of(std::uint32_t slot) {
  return static_cast<off_t>(slot) * static_cast<off_t>(StateFile::kSlot);
}

Header header_of(const Bytes& bytes) {
  Header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  return header;
}

std::uint64_t checksum_of(Bytes bytes) {
  Header header = header_of(bytes);
  header.checksum = 0;
  std::memcpy(bytes.data(), &header, sizeof header);
  return keyed_hash(kChecksumKey, {bytes.data(), bytes.size()}).low;
}

bool is_whole(const Bytes& bytes) {
  const Header header = header_of(bytes);
  return header.magic == kMagic && header.key_size > 0 && header.key_size <= StateFile::kMaxKey &&
         header.text_size <= room_beside(header.key_size) && header.total <= StateFile::kMaxText &&
         header.parts == parts_of(header.key_size, header.total) && header.part < header.parts &&
         header.checksum == checksum_of(bytes);
}

std::string in_words(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

}  // namespace

/// What lies in the file: per key and sequence number the slots of one text.
struct StateFile::Scan {
  struct Text {
    Chain slots;  // By part.
    std::vector<std::string> pieces;
    std::uint32_t total = 0;
    std::size_t missing = 0;
    std::string join() const;
  };
  std::map<std::string, std::map<std::uint64_t, Text>> texts;
  Chain junk;    // Hold nothing whole.
  Chain copies;  // Hold something whole that is there twice: nothing we ever wrote.

  void add(std::uint32_t slot, const Bytes& bytes);
};

std::string StateFile::Scan::Text::join() const {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

void StateFile::Scan::add(std::uint32_t slot, const Bytes& bytes) {
  if (!is_whole(bytes)) return junk.push_back(slot);
  const Header header = header_of(bytes);
  const char* at = bytes.data() + sizeof header;
  Text& text = texts[std::string(at, header.key_size)][header.sequence];
  if (text.slots.empty()) {
    text.slots.resize(header.parts, kMaxSlots);
    text.pieces.resize(header.parts);
    text.total = header.total;
    text.missing = header.parts;
  }
  if (header.parts != text.slots.size() || header.total != text.total ||
      text.slots[header.part] != kMaxSlots) {
    return copies.push_back(slot);
  }
  text.slots[header.part] = slot;
  text.pieces[header.part].assign(at + header.key_size, header.text_size);
  --text.missing;
}

StateFile::StateFile(const std::string& path)
    : fd_(check_sys(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600), path.c_str())) {
  struct stat status {};
  check_sys(::fstat(fd_.get(), &status), path.c_str());
  if (status.st_size == 0) sync_parent(path);
  const auto slots = static_cast<std::uint64_t>(status.st_size) / kSlot;
  slots_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(slots, kMaxSlots));
  read_all();
}

void StateFile::read_all() {
  Scan scan;
  Bytes bytes;
  for (std::uint32_t slot = 0; slot < slots_; ++slot) {
    const ssize_t count =
        check_sys(::pread(fd_.get(), bytes.data(), kSlot, offset_of(slot)), "read");
    if (count == static_cast<ssize_t>(kSlot)) {
      scan.add(slot, bytes);
    } else {
      scan.junk.push_back(slot);
    }
  }
  free_ = std::move(scan.junk);
  wipe(scan.copies);
  for (auto& [key, versions] : scan.texts) adopt(key, versions);
  std::sort(free_.rbegin(), free_.rend());  // The lowest is taken first.
}

/// Of each key the newest whole text counts; the slots of all others are its spare ones.
template <typename Versions>
void StateFile::adopt(const std::string& key, Versions& versions) {
  Entry entry;
  std::string text;
  for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
    auto& candidate = version->second;
    sequence_ = std::max(sequence_, version->first);
    std::erase(candidate.slots, kMaxSlots);
    const bool whole = candidate.missing == 0;
    if (entry.current.empty() && whole) {
      text = candidate.join();
      entry.current = std::move(candidate.slots);
    } else {
      entry.spare.insert(entry.spare.end(), candidate.slots.begin(), candidate.slots.end());
    }
  }
  if (!text.empty()) {
    found_.push_back({key, std::move(text)});
    entries_.emplace(key, std::move(entry));
    return;
  }
  // It was being dropped: the mark of that goes last.
  wipe(entry.spare);
  wipe(entry.current);
}

std::optional<std::string> StateFile::put(std::string_view key, std::string_view text, bool sync) {
  if (key.empty() || key.size() > kMaxKey) return "the key is empty or too long";
  if (text.size() > kMaxText) return "longer than " + std::to_string(kMaxText) + " bytes";
  auto at = entries_.find(key);
  if (text.empty()) return at == entries_.end() ? std::nullopt : drop(at, sync);
  const std::size_t parts = parts_of(key.size(), text.size());
  if (at == entries_.end()) {
    // Room for both chains at once: the second change must not depend on the disk.
    if (!reserve(2 * parts)) return in_words("no room");
    at = entries_.emplace(std::string(key), Entry{}).first;
    lengthen(at->second.current, parts);
  } else if (at->second.spare.size() < parts && !reserve(parts - at->second.spare.size())) {
    return in_words("no room");
  }
  Entry& entry = at->second;
  lengthen(entry.spare, parts);
  if (!write_text(entry.spare, key, text)) return in_words("write");
  std::swap(entry.current, entry.spare);
  return finish(sync);
}

/// A mark that the key is gone makes the drop one write; then its slots are cleared, so that no
/// older text comes back once the mark itself is overwritten.
std::optional<std::string> StateFile::drop(Entries::iterator at, bool sync) {
  Entry& entry = at->second;
  if (!entry.spare.empty()) {
    if (!write_text(entry.spare, at->first, {})) return in_words("write");
    if (auto trouble = finish(sync)) return trouble;
  }
  wipe(entry.current);
  if (!entry.spare.empty()) {
    std::swap(entry.spare.front(), entry.spare.back());  // The mark goes last.
    wipe(entry.spare);
  }
  entries_.erase(at);
  return finish(sync);
}

std::optional<std::string> StateFile::finish(bool sync) {
  if (sync && ::fdatasync(fd_.get()) < 0) return in_words("fdatasync");
  return std::nullopt;
}

/// Makes at least so many slots free. Sets errno when it cannot.
bool StateFile::reserve(std::size_t slots) {
  while (free_.size() < slots) {
    const auto missing = static_cast<std::uint32_t>(slots - free_.size());
    if (slots_ + kChunk > kMaxSlots) {
      errno = EFBIG;
      return false;
    }
    // An almost full disk may have room for what is needed, if not for a whole chunk.
    if (!grow(std::max(kChunk, missing)) && !grow(missing)) return false;
  }
  return true;
}

bool StateFile::grow(std::uint32_t slots) {
  int error = EINTR;
  while (error == EINTR) {
    error = ::posix_fallocate(fd_.get(), offset_of(slots_), offset_of(slots));
  }
  if (error != 0) {
    errno = error;
    return false;
  }
  for (std::uint32_t i = slots; i > 0; --i) free_.push_back(slots_ + i - 1);
  slots_ += slots;
  return true;
}

/// From free slots, of which there are enough.
void StateFile::lengthen(Chain& chain, std::size_t slots) {
  while (chain.size() < slots) {
    chain.push_back(free_.back());
    free_.pop_back();
  }
}

bool StateFile::write_text(const Chain& chain, std::string_view key, std::string_view text) {
  const std::size_t parts = parts_of(key.size(), text.size());
  ++sequence_;
  for (std::size_t part = 0; part < parts; ++part) {
    const std::string_view piece =
        text.substr(std::min(text.size(), part * room_beside(key.size())), room_beside(key.size()));
    Bytes bytes{};
    Header header{kMagic,
                  static_cast<std::uint16_t>(key.size()),
                  static_cast<std::uint16_t>(piece.size()),
                  static_cast<std::uint16_t>(part),
                  static_cast<std::uint16_t>(parts),
                  static_cast<std::uint32_t>(text.size()),
                  sequence_,
                  0};
    std::memcpy(bytes.data(), &header, sizeof header);
    std::copy(key.begin(), key.end(), bytes.begin() + sizeof header);
    std::copy(piece.begin(), piece.end(), bytes.begin() + sizeof header + key.size());
    header.checksum = checksum_of(bytes);
    std::memcpy(bytes.data(), &header, sizeof header);
    if (!write_slot(chain[part], bytes.data())) return false;
  }
  return true;
}

/// One page at most: a kill cannot tear it.
bool StateFile::write_slot(std::uint32_t slot, const char* bytes) {
  ssize_t count = -1;
  do {
    count = ::pwrite(fd_.get(), bytes, kSlot, offset_of(slot));
  } while (count < 0 && errno == EINTR);
  if (count >= 0 && count != static_cast<ssize_t>(kSlot)) errno = ENOSPC;
  return count == static_cast<ssize_t>(kSlot);
}

/// Clears slots and makes them free. One that cannot be cleared is lost until the next start.
void StateFile::wipe(Chain& chain) {
  const Bytes zeros{};
  for (const std::uint32_t slot : chain) {
    if (write_slot(slot, zeros.data())) free_.push_back(slot);
  }
  chain.clear();
}

}  // namespace supv
