#include "identity/api/sync_hub.h"

#include <catch2/catch.hpp>

#include "google/rpc/status.pb.h"
#include "spire/api/types/permission_denied_details.pb.h"
#include "tests/support/test_certificates.h"
#include "tests/unit/identity/sync/sync_world.h"

namespace signet::identity {
namespace {

using spire::api::types::PermissionDeniedDetails;
using std::chrono::hours;
using std::chrono::seconds;

using World = SyncWorld;

std::vector<std::string> Upserts(const sync_api::Batch& batch) {
  std::vector<std::string> ids;
  for (const auto& entry : batch.upserts()) ids.push_back(entry.id());
  return ids;
}
using Strings = std::vector<std::string>;

AgentDenial DenialOf(const grpc::Status& status) {
  google::rpc::Status details;
  PermissionDeniedDetails denied;
  REQUIRE(details.ParseFromString(status.error_details()));
  REQUIRE(details.details_size() == 1);
  REQUIRE(details.details(0).UnpackTo(&denied));
  return static_cast<AgentDenial>(denied.reason());
}

TEST_CASE("sync: the digest of entries is the one sync.proto defines") {
  // Computed apart, with Python's hashlib and struct.
  CHECK(EncodeHex(EntriesDigest({})) ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  auto a = std::make_shared<Entry>();
  a->id = "a";
  a->created_at = 1767225600;
  auto b = std::make_shared<Entry>();
  b->id = "b-2";
  b->revision_number = 7;
  b->created_at = 1;
  const std::vector<EntryPtr> entries = {a, b};
  CHECK(EncodeHex(EntriesDigest(entries)) ==
        "f8ffb745710cf8cfb2a6a8b361e858a8574552b7d81359a56797dff4d97272ab");
}

TEST_CASE("sync: a new agent is sent all, once") {
  World world;
  const auto agent = world.Agent(1);
  const auto other = world.Agent(2);
  world.CreateFor(agent, 1);
  world.CreateFor(other, 2);
  const auto stream = world.Open(agent);
  stream.Hello();
  const auto batch = stream.Take();
  CHECK(batch.full());
  CHECK(batch.last());
  CHECK(batch.revision() == world.registry->revision());
  CHECK(Upserts(batch) == Strings{"entry-1"});
  REQUIRE(batch.bundles_size() == 1);
  CHECK(batch.bundles(0).trust_domain() == "example.org");
}

TEST_CASE("sync: nothing is sent before the hello") {
  World world;
  const auto agent = world.Agent(1);
  const auto silent = world.Open(agent);
  const auto speaking = world.Open(agent);
  speaking.Hello();
  speaking.Take();
  world.CreateFor(agent, 1);
  CHECK(Upserts(speaking.Take()) == Strings{"entry-1"});
  CHECK(silent.call->Idle());
}

TEST_CASE("sync: a change reaches the agents it concerns, and no other") {
  World world;
  const auto agent = world.Agent(1);
  const auto other = world.Agent(2);
  const auto stream = world.Open(agent);
  const auto bystander = world.Open(other);
  stream.Hello();
  stream.Take();
  bystander.Hello();
  const auto first = bystander.Take();
  world.CreateFor(agent, 1);
  auto batch = stream.Take();
  CHECK_FALSE(batch.full());
  CHECK(Upserts(batch) == Strings{"entry-1"});
  CHECK(batch.bundles_size() == 0);
  // The bystander's next message is about its own entry, two revisions later.
  world.CreateFor(other, 2);
  batch = bystander.Take();
  CHECK(Upserts(batch) == Strings{"entry-2"});
  CHECK(batch.revision() == first.revision() + 2);
}

TEST_CASE("sync: an update is sent whole, a removal by its id") {
  World world;
  const auto agent = world.Agent(1);
  world.CreateFor(agent, 1);
  const auto stream = world.Open(agent);
  stream.Hello();
  stream.Take();
  Entry changed = test::MakeEntry(1, agent.id.path());
  changed.hint = "new";
  REQUIRE(world.registry->UpdateEntries({{changed, {}}}).front().status);
  auto batch = stream.Take();
  REQUIRE(batch.upserts_size() == 1);
  CHECK(batch.upserts(0).hint() == "new");
  CHECK(batch.upserts(0).revision_number() == 1);
  const Strings ids = {"entry-1"};
  REQUIRE(world.registry->DeleteEntries(ids).front());
  batch = stream.Take();
  CHECK(batch.upserts_size() == 0);
  REQUIRE(batch.removed_entry_ids_size() == 1);
  CHECK(batch.removed_entry_ids(0) == "entry-1");
}

TEST_CASE("sync: an entry moved to another agent leaves the one that held it") {
  World world;
  const auto agent = world.Agent(1);
  const auto other = world.Agent(2);
  world.CreateFor(agent, 1);
  const auto from = world.Open(agent);
  const auto to = world.Open(other);
  from.Hello();
  from.Take();
  to.Hello();
  to.Take();
  REQUIRE(
      world.registry->UpdateEntries({{test::MakeEntry(1, other.id.path()), {}}}).front().status);
  CHECK(from.Take().removed_entry_ids(0) == "entry-1");
  CHECK(Upserts(to.Take()) == Strings{"entry-1"});
}

TEST_CASE("sync: an alias gained by new selectors brings its entries") {
  World world;
  auto agent = world.Agent(1);
  Entry alias = test::MakeEntry(1, "/spire/server");
  alias.selectors = {{"zone", "b"}};
  world.Create(alias);
  Entry below = test::MakeEntry(2, alias.spiffe_id.path());
  world.Create(below);
  const auto stream = world.Open(agent);
  stream.Hello();
  CHECK(stream.Take().upserts_size() == 0);
  agent.selectors = MakeSelectorSet({{"zone", "b"}});
  world.PutNode(agent);
  const auto batch = stream.Take();
  const auto ids = Upserts(batch);
  CHECK(std::find(ids.begin(), ids.end(), "entry-2") != ids.end());
}

TEST_CASE("sync: changes while a batch is on its way come merged in the next one") {
  World world;
  const auto agent = world.Agent(1);
  const auto stream = world.Open(agent);
  stream.Hello();
  stream.call->NextBatch();  // on its way: not flushed
  for (int number = 1; number <= 20; ++number) world.CreateFor(agent, number);
  const Strings gone = {"entry-3"};
  REQUIRE(world.registry->DeleteEntries(gone).front());
  CHECK(stream.call->Idle());
  stream.Flush();
  const auto batch = stream.Take();
  CHECK(batch.upserts_size() == 19);
  CHECK(batch.removed_entry_ids_size() == 0);
  CHECK(batch.revision() == world.registry->revision());
}

TEST_CASE("sync: a stream that does not read delays no other") {
  World world;
  const auto slow_agent = world.Agent(1);
  const auto agent = world.Agent(2);
  const auto slow = world.Open(slow_agent);
  const auto stream = world.Open(agent);
  slow.Hello();
  slow.call->NextBatch();  // never flushed
  stream.Hello();
  stream.Take();
  for (int number = 1; number <= 50; ++number) {
    world.CreateFor(slow_agent, 100 + number);
    world.CreateFor(agent, number);
    CHECK(Upserts(stream.Take()) == Strings{"entry-" + std::to_string(number)});
  }
  CHECK(slow.call->Idle());
}

TEST_CASE("sync: a big revision comes in parts, and only the last one says so") {
  World world;
  const auto agent = world.Agent(1);
  std::vector<Entry> entries;
  for (int number = 0; number < 1201; ++number)
    entries.push_back(test::MakeEntry(number, agent.id.path()));
  world.registry->CreateEntries(entries);
  const auto stream = world.Open(agent);
  stream.Hello();
  Strings ids;
  const Strings sizes = {"500", "500", "201"};
  for (std::size_t part = 0; part < sizes.size(); ++part) {
    const auto batch = stream.Take();
    CHECK(std::to_string(batch.upserts_size()) == sizes[part]);
    CHECK(batch.full());
    CHECK(batch.last() == (part + 1 == sizes.size()));
    CHECK(batch.bundles_size() == (part == 0 ? 1 : 0));
    for (const auto& id : Upserts(batch)) ids.push_back(id);
  }
  CHECK(std::set<std::string>(ids.begin(), ids.end()).size() == 1201);
}

TEST_CASE("sync: an agent that missed nothing gets one empty batch") {
  World world;
  const auto agent = world.Agent(1);
  world.CreateFor(agent, 1);
  world.Stop();
  world.Start();  // as after a restart
  const auto stream = world.Open(agent);
  stream.Hello(world.registry->revision(), world.DigestOf(agent));
  const auto batch = stream.Take();
  CHECK_FALSE(batch.full());
  CHECK(batch.last());
  CHECK(batch.upserts_size() == 0);
  CHECK(batch.bundles_size() == 0);
  CHECK(batch.revision() == world.registry->revision());
}

TEST_CASE("sync: an agent that missed only bundles gets only bundles") {
  World world;
  const auto agent = world.Agent(1);
  world.CreateFor(agent, 1);
  const auto held = world.registry->revision();
  REQUIRE(world.registry->ChangeOwnBundle([](Bundle& bundle) -> Status {
    bundle.refresh_hint = 77;
    return {};
  }));
  const auto stream = world.Open(agent);
  stream.Hello(held, world.DigestOf(agent));
  const auto batch = stream.Take();
  CHECK_FALSE(batch.full());
  CHECK(batch.upserts_size() == 0);
  REQUIRE(batch.bundles_size() == 1);
  CHECK(batch.bundles(0).refresh_hint() == 77);
}

TEST_CASE("sync: an agent whose digest differs, or that is ahead of us, gets all") {
  World world;
  const auto agent = world.Agent(1);
  world.CreateFor(agent, 1);
  for (const auto& [revision, digest] :
       std::vector<std::pair<Revision, std::string>>{{world.registry->revision(), "wrong"},
                                                     {world.registry->revision() + 1, ""},
                                                     {world.registry->revision(), ""}}) {
    const auto stream = world.Open(agent);
    stream.Hello(revision, digest);
    CHECK(stream.Take().full());
  }
}

TEST_CASE("sync: a bundle that changes goes to everybody, and who applied it has acknowledged it") {
  World world;
  const auto agent = world.Agent(1);
  const auto other = world.Agent(2);
  const auto stream = world.Open(agent);
  const auto second = world.Open(other);
  for (const auto& one : {stream, second}) {
    one.Hello();
    one.Take();
  }
  REQUIRE(world.registry->ChangeOwnBundle([](Bundle& bundle) -> Status {
    bundle.refresh_hint = 2;
    return {};
  }));
  const auto published = world.registry->revision();
  const auto batch = stream.Take();
  REQUIRE(batch.bundles_size() == 1);
  CHECK(batch.bundles(0).refresh_hint() == 2);
  CHECK(second.Take().bundles_size() == 1);
  auto state = world.acknowledgements->Of(published);
  CHECK_FALSE(state.all);
  CHECK(state.live == 2);
  CHECK(state.acknowledged == 0);
  CHECK(state.waiting_for.size() == 2);
  stream.Applied(batch.revision(), world.DigestOf(agent));
  state = world.acknowledgements->Of(published);
  CHECK(state.acknowledged == 1);
  CHECK(state.waiting_for == Strings{other.id.ToString()});
  second.Applied(batch.revision(), world.DigestOf(other));
  CHECK(world.acknowledgements->Of(published).all);
}

TEST_CASE(
    "acknowledgements: the banned and the expired are not waited for; pollers count by what they "
    "report") {
  World world;
  const auto first = world.Agent(1);
  auto second = world.Agent(2);
  second.serial_expires_at = UnixSeconds(world.clock.Now());
  world.PutNode(second);
  const auto third = world.Agent(3);
  REQUIRE(world.registry->BanNode(third.id));
  const auto published = world.registry->revision();
  CHECK(world.acknowledgements->Of(published).live == 1);
  CHECK_FALSE(world.acknowledgements->Of(published).all);
  const auto sequence = world.registry->OwnBundle()->sequence_number;
  world.acknowledgements->RecordBundleSerial(first.id, sequence - 1);
  CHECK_FALSE(world.acknowledgements->Of(published).all);
  world.acknowledgements->RecordBundleSerial(first.id, sequence);
  CHECK(world.acknowledgements->Of(published).all);
  CHECK_FALSE(world.acknowledgements->Of(published + 1).all);
  world.acknowledgements->Forget(first.id);
  CHECK_FALSE(world.acknowledgements->Of(published).all);
}

TEST_CASE("sync: a banned agent is told to erase, and why") {
  World world;
  const auto agent = world.Agent(1);
  const auto stream = world.Open(agent);
  stream.Hello();
  stream.Take();
  REQUIRE(world.registry->BanNode(agent.id));
  CHECK(stream.call->Next().has_denied());
  const auto status = stream.call->WaitEnd();
  CHECK(status.error_code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(DenialOf(status) == AgentDenial::kBanned);
}

TEST_CASE("sync: a deleted agent is told to erase, and its acknowledgements are forgotten") {
  World world;
  const auto agent = world.Agent(1);
  const auto stream = world.Open(agent);
  stream.Hello();
  stream.Take();
  REQUIRE(world.registry->DeleteNode(agent.id));
  CHECK(stream.call->Next().has_denied());
  CHECK(DenialOf(stream.call->WaitEnd()) == AgentDenial::kNotAttested);
}

TEST_CASE("sync: a stream does not outlive the SVID it was opened with") {
  World world;
  const auto agent = world.Agent(1);
  const auto stream = world.Open(agent);
  stream.Hello();
  stream.Take();
  world.clock.Advance(hours(1) - seconds(2));
  stream.Flush();  // wakes the hub, which looks at the agent: the next look would be much later
  (void)stream.call->Comes(std::chrono::milliseconds(500));
  world.clock.Advance(seconds(2));
  stream.Flush();
  CHECK(stream.call->WaitEnd().error_code() == grpc::StatusCode::UNAVAILABLE);
}

TEST_CASE("sync: a digest follows about each minute") {
  World world;
  const auto agent = world.Agent(1);
  world.CreateFor(agent, 1);
  const auto stream = world.Open(agent);
  stream.Hello();
  const auto batch = stream.Take();
  world.CreateFor(agent, 2);
  const auto second = stream.Take();
  stream.Flush();
  // The hub looks when it gets round to it: minutes pass until it has looked in two of them.
  for (int minute = 0; minute < 30 && !stream.call->Comes(std::chrono::milliseconds(500));
       ++minute) {
    world.clock.Advance(seconds(61));
    stream.Flush();
  }
  const auto message = stream.call->Next();
  REQUIRE(message.has_digest());
  CHECK(message.digest().revision() == second.revision());
  CHECK(message.digest().entries_sha256() == world.DigestOf(agent));
}

TEST_CASE("sync: a second hello and an unknown revision are the agent's mistakes") {
  World world;
  const auto agent = world.Agent(1);
  auto stream = world.Open(agent);
  stream.Hello();
  stream.Take();
  stream.Hello();
  CHECK(stream.call->WaitEnd().error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  stream = world.Open(agent);
  stream.Hello();
  const auto batch = stream.Take();
  stream.Applied(batch.revision() + 1, world.DigestOf(agent));
  CHECK(stream.call->WaitEnd().error_code() == grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_CASE("sync: an agent that applied something else is sent all again") {
  World world;
  const auto agent = world.Agent(1);
  world.CreateFor(agent, 1);
  auto stream = world.Open(agent);
  stream.Hello();
  auto batch = stream.Take();
  world.CreateFor(agent, 2);
  const auto second = stream.call->NextBatch();  // on its way
  stream.Applied(batch.revision(), "something else");
  CHECK_FALSE(world.acknowledgements->Of(batch.revision()).all);
  world.CreateFor(agent, 3);  // a revision to send it with
  stream.Flush();
  batch = stream.Take();
  CHECK(batch.full());
  CHECK(batch.upserts_size() == 3);
  // Without a newer revision the stream ends, and the agent subscribes anew.
  stream.Applied(batch.revision(), "something else");
  CHECK(stream.call->WaitEnd().error_code() == grpc::StatusCode::ABORTED);
}

TEST_CASE("sync: a request of a newer version is ignored") {
  World world;
  const auto agent = world.Agent(1);
  const auto stream = world.Open(agent);
  stream.Receive({});
  CHECK(stream.call->Idle());
  stream.Hello();
  CHECK(stream.Take().full());
}

TEST_CASE("sync: an agent has so many streams and no more; the oldest goes") {
  World world;
  const auto agent = world.Agent(1);
  const auto oldest = world.Open(agent);
  std::vector<World::Stream> others;
  for (int i = 0; i < 4; ++i) others.push_back(world.Open(agent));
  CHECK(oldest.call->WaitEnd().error_code() == grpc::StatusCode::ABORTED);
  CHECK(others.back().call->Idle());
}

TEST_CASE("sync: an agent that opens streams and reads none has a bounded number of them") {
  World world;
  const auto agent = world.Agent(1);
  std::vector<World::Stream> streams;
  for (int i = 0; i < 17; ++i) streams.push_back(world.Open(agent));
  for (std::size_t i = 0; i < 12; ++i)
    CHECK(streams[i].call->WaitEnd().error_code() == grpc::StatusCode::ABORTED);
  for (std::size_t i = 12; i < 16; ++i) CHECK(streams[i].call->Idle());
  CHECK(streams[16].call->WaitEnd().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(world.hub->streams() == 16);
  streams[0].session->OnOver();
  CHECK(world.Open(agent).call->Idle());
}

TEST_CASE("sync: at the end every stream is told, also one that comes late") {
  World world;
  const auto agent = world.Agent(1);
  const auto stream = world.Open(agent);
  world.hub->Stop();
  CHECK(stream.call->WaitEnd().error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(world.Open(agent).call->WaitEnd().error_code() == grpc::StatusCode::UNAVAILABLE);
}

// ---- denials

sync_api::Denials NextDenials(const World::Stream& stream) {
  auto message = stream.call->Next();
  REQUIRE(message.has_denials());
  stream.Flush();
  return message.denials();
}

void HelloKnowing(const World::Stream& stream, const DenialSet& held) {
  sync_api::SubscribeRequest request;
  request.mutable_hello()->set_denials_digest(ToString(held.digest()));
  stream.Receive(request);
}

DenialPtr DenyId(World& world, const std::string& path) {
  Denial denial;
  denial.kind = DenialKind::kSpiffeId;
  denial.subject = test::Id(path).ToString();
  auto made = world.registry->Deny(denial);
  REQUIRE(made);
  return made->front();
}

TEST_CASE("sync: denials come first, and each change of them at once, by itself") {
  World world;
  const auto agent = world.Agent(1);
  const DenialPtr first = DenyId(world, "/a");
  const auto stream = world.Open(agent);
  HelloKnowing(stream, *DenialSet::Create({}));
  const auto all = NextDenials(stream);
  CHECK(all.full());
  CHECK(all.last());
  REQUIRE(all.upserts_size() == 1);
  CHECK(all.upserts(0).id() == first->id);
  CHECK(all.upserts(0).kind() == 1);
  CHECK(all.upserts(0).subject() == "spiffe://example.org/a");
  CHECK(stream.Take().full());
  const DenialPtr second = DenyId(world, "/b");
  const auto added = NextDenials(stream);
  CHECK_FALSE(added.full());
  CHECK(added.revision() == world.registry->revision());
  REQUIRE(added.upserts_size() == 1);
  CHECK(added.upserts(0).id() == second->id);
  REQUIRE(world.registry->RemoveDenial(first->id));
  const auto removed = NextDenials(stream);
  CHECK(removed.upserts_size() == 0);
  REQUIRE(removed.removed_ids_size() == 1);
  CHECK(removed.removed_ids(0) == first->id);
}

TEST_CASE("sync: an agent that holds the denials is not sent them again") {
  World world;
  const auto agent = world.Agent(1);
  DenyId(world, "/a");
  const auto stream = world.Open(agent);
  HelloKnowing(stream, *world.registry->Denials());
  CHECK(stream.Take().full());
}

TEST_CASE("sync: an agent that says nothing of denials is sent none") {
  World world;
  const auto agent = world.Agent(1);
  DenyId(world, "/a");
  const auto stream = world.Open(agent);
  stream.Hello();
  CHECK(stream.Take().full());
  DenyId(world, "/b");
  world.CreateFor(agent, 1);
  CHECK(Upserts(stream.Take()) == Strings{"entry-1"});
}

}  // namespace
}  // namespace signet::identity
