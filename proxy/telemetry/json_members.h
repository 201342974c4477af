// The members of one JSON object, appended to a text as they come.
//
// Threads: one's.
#pragma once

#include <fmt/format.h>

#include <iterator>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"

namespace signet::proxy {

class JsonMembers {
 public:
  // Opens the object. `out` outlives this.
  explicit JsonMembers(std::string* out) : out_(*out) { out_ += '{'; }
  // Nothing when `value` is empty.
  void Text(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    Name(name);
    out_ += '"';
    out_ += EscapeForLog(value);
    out_ += '"';
  }
  void Number(std::string_view name, std::uint64_t value) {
    Name(name);
    fmt::format_to(std::back_inserter(out_), "{}", value);
  }
  void Seconds(std::string_view name, Duration value) {
    Name(name);
    fmt::format_to(std::back_inserter(out_), "{:.6f}",
                   std::chrono::duration<double>(value).count());
  }
  // `value` is JSON.
  void Raw(std::string_view name, std::string_view value) {
    Name(name);
    out_ += value;
  }
  void End() { out_ += '}'; }

 private:
  void Name(std::string_view name) {
    if (out_.back() != '{') out_ += ',';
    out_ += '"';
    out_ += name;
    out_ += "\":";
  }
  std::string& out_;
};

// `items`, each JSON, as an array.
template <class Items>
std::string JsonArray(const Items& items) {
  std::string out = "[";
  for (const std::string& item : items) {
    if (out.size() > 1) out += ',';
    out += item;
  }
  return out + "]";
}

}  // namespace signet::proxy
