#include "identity/registry/page_token.h"

#include "ca/crypto/digest.h"

namespace signet::identity {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kContentBytes = 9;  // the listing, then the number, big-endian
constexpr std::size_t kTagBytes = 16;

}  // namespace

PageTokens::PageTokens(Random& random) : key_(kKeyBytes) { random.Fill(key_.mutable_view()); }

// SHA-256 over key and content; the content's length never varies, so it cannot be extended.
Bytes PageTokens::Tag(ByteView content) const {
  ca::Sha256Hasher hasher;
  hasher.Update(key_.view());
  hasher.Update(content);
  const ca::Sha256Digest digest = hasher.Finish();
  return Bytes(digest.begin(), digest.begin() + kTagBytes);
}

std::string PageTokens::Make(Listing listing, std::uint64_t last) const {
  Bytes token{static_cast<std::uint8_t>(listing)};
  for (int shift = 56; shift >= 0; shift -= 8)
    token.push_back(static_cast<std::uint8_t>(last >> shift));
  const Bytes tag = Tag(token);
  token.insert(token.end(), tag.begin(), tag.end());
  return EncodeBase64Url(token);
}

Result<std::uint64_t> PageTokens::Parse(Listing listing, const std::string& token) const {
  const auto bytes = DecodeBase64Url(token);
  if (!bytes || bytes->size() != kContentBytes + kTagBytes) {
    return Fail(Code::kInvalidArgument, kPageTokenMalformed);
  }
  const ByteView content = ByteView(*bytes).first(kContentBytes);
  const ByteView tag = ByteView(*bytes).subspan(kContentBytes);
  if (!EqualConstantTime(Tag(content), tag) || content[0] != static_cast<std::uint8_t>(listing)) {
    return Fail(Code::kInvalidArgument, kPageTokenMalformed);
  }
  std::uint64_t last = 0;
  for (const std::uint8_t byte : content.subspan(1)) last = last << 8U | byte;
  return last;
}

}  // namespace signet::identity
