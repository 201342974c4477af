// Any bytes as a message of node attestation, to either side. The first byte chooses which.
#include "base/check.h"
#include "ca/ssh/public_key.h"
#include "ca/ssh/wire.h"
#include "identity/proof/http_challenge.h"
#include "identity/proof/sshpop.h"
#include "identity/proof/x509pop.h"

namespace {

using namespace signet;
using namespace signet::identity;

const ca::PrivateKey& Key() {
  static const auto key = *ca::PrivateKey::Generate(ca::KeyType::kEcP256);
  return key;
}

// The same key as SSH has it: the point is the end of the SubjectPublicKeyInfo.
const ca::SshPublicKey& SshKey() {
  static const auto key = [] {
    Bytes fields;
    ca::AppendSshString(AsBytes("nistp256"), &fields);
    ca::AppendSshString(Key().public_key().spki().last(65), &fields);
    return *ca::SshPublicKey::FromFields("ecdsa-sha2-nistp256", fields);
  }();
  return key;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  static OsRandom random;
  const Nonce nonce{};
  switch (data[0] % 8) {
    case 0:
      if (const auto ders = ParseX509PopPayload(text, 5))
        CHECK_TRUE(!ders->empty() && ders->size() <= 5);
      break;
    case 1:
      // Nobody signs this nonce by chance.
      CHECK_TRUE(!CheckX509PopResponse(Key().public_key(), nonce, text));
      break;
    case 2:
      if (const auto answer = AnswerX509PopChallenge(Key(), text, random))
        CHECK_TRUE(answer->size() < 1024);
      break;
    case 3:
      if (const auto blob = ParseSshPopPayload(text)) CHECK_TRUE(!blob->empty());
      break;
    case 4:
      CHECK_TRUE(!CheckSshPopResponse(SshKey(), nonce, text));
      break;
    case 5:
      if (const auto answer = AnswerSshPopChallenge(Key(), text, random))
        CHECK_TRUE(answer->size() < 1024);
      break;
    case 6:
      if (const auto payload = ParseHttpChallengePayload(text))
        CHECK_TRUE(ParseHttpChallengePayload(WriteHttpChallengePayload(*payload)).has_value());
      break;
    default:
      if (const auto shown = ParseHttpChallenge(text))
        CHECK_TRUE(ParseHttpChallenge(WriteHttpChallenge(*shown)) == *shown);
  }
  return 0;
}
