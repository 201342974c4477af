#include "ca/jose/strict_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace signet::ca {
namespace {

using nlohmann::json;

tl::unexpected<Error> Malformed(std::string what) {
  return Fail(Code::kInvalidArgument, kJsonMalformed, std::move(what));
}

// Builds the document from the parser's events; the signatures are nlohmann's.
class DocumentBuilder {
 public:
  bool null() { return Put(nullptr); }
  bool boolean(bool value) { return Put(value); }
  bool number_integer(json::number_integer_t value) { return Put(value); }
  bool number_unsigned(json::number_unsigned_t value) { return Put(value); }
  bool number_float(json::number_float_t value, const json::string_t&) { return Put(value); }
  bool string(json::string_t& value) { return Put(std::move(value)); }
  bool binary(json::binary_t&) { return Stop("binary values are not JSON"); }
  bool start_object(std::size_t) { return Open(json::object()); }
  bool end_object() { return Close(); }
  bool start_array(std::size_t) { return Open(json::array()); }
  bool end_array() { return Close(); }

  bool key(json::string_t& name) {
    if (open_.back()->contains(name)) return Stop("a member is there twice");
    key_ = std::move(name);
    return true;
  }

  template <class Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception&) {
    return Stop(fmt::format("not JSON at byte {}", position));
  }

  json TakeDocument() { return std::move(document_); }
  const std::string& fault() const { return fault_; }

 private:
  bool Stop(std::string fault) {
    fault_ = std::move(fault);
    return false;
  }

  json* Place(json value) {
    if (open_.empty()) {
      document_ = std::move(value);
      return &document_;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    json& place = (*open_.back())[key_];
    place = std::move(value);
    return &place;
  }

  bool Put(json value) {
    Place(std::move(value));
    return true;
  }

  bool Open(json value) {
    if (open_.size() == kMaxJsonDepth) return Stop("nested too deeply");
    open_.push_back(Place(std::move(value)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  json document_;
  std::vector<json*> open_;  // from the outermost in; only the innermost grows, so none moves
  std::string key_;
  std::string fault_;
};

}  // namespace

Result<json> ParseStrictJson(std::string_view text, std::size_t max_bytes) {
  if (text.size() > max_bytes) return Malformed(fmt::format("longer than {} bytes", max_bytes));
  // nlohmann would skip a byte order mark and take a NUL for the end.
  if (text.starts_with("\xEF\xBB\xBF")) return Malformed("starts with a byte order mark");
  if (text.find('\0') != std::string_view::npos) return Malformed("holds a NUL byte");
  DocumentBuilder builder;
  if (!json::sax_parse(text.begin(), text.end(), &builder)) return Malformed(builder.fault());
  return builder.TakeDocument();
}

}  // namespace signet::ca
