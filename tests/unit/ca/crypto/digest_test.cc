#include "ca/crypto/digest.h"

#include <catch2/catch.hpp>

namespace signet::ca {
namespace {

SecretBytes Key(std::uint8_t fill) { return SecretBytes(ByteView(Bytes(32, fill))); }

}  // namespace

TEST_CASE("SHA-256 gives the digests of FIPS 180-4's examples, at once and in pieces") {
  CHECK(EncodeHex(Sha256(AsBytes("abc"))) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(EncodeHex(Sha256({})) ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256Hasher hasher;
  hasher.Update(AsBytes("a"));
  Sha256Hasher moved(std::move(hasher));
  moved.Update(AsBytes("bc"));
  CHECK(moved.Finish() == Sha256(AsBytes("abc")));
}

TEST_CASE("what was sealed opens with the same key and purpose, and never looks the same twice") {
  for (const std::string_view text : {"", "x", "a longer secret of more than one block"}) {
    const auto sealed = Seal(Key(1), AsBytes(text), AsBytes("purpose"));
    REQUIRE(sealed);
    CHECK(sealed->size() == text.size() + 28);
    const auto opened = Open(Key(1), *sealed, AsBytes("purpose"));
    REQUIRE(opened);
    CHECK(AsText(opened->view()) == text);
    CHECK(*Seal(Key(1), AsBytes(text), AsBytes("purpose")) != *sealed);
  }
}

TEST_CASE("sealed bytes do not open when anything differs") {
  const Bytes sealed = *Seal(Key(1), AsBytes("secret"), AsBytes("purpose"));
  CHECK(Open(Key(2), sealed, AsBytes("purpose")).error().reason == kSealBroken);
  CHECK(Open(Key(1), sealed, AsBytes("another")).error().reason == kSealBroken);
  CHECK(Open(Key(1), sealed, {}).error().reason == kSealBroken);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    Bytes broken = sealed;
    broken[i] ^= 0x80;
    CHECK(Open(Key(1), broken, AsBytes("purpose")).error().reason == kSealBroken);
    CHECK(Open(Key(1), ByteView(sealed).first(i), AsBytes("purpose")).error().reason ==
          kSealBroken);
  }
}

TEST_CASE("a sealing key of another length is refused") {
  CHECK(Seal(SecretBytes(16), AsBytes("x"), {}).error().reason == kSealBroken);
  CHECK(Open(SecretBytes(std::size_t{0}), Bytes(40), {}).error().reason == kSealBroken);
}

}  // namespace signet::ca
