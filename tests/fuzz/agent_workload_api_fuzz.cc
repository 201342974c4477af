// What processes on the node send to the Workload API and to the delegated identity API: requests
// are read within bounds or refused, and no token is valid that nobody signed.
#include "agent/endpoints/delegated_service.h"
#include "agent/endpoints/workload_answers.h"
#include "base/check.h"
#include "ca/crypto/key.h"

namespace {

using namespace signet;
using namespace signet::agent;

constexpr std::int64_t kNow = 1767225600;

const WorkloadView& View() {
  static const WorkloadView view = [] {
    const auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
    identity::Bundle bundle;
    bundle.trust_domain = identity::TrustDomain::Parse("example.org").value();
    bundle.jwt_authorities = {{"k", ToBytes(key.public_key().spki()), 0, false}};
    WorkloadView made;
    made.state = WorkloadView::State::kDenied;
    made.own_bundle = std::make_shared<const ServedBundle>(std::move(bundle));
    return made;
  }();
  return view;
}

template <class Message>
bool Parse(ByteView input, Message* message) {
  return message->ParseFromArray(input.data(), static_cast<int>(input.size()));
}

void FetchToken(ByteView input) {
  JWTSVIDRequest request;
  if (!Parse(input, &request)) return;
  const auto question = ReadQuestion(request);
  if (!question) return;
  CHECK_TRUE(!question->audience.empty() && question->audience.size() <= kMaxAudiences);
  for (const std::string& value : question->audience) CHECK_TRUE(!value.empty());
  if (question->spiffe_id) CHECK_TRUE(question->spiffe_id->ToString() == request.spiffe_id());
}

void Validate(ByteView input) {
  ValidateJWTSVIDRequest request;
  if (Parse(input, &request)) CHECK_TRUE(!ValidateJwt(View(), request, FromUnixSeconds(kNow), {}));
}

void ReadWorkload(ByteView input) {
  delegated::api::SubscribeToX509SVIDsRequest request;
  if (!Parse(input, &request)) return;
  const auto selectors = delegated::ReadSelectors(request.selectors());
  if (!selectors) return;
  for (const identity::Selector& selector : *selectors) {
    const auto again = identity::Selector::Parse(selector.ToString());
    CHECK_TRUE(again && *again == selector);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView input(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      FetchToken(input);
      break;
    case 1:
      Validate(input);
      break;
    default:
      ReadWorkload(input);
  }
  return 0;
}
