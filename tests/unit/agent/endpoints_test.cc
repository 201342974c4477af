// What the agent's sockets answer, decided over values: no socket here.
#include <catch2/catch.hpp>

#include "agent/endpoints/delegated_service.h"
#include "agent/endpoints/patience.h"
#include "agent/endpoints/sds_delta_stream.h"
#include "agent/endpoints/sds_stream.h"
#include "agent/endpoints/workload_answers.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.pb.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/agent/entries.h"

using namespace signet;
using namespace signet::agent;
using namespace signet::agent::test;
using signet::test::FakeClock;
using signet::test::SigningAuthority;
using namespace std::chrono_literals;

namespace {

namespace discovery = envoy::service::discovery::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;

const WallTime kNow = FromUnixSeconds(FakeClock::kDefaultUnixSeconds);
const identity::SelectorSet kCaller = Selectors({"unix:uid:1001"});

// A cache with two identities for kCaller, one of which is federated with one.test.
struct World {
  World() {
    one.federates_with = {other.trust_domain()};
    Apply();
    Mint(one);
    Mint(two);
  }
  void Apply() {
    REQUIRE(cache.Apply(Full(++revision, {one, two}, {own.bundle(), other.bundle()})));
  }
  void Mint(const AuthorizedEntry& entry) {
    cache.Install({{entry.id, Svid(own, entry, kNow - 10s, kNow + 1h)}});
  }
  WorkloadView View(EqualHints hints = EqualHints::kAll) const {
    return ViewFor(*cache.Current(), kCaller, kNow, hints);
  }
  std::set<std::string> Names(const std::set<std::string>& asked) const {
    std::set<std::string> names;
    for (const NamedSecret& named :
         SelectSecrets(View(), asked, ValidationForm::kSpiffe, options).secrets)
      names.insert(named.secret.name());
    return names;
  }

  SigningAuthority own{"example.org", kNow}, other{"one.test", kNow};
  AuthorizedEntry one = Entry("1", "/one", {"unix:uid:1001"});
  AuthorizedEntry two = Entry("2", "/two", {"unix:uid:1001"});
  std::uint64_t revision = 0;
  Cache cache{ExampleOrg()};
  SdsOptions options;
};

DeltaSubscription::Request Subscribe(const std::vector<std::string>& names) {
  DeltaSubscription::Request request;
  for (const std::string& name : names) request.add_resource_names_subscribe(name);
  return request;
}

// What a proxy with this subscription gets now; notes it as sent.
DeltaSubscription::Response Sent(DeltaSubscription* subscription, const World& world) {
  const auto changes = subscription->Changes(
      SelectSecrets(world.View(), subscription->names(), ValidationForm::kSpiffe, world.options));
  REQUIRE(changes);
  subscription->NoteSent(*changes);
  return *changes;
}

bool IsSilent(const DeltaSubscription& subscription, const World& world) {
  return !subscription.Changes(
      SelectSecrets(world.View(), subscription.names(), ValidationForm::kSpiffe, world.options));
}

}  // namespace

TEST_CASE("a call waits for what it is owed, and no longer than it may") {
  Patience patience;
  const SteadyTime start{};
  CHECK(patience.Judge(AnswerKind::kNotReady, false, false, start) == Patience::Verdict::kWait);
  CHECK(patience.waiting());
  CHECK(patience.Judge(AnswerKind::kNotReady, false, false, start + 2s) == Patience::Verdict::kEnd);
  Patience incomplete;
  CHECK(incomplete.Judge(AnswerKind::kSend, true, false, start) == Patience::Verdict::kWait);
  CHECK(incomplete.Judge(AnswerKind::kSend, true, false, start + 3s) == Patience::Verdict::kSend);
  CHECK_FALSE(incomplete.waiting());
  CHECK(incomplete.Judge(AnswerKind::kSend, true, true, start + 4s) == Patience::Verdict::kSend);
  Patience nothing;
  CHECK(nothing.Judge(AnswerKind::kWait, true, true, start) == Patience::Verdict::kWait);
  CHECK(nothing.Judge(AnswerKind::kWait, true, true, start + 30s) == Patience::Verdict::kEnd);
  Patience silent;
  CHECK(silent.Judge(AnswerKind::kSilent, false, false, start) == Patience::Verdict::kWait);
  CHECK_FALSE(silent.waiting());
  CHECK(silent.Judge(AnswerKind::kEnd, false, true, start) == Patience::Verdict::kEnd);
}

TEST_CASE("each name of SDS stands for what SPIRE lets it stand for") {
  const World world;
  CHECK(world.Names({"default"}) == std::set<std::string>{"default"});
  CHECK(world.Names({"ROOTCA", "ALL", "spiffe://one.test"}) ==
        std::set<std::string>{"ALL", "ROOTCA", "spiffe://one.test"});
  CHECK(world.Names({}) == std::set<std::string>{"spiffe://example.org", "spiffe://example.org/one",
                                                 "spiffe://example.org/two", "spiffe://one.test"});
  const auto unknown = SelectSecrets(world.View(), {"default", "nope", "Default"},
                                     ValidationForm::kSpiffe, world.options);
  CHECK(unknown.unknown == std::set<std::string>{"Default", "nope"});
  CHECK(NotAuthorized(unknown.unknown).error_message() ==
        "workload is not authorized for the requested identities [\"Default\" \"nope\"]");
}

TEST_CASE("the default SVID is the first entry's, chain and key in PEM") {
  const World world;
  const auto selection =
      SelectSecrets(world.View(), {"default"}, ValidationForm::kSpiffe, world.options);
  REQUIRE(selection.secrets.size() == 1);
  const auto& certificate = selection.secrets[0].secret.tls_certificate();
  const auto chain = ca::ParsePem(certificate.certificate_chain().inline_bytes(), 8);
  REQUIRE(chain);
  CHECK(chain->front().uri_sans() == std::vector<std::string>{"spiffe://example.org/one"});
  CHECK(certificate.private_key().inline_bytes().starts_with("-----BEGIN PRIVATE KEY-----\n"));
}

TEST_CASE("ALL keeps trust domains apart, sorted by name; the plain form cannot") {
  const World world;
  const auto all = SelectSecrets(world.View(), {"ALL"}, ValidationForm::kSpiffe, world.options);
  tls::SPIFFECertValidatorConfig validator;
  REQUIRE(all.secrets.at(0)
              .secret.validation_context()
              .custom_validator_config()
              .typed_config()
              .UnpackTo(&validator));
  REQUIRE(validator.trust_domains_size() == 2);
  CHECK(validator.trust_domains(0).name() == "example.org");
  CHECK(validator.trust_domains(1).name() == "one.test");
  const auto plain = SelectSecrets(world.View(), {"ALL"}, ValidationForm::kPlain, world.options);
  CHECK(plain.kind == AnswerKind::kEnd);
  CHECK(plain.status.error_code() == grpc::StatusCode::INTERNAL);
  const auto root = SelectSecrets(world.View(), {"ROOTCA"}, ValidationForm::kPlain, world.options);
  CHECK(root.secrets.at(0).secret.validation_context().trusted_ca().inline_bytes() ==
        ca::ToPem(world.own.root()));
}

TEST_CASE("whom no entry is for gets the own bundle by SDS and nothing else") {
  const World world;
  const auto view =
      ViewFor(*world.cache.Current(), Selectors({"unix:uid:1"}), kNow, EqualHints::kAll);
  const auto everything = SelectSecrets(view, {}, ValidationForm::kSpiffe, world.options);
  REQUIRE(everything.secrets.size() == 1);
  CHECK(everything.secrets[0].secret.name() == "spiffe://example.org");
  CHECK(SelectSecrets(view, {"default"}, ValidationForm::kSpiffe, world.options).unknown ==
        std::set<std::string>{"default"});
}

TEST_CASE("an SVID that is not minted yet is waited for, and asked for") {
  World world;
  world.cache.Drop({"1", "2"});
  const auto selection =
      SelectSecrets(world.View(), {"default"}, ValidationForm::kSpiffe, world.options);
  CHECK(selection.kind == AnswerKind::kWait);
  CHECK(selection.missing == std::vector<std::string>{"1"});
  CHECK(selection.unknown.empty());
}

TEST_CASE("the form of a validation context goes by version, metadata and configuration") {
  SdsOptions options;
  envoy::config::core::v3::Node node;
  CHECK(FormFor(node, options) == ValidationForm::kSpiffe);
  node.mutable_user_agent_build_version();  // without a version: as if it were not there
  CHECK(FormFor(node, options) == ValidationForm::kSpiffe);
  auto* version = node.mutable_user_agent_build_version()->mutable_version();
  version->set_major_number(1);
  version->set_minor_number(17);
  CHECK(FormFor(node, options) == ValidationForm::kPlain);
  version->set_minor_number(18);
  CHECK(FormFor(node, options) == ValidationForm::kSpiffe);
  version->set_major_number(2);
  version->set_minor_number(0);
  CHECK(FormFor(node, options) == ValidationForm::kSpiffe);
  auto& value = (*node.mutable_metadata()->mutable_fields())["disable_spiffe_cert_validation"];
  value.set_bool_value(true);
  CHECK(FormFor(node, options) == ValidationForm::kPlain);
  value.set_string_value("true");
  CHECK(FormFor(node, options) == ValidationForm::kPlain);
  options.disable_spiffe_cert_validation = true;
  value.set_string_value("false");
  CHECK(FormFor(node, options) == ValidationForm::kSpiffe);
  value.set_string_value("perhaps");
  CHECK(FormFor(node, options) == ValidationForm::kPlain);
  value.set_number_value(0);
  CHECK(FormFor(node, options) == ValidationForm::kPlain);
}

TEST_CASE("a FetchSecrets answer carries the request's type, and neither version nor nonce") {
  const World world;
  discovery::DiscoveryRequest request;
  request.set_type_url("t");
  request.add_resource_names("");
  request.add_resource_names("default");
  const auto answer = AnswerSecrets(world.View(), request, world.options);
  CHECK(answer.kind == AnswerKind::kSend);
  CHECK(answer.response.resources_size() == 1);
  CHECK(answer.response.type_url() == "t");
  CHECK(answer.response.nonce().empty());
  CHECK(answer.response.version_info().empty());
  request.add_resource_names("spiffe://example.org/nope");
  CHECK(AnswerSecrets(world.View(), request, world.options).status.error_code() ==
        grpc::StatusCode::INVALID_ARGUMENT);
  for (std::size_t i = 0; i <= kMaxSecretNames; ++i) request.add_resource_names(std::to_string(i));
  CHECK(AnswerSecrets(world.View(), request, world.options).status.error_message() ==
        "too many names");
}

TEST_CASE("delta: a subscription gets what it names once, and again only when it changed") {
  World world;
  DeltaSubscription subscription;
  REQUIRE(subscription.Take(Subscribe({"default", "ROOTCA"})));
  CHECK_FALSE(subscription.is_wildcard());
  CHECK(Sent(&subscription, world).resources_size() == 2);
  CHECK(IsSilent(subscription, world));
  world.Mint(world.two);
  CHECK(IsSilent(subscription, world));
  world.Mint(world.one);
  const auto rotated = Sent(&subscription, world);
  REQUIRE(rotated.resources_size() == 1);
  CHECK(rotated.resources(0).name() == "default");
  CHECK(rotated.removed_resources().empty());
}

TEST_CASE("delta: subscribing again is always answered, unsubscribing silences") {
  const World world;
  DeltaSubscription subscription;
  REQUIRE(subscription.Take(Subscribe({"ROOTCA"})));
  Sent(&subscription, world);
  REQUIRE(subscription.Take(Subscribe({"ROOTCA"})));
  CHECK(Sent(&subscription, world).resources_size() == 1);
  DeltaSubscription::Request drop;
  drop.add_resource_names_unsubscribe("ROOTCA");
  REQUIRE(subscription.Take(drop));
  CHECK(subscription.names().empty());
  CHECK_FALSE(subscription.is_wildcard());
}

TEST_CASE(
    "delta: a name that stands for nothing is told as removed, once, and comes when it is there") {
  World world;
  DeltaSubscription subscription;
  REQUIRE(subscription.Take(Subscribe({"spiffe://example.org/three", "ROOTCA"})));
  const auto first = Sent(&subscription, world);
  CHECK(first.resources_size() == 1);
  REQUIRE(first.removed_resources_size() == 1);
  CHECK(first.removed_resources(0) == "spiffe://example.org/three");
  CHECK(IsSilent(subscription, world));
  world.two.spiffe_id = *identity::SpiffeId::Parse("spiffe://example.org/three");
  world.two.revision_number = 1;
  world.Apply();
  world.Mint(world.two);
  CHECK(Sent(&subscription, world).resources(0).name() == "spiffe://example.org/three");
  world.two.selectors = Selectors({"unix:uid:7"});
  world.two.revision_number = 2;
  world.Apply();
  const auto gone = Sent(&subscription, world);
  REQUIRE(gone.removed_resources_size() == 1);
  CHECK(gone.resources().empty());
}

TEST_CASE("delta: what a proxy holds from before is not sent again, but the answer comes") {
  const World world;
  DeltaSubscription before;
  REQUIRE(before.Take(Subscribe({"default", "ROOTCA"})));
  const auto held = Sent(&before, world);
  auto request = Subscribe({"default", "ROOTCA"});
  for (const auto& resource : held.resources())
    (*request.mutable_initial_resource_versions())[resource.name()] = resource.version();
  (*request.mutable_initial_resource_versions())["spiffe://gone.test"] = "1";
  DeltaSubscription subscription;
  REQUIRE(subscription.Take(request));
  const auto answer = Sent(&subscription, world);
  CHECK(answer.resources().empty());
  REQUIRE(answer.removed_resources_size() == 1);
  CHECK(answer.removed_resources(0) == "spiffe://gone.test");
}

TEST_CASE("delta: a first request without names, or '*', subscribes to everything") {
  DeltaSubscription nothing, star;
  REQUIRE(nothing.Take({}));
  CHECK(nothing.is_wildcard());
  REQUIRE(star.Take(Subscribe({"*", "default"})));
  CHECK(star.is_wildcard());
  CHECK(star.names() == std::set<std::string>{"default"});
  DeltaSubscription::Request drop;
  drop.add_resource_names_unsubscribe("*");
  REQUIRE(star.Take(drop));
  CHECK_FALSE(star.is_wildcard());
}

TEST_CASE("delta: more names than the bound are refused") {
  DeltaSubscription subscription;
  std::vector<std::string> names;
  for (std::size_t i = 0; i <= kMaxSecretNames; ++i) names.push_back(std::to_string(i));
  CHECK_FALSE(subscription.Take(Subscribe(names)));
}

TEST_CASE("audiences: empty values are dropped, none left is refused") {
  JWTSVIDRequest request;
  CHECK(ReadQuestion(request).error().error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  request.add_audience("");
  CHECK(ReadQuestion(request).error().error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  request.add_audience("b");
  request.add_audience("a");
  const auto question = ReadQuestion(request);
  REQUIRE(question);
  CHECK(question->audience == std::vector<std::string>{"b", "a"});
  CHECK_FALSE(question->spiffe_id);
  request.set_spiffe_id("spiffe://example.org/one/");
  CHECK(ReadQuestion(request).error().error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  for (int i = 0; i < kMaxAudiences; ++i) request.add_audience("x");
  CHECK(ReadQuestion(request).error().error_code() == grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_CASE(
    "bundles are for registered callers, unless verifiers are let in without: then the own one") {
  const World world;
  const auto nobody = ViewFor(*world.cache.Current(), Selectors({"unix:uid:1"}), kNow);
  CHECK(AnswerX509Bundles(nobody, UnregisteredCallers::kRefused).status.error_code() ==
        grpc::StatusCode::PERMISSION_DENIED);
  CHECK(AnswerJwtBundles(nobody, UnregisteredCallers::kRefused).kind == AnswerKind::kEnd);
  const auto x509 = AnswerX509Bundles(nobody, UnregisteredCallers::kOwnBundle);
  CHECK(x509.kind == AnswerKind::kSend);
  CHECK(x509.response.bundles_size() == 1);
  CHECK(AnswerJwtBundles(nobody, UnregisteredCallers::kOwnBundle).response.bundles_size() == 1);
  CHECK(AnswerX509Bundles(world.View(), UnregisteredCallers::kRefused).response.bundles_size() ==
        2);
}

TEST_CASE("a JWT bundle whose keys only changed their order is the same") {
  const World world;
  const auto spki = [] {
    return ToBytes(ca::PrivateKey::Generate(ca::KeyType::kEcP256)->public_key().spki());
  };
  identity::Bundle bundle = world.own.bundle();
  bundle.jwt_authorities = {{"b", spki(), 0, false}, {"a", spki(), 0, false}};
  const ServedBundle first(bundle);
  std::swap(bundle.jwt_authorities[0], bundle.jwt_authorities[1]);
  CHECK(first.jwks == ServedBundle(bundle).jwks);
  bundle.jwt_authorities.pop_back();
  CHECK(first.jwks != ServedBundle(bundle).jwks);
}

TEST_CASE("a delegate is whoever has a delegate's entry, at this moment") {
  World world;
  const delegated::Delegates delegates = {world.two.spiffe_id};
  const auto authorize = [&] {
    return delegated::Authorize(*world.cache.Current(), kCaller, delegates, kNow);
  };
  CHECK(authorize().ok());
  CHECK(delegated::Authorize(*world.cache.Current(), kCaller, {}, kNow).error_code() ==
        grpc::StatusCode::PERMISSION_DENIED);
  CHECK(delegated::Authorize(*world.cache.Current(), {}, delegates, kNow).error_code() ==
        grpc::StatusCode::PERMISSION_DENIED);
  world.two.expires_at = UnixSeconds(kNow);
  world.two.revision_number = 1;
  world.Apply();
  CHECK(authorize().error_code() == grpc::StatusCode::PERMISSION_DENIED);
}

TEST_CASE("delegates get no SVID of an admin or downstream entry, and an empty answer for nobody") {
  World world;
  world.one.admin = true;
  world.one.revision_number = 1;
  world.Apply();
  auto answer = delegated::AnswerX509Svids(world.View());
  CHECK(answer.kind == AnswerKind::kSend);
  REQUIRE(answer.response.x509_svids_size() == 1);
  CHECK(answer.response.x509_svids(0).x509_svid().id().path() == "/two");
  CHECK(answer.response.federates_with_size() == 1);
  world.two.downstream = true;
  world.two.revision_number = 1;
  world.Apply();
  CHECK(delegated::AnswerX509Svids(world.View()).response.x509_svids().empty());
  const auto nobody = ViewFor(*world.cache.Current(), Selectors({"none:such"}), kNow);
  answer = delegated::AnswerX509Svids(nobody);
  CHECK(answer.kind == AnswerKind::kSend);
  CHECK(answer.response.x509_svids().empty());
  CHECK(delegated::AnswerX509Bundles(*world.cache.Current()).response.ca_certificates_size() == 2);
  CHECK(delegated::AnswerJwtBundles(*world.cache.Current()).response.bundles_size() == 2);
}

TEST_CASE("selectors that delegates name are whole ones") {
  google::protobuf::RepeatedPtrField<spire::api::types::Selector> selectors;
  auto* selector = selectors.Add();
  for (const auto& [type, value] :
       std::vector<std::pair<std::string, std::string>>{{"", "x"}, {"unix", ""}, {"a:b", "x"}}) {
    selector->set_type(type);
    selector->set_value(value);
    CHECK(delegated::ReadSelectors(selectors).error().error_code() ==
          grpc::StatusCode::INVALID_ARGUMENT);
  }
  selector->set_type("unix");
  selector->set_value("uid:1:2");
  CHECK(delegated::ReadSelectors(selectors) == Selectors({"unix:uid:1:2"}));
}
