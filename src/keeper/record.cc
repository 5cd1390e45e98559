#include "keeper/record.h"

#include <array>

namespace supv {
namespace {

constexpr std::uint32_t kMagic = 0x72707573;  // "supr"
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kKnownFlags =
    wire::kDaemonises | wire::kGroupSignal | wire::kLeaveTree | wire::kRole | wire::kGuest;
constexpr std::uint32_t kStages = 5;

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1U) != 0 ? 0x82f63b78U : 0U);
    table[i] = value;
  }
  return table;
}
constexpr std::array<std::uint32_t, 256> kCrcTable = make_crc_table();

bool has_process(wire::Phase phase) {
  switch (phase) {
    case wire::Phase::launching:
    case wire::Phase::running:
    case wire::Phase::stopping:
    case wire::Phase::lingering:
    case wire::Phase::stuck:
      return true;
    case wire::Phase::empty:
    case wire::Phase::intent:
    case wire::Phase::gone:
    case wire::Phase::failed:
      return false;
  }
  return false;
}

bool fields_in_range(const Record& record) {
  return record.phase > wire::Phase::empty && record.phase <= wire::Phase::failed &&
         record.step <= wire::Step::take && record.stage < kStages &&
         record.ladder_count <= wire::kMaxLadder && record.ladder_step <= record.ladder_count &&
         record.memo_size <= wire::kMaxMemo && record.kill_at_ns >= 0 && record.status.how >= 0 &&
         record.status.how <= 3 && (record.life.flags & ~kKnownFlags) == 0;
}

bool life_makes_sense(const Record& record, std::uint32_t slot) {
  const Life& life = record.life;
  if (slot == 0 ? life.run != 0 : life.run >> 16U == 0 || wire::slot_of(life.run) != slot)
    return false;
  // 1 is init (or supvd itself), and kill() reads 0 and below as "many": never a recorded child.
  if (has_process(record.phase) && record.status.how == 0 && life.pid <= 1) return false;
  return life.pid >= 0;
}

}  // namespace

std::uint32_t crc32c(const void* bytes, std::size_t size) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  std::uint32_t value = 0xffffffffU;
  for (std::size_t i = 0; i < size; ++i) value = (value >> 8U) ^ kCrcTable[(value ^ at[i]) & 0xffU];
  return ~value;
}

void seal(Record& record) {
  record.magic = kMagic;
  record.version = kVersion;
  record.crc = crc32c(&record, offsetof(Record, crc));
}

bool is_valid(const Record& record, std::uint32_t slot, const Machine& machine) {
  return record.magic == kMagic && record.version == kVersion &&
         record.crc == crc32c(&record, offsetof(Record, crc)) && record.machine == machine &&
         fields_in_range(record) && life_makes_sense(record, slot);
}

}  // namespace supv
