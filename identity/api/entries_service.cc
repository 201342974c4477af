#include "identity/api/entries_service.h"

#include <algorithm>
#include <array>

#include "base/stable_sort.h"
#include "identity/api/convert.h"

namespace signet::identity {
namespace {

namespace api = signet::entries::v1;
namespace types = spire::api::types;

// Entries of all owners that one page of List() looks at.
constexpr std::size_t kPageSize = 2000;

constexpr EntryMask kNone{.spiffe_id = false,
                          .parent_id = false,
                          .selectors = false,
                          .x509_svid_ttl = false,
                          .federates_with = false,
                          .admin = false,
                          .downstream = false,
                          .expires_at = false,
                          .dns_names = false,
                          .revision_number = false,
                          .store_svid = false,
                          .jwt_svid_ttl = false,
                          .hint = false,
                          .created_at = false,
                          .additional_attributes = false};

// The fields that can be wrong by themselves, so that each is heard of.
constexpr std::array kCheckedFields = {&EntryMask::spiffe_id,     &EntryMask::parent_id,
                                       &EntryMask::selectors,     &EntryMask::dns_names,
                                       &EntryMask::x509_svid_ttl, &EntryMask::jwt_svid_ttl,
                                       &EntryMask::hint,          &EntryMask::federates_with};

// The entry; absent when something is wrong with it, which is then in `problems`.
std::optional<Entry> Read(const types::Entry& proto, std::size_t index,
                          const TrustDomain& trust_domain, std::vector<OwnedProblem>* problems) {
  const std::size_t before = problems->size();
  for (const auto field : kCheckedFields) {
    EntryMask mask = kNone;
    mask.*field = true;
    const auto read = ReadEntry(proto, mask, trust_domain);
    const Status checked =
        read ? CheckEntry(*read, trust_domain, mask) : Status(Fail(read.error()));
    if (!checked) problems->push_back({index, checked.error().detail, {}});
  }
  if (problems->size() != before) return std::nullopt;
  auto entry = ReadEntry(proto, EntryMask{}, trust_domain);
  if (entry) return *std::move(entry);
  problems->push_back({index, entry.error().detail, {}});
  return std::nullopt;
}

void Write(const ApplyOutcome& outcome, api::Applied* applied) {
  applied->set_revision(outcome.revision);
  applied->set_unchanged(static_cast<std::uint32_t>(outcome.unchanged));
  applied->set_not_named(static_cast<std::uint32_t>(outcome.not_named));
  for (const OwnedChange& one : outcome.changes) {
    auto* change = applied->add_changes();
    if (one.before != nullptr) WriteEntry(*one.before, EntryMask{}, change->mutable_before());
    if (one.after != nullptr) WriteEntry(*one.after, EntryMask{}, change->mutable_after());
  }
}

void Write(std::vector<OwnedProblem> problems, api::Refused* refused) {
  StableSortBy(problems, &OwnedProblem::index);
  for (OwnedProblem& one : problems) {
    auto* problem = refused->add_problems();
    problem->set_index(static_cast<std::uint32_t>(one.index));
    problem->set_text(std::move(one.text));
    problem->set_hint(std::move(one.hint));
  }
}

}  // namespace

void EntriesService::Register(Router* router) {
  router->AddUnary("/signet.entries.v1.Entries/Apply",
                   Unary<api::ApplyRequest, api::ApplyResponse>(
                       [this](const Caller& caller, const api::ApplyRequest& request) {
                         return Apply(caller, request);
                       }));
  router->AddUnary(
      "/signet.entries.v1.Entries/List",
      Unary<api::ListRequest, api::ListResponse>(
          [this](const Caller&, const api::ListRequest& request) { return List(request); }));
}

// What cannot be read is refused here, but the rest goes to the registry as a plan all the same, so
// that everything wrong is said at once.
Result<api::ApplyResponse> EntriesService::Apply(const Caller& caller,
                                                 const api::ApplyRequest& request) {
  OwnedSet set;
  set.owner = request.owner();
  std::vector<OwnedProblem> problems;
  std::vector<std::size_t> places;
  for (int i = 0; i < request.entries_size(); ++i) {
    const auto index = static_cast<std::size_t>(i);
    auto entry = Read(request.entries(i), index, registry_.trust_domain(), &problems);
    if (!entry) continue;
    places.push_back(index);
    set.entries.push_back(*std::move(entry));
  }
  set.plan_only = request.plan_only() || !problems.empty();
  // What could not be read might have named an entry that is in another one's way.
  set.prune = request.prune() || !problems.empty();
  SIGNET_TRY(ApplyOutcome outcome, registry_.ApplyEntries(std::move(set), caller.AsActor()));
  for (OwnedProblem& problem : outcome.problems) {
    problem.index = places[problem.index];
    problems.push_back(std::move(problem));
  }
  api::ApplyResponse response;
  if (problems.empty()) {
    Write(outcome, response.mutable_applied());
  } else {
    Write(std::move(problems), response.mutable_refused());
  }
  return response;
}

Result<api::ListResponse> EntriesService::List(const api::ListRequest& request) const {
  SIGNET_RETURN_IF_ERROR(CheckOwner(request.owner()));
  SIGNET_TRY(const auto page, registry_.ListEntries({}, kPageSize, request.page_token()));
  api::ListResponse response;
  for (const EntryPtr& entry : page.items) {
    if (OwnerOf(entry->id) != request.owner()) continue;
    auto* added = response.add_entries();
    WriteEntry(*entry, EntryMask{}, added);
    added->set_id(GivenName(request.owner(), *entry));
  }
  response.set_next_page_token(page.next);
  return response;
}

}  // namespace signet::identity
