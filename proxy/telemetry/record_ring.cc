#include "proxy/telemetry/record_ring.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

namespace signet::proxy {
namespace {

static_assert(std::is_trivially_copyable_v<Record::Figures>);

constexpr std::array kTexts = {
    &Record::listener, &Record::route,  &Record::caller, &Record::callee, &Record::remote,
    &Record::protocol, &Record::method, &Record::host,   &Record::path,   &Record::end,
    &Record::rule,     &Record::id,     &Record::detail};

// An entry: its size with this head, the figures, the lengths of the texts, the texts. Entries do
// not wrap: one that does not fit at the end begins at the start, and the gap says so.
struct EntryHead {
  std::uint32_t size = 0;  // 0: a gap up to the end of the ring
  std::array<std::uint16_t, kTexts.size()> lengths{};
  Record::Figures figures;
};
constexpr std::size_t kAlign = alignof(EntryHead);

std::size_t Aligned(std::size_t size) { return (size + kAlign - 1) / kAlign * kAlign; }

}  // namespace

std::string_view RecordKindName(RecordKind kind) {
  switch (kind) {
    case RecordKind::kRequest:
      return "request";
    case RecordKind::kConnection:
      return "connection";
    case RecordKind::kRefusal:
      return "refusal";
  }
  return "refusal";
}

bool RecordRing::Push(const Record& record) {
  if (!bytes_) bytes_.reset(new std::uint8_t[kBytes]);
  EntryHead entry;
  entry.figures = record.figures;
  std::size_t size = sizeof entry;
  for (std::size_t i = 0; i < kTexts.size(); ++i) {
    const std::size_t length = std::min((record.*kTexts[i]).size(), kLongestText);
    entry.lengths[i] = static_cast<std::uint16_t>(length);
    size += length;
  }
  size = Aligned(size);
  entry.size = static_cast<std::uint32_t>(size);
  const std::size_t head = head_.load(std::memory_order_relaxed);
  const std::size_t used = head - tail_.load(std::memory_order_acquire);
  std::size_t at = head % kBytes;
  const std::size_t gap = at + size > kBytes ? kBytes - at : 0;
  if (used + gap + size > kBytes) {
    dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return false;
  }
  if (gap > 0) {
    const std::uint32_t nothing = 0;
    std::memcpy(bytes_.get() + at, &nothing, sizeof nothing);
    at = 0;
  }
  std::uint8_t* out = bytes_.get() + at;
  std::memcpy(out, &entry, sizeof entry);
  out += sizeof entry;
  for (std::size_t i = 0; i < kTexts.size(); ++i) {
    out = std::copy_n((record.*kTexts[i]).data(), entry.lengths[i], out);  // empty ones may be null
  }
  head_.store(head + gap + size, std::memory_order_release);
  return true;
}

std::size_t RecordRing::Drain(const std::function<void(const Record&)>& sink) {
  std::size_t count = 0;
  const std::size_t head = head_.load(std::memory_order_acquire);
  std::size_t tail = tail_.load(std::memory_order_relaxed);
  while (tail != head) {
    const std::uint8_t* in = bytes_.get() + tail % kBytes;
    EntryHead entry;
    std::memcpy(&entry.size, in, sizeof entry.size);
    if (entry.size == 0) {
      tail += kBytes - tail % kBytes;
      continue;
    }
    std::memcpy(&entry, in, sizeof entry);
    Record record;
    record.figures = entry.figures;
    const char* text = reinterpret_cast<const char*>(in + sizeof entry);
    for (std::size_t i = 0; i < kTexts.size(); ++i) {
      record.*kTexts[i] = {text, entry.lengths[i]};
      text += entry.lengths[i];
    }
    sink(record);
    ++count;
    tail += entry.size;
    tail_.store(tail, std::memory_order_release);
  }
  tail_.store(tail, std::memory_order_release);
  return count;
}

}  // namespace signet::proxy
