#include "tests/support/fake_store.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "identity/audit/log_chain.h"

namespace signet::test {

using namespace identity;  // NOLINT: the fake speaks of nothing else

namespace {

// Rows by key that list in the order they were first put.
template <class Key, class Row>
class Table {
 public:
  void Put(const Key& key, const Row& row) {
    auto [found, inserted] = rows_.try_emplace(key, next_, row);
    if (inserted) {
      ++next_;
    } else {
      found->second.second = row;
    }
  }
  const Row* Find(const Key& key) const {
    const auto found = rows_.find(key);
    return found == rows_.end() ? nullptr : &found->second.second;
  }
  void Remove(const Key& key) { rows_.erase(key); }
  template <class Predicate>
  void RemoveIf(Predicate predicate) {
    std::erase_if(rows_, [&](const auto& item) { return predicate(item.second.second); });
  }
  std::vector<Row> List() const {
    std::vector<std::pair<std::uint64_t, const Row*>> order;
    for (const auto& [key, item] : rows_) order.emplace_back(item.first, &item.second);
    std::sort(order.begin(), order.end());
    std::vector<Row> rows;
    for (const auto& [number, row] : order) rows.push_back(*row);
    return rows;
  }

 private:
  std::map<Key, std::pair<std::uint64_t, Row>> rows_;
  std::uint64_t next_ = 0;
};

struct Rows {
  Table<std::string, Entry> entries;
  Table<SpiffeId, Node> nodes;
  Table<std::string, JoinToken> tokens;
  Table<TrustDomain, Bundle> bundles;
  Table<TrustDomain, FederationRelationship> relationships;
  Table<std::pair<std::string, std::string>, AuthorityRecord> authorities;
  std::map<std::string, Denial> denials;
};

bool Fits(const LogFilter& filter, const LoggedRecord& logged) {
  const AuditRecord& record = logged.record;
  const auto equal = [](const std::string& wanted, const std::string& value) {
    return wanted.empty() || wanted == value;
  };
  return logged.place.seq > filter.after &&
         (filter.before == 0 || logged.place.seq < filter.before) &&
         record.recorded_at >= filter.since &&
         (filter.until == 0 || record.recorded_at < filter.until) &&
         equal(filter.subject, record.subject) && equal(filter.serial, record.serial) &&
         equal(filter.object, record.object) &&
         (equal(filter.event, record.event) || record.event.starts_with(filter.event + "."));
}

}  // namespace

struct FakeStore::Content {
  Rows rows;
  std::vector<LoggedRecord> log;
  LogHead base;
  std::map<std::uint64_t, LogCheckpoint> checkpoints;

  LogHead Head() const { return log.empty() ? base : log.back().place; }
  void Append(const std::vector<AuditRecord>& records) {
    for (const AuditRecord& record : records) {
      const LogHead last = Head();
      log.push_back({{last.seq + 1, NextLogHash(last.hash, record)}, record});
    }
  }
  Revision revision = 0;
};

struct FakeStore::State {
  std::shared_ptr<Content> content;
  mutable std::mutex mutex;
  std::mutex writer;  // held by the one running transaction, before `mutex`
  std::thread::id transaction_thread;
  std::vector<AuditRecord> appended_in_transaction;
  std::optional<Error> next_commit;
  std::optional<Error> next_append;
  std::optional<Error> broken;
  std::size_t commits = 0;
  std::size_t appends = 0;

  template <class F>
  auto Read(F read) const -> Result<decltype(read(std::declval<const Content&>()))> {
    const std::lock_guard lock(mutex);
    if (broken) return Fail(*broken);
    return read(std::as_const(*content));
  }
};

class FakeStore::FakeTransaction final : public Transaction,
                                         EntryRows,
                                         NodeRows,
                                         TokenRows,
                                         BundleRows,
                                         AuthorityRows {
 public:
  FakeTransaction(Rows& rows, Revision revision) : rows_(rows), revision_(revision) {}

  Revision revision() const override { return revision_; }
  EntryRows& entries() override { return *this; }
  NodeRows& nodes() override { return *this; }
  TokenRows& tokens() override { return *this; }
  BundleRows& bundles() override { return *this; }
  AuthorityRows& authorities() override { return *this; }
  FederationRows& federation() override { return relationships_; }
  DenialRows& denials() override { return denial_rows_; }

 private:
  Status Put(const Entry& entry) override {
    rows_.entries.Put(entry.id, entry);
    return {};
  }
  Status Put(const Node& node) override {
    rows_.nodes.Put(node.id, node);
    return {};
  }
  Status Put(const Bundle& bundle) override {
    rows_.bundles.Put(bundle.trust_domain, bundle);
    return {};
  }
  Status Put(const AuthorityRecord& record) override {
    rows_.authorities.Put({record.type, record.slot.id}, record);
    return {};
  }
  Status Remove(const std::string& id) override {
    rows_.entries.Remove(id);
    return {};
  }
  Status Remove(const SpiffeId& id) override {
    rows_.nodes.Remove(id);
    return {};
  }
  Status Remove(const TrustDomain& trust_domain) override {
    rows_.bundles.Remove(trust_domain);
    return {};
  }
  Status Remove(const std::string& type, const std::string& id) override {
    rows_.authorities.Remove({type, id});
    return {};
  }
  Status Insert(const JoinToken& token) override {
    if (rows_.tokens.Find(token.digest) != nullptr) {
      return Fail(Code::kAlreadyExists, kTokenExists);
    }
    rows_.tokens.Put(token.digest, token);
    return {};
  }
  Result<JoinToken> Take(const std::string& digest) override {
    const JoinToken* found = rows_.tokens.Find(digest);
    if (found == nullptr) return Fail(Code::kNotFound, kTokenUnknown);
    JoinToken token = *found;
    rows_.tokens.Remove(digest);
    return token;
  }
  Status RemoveExpired(std::int64_t before) override {
    rows_.tokens.RemoveIf([&](const JoinToken& token) { return token.expires_at < before; });
    return {};
  }

  // Beside BundleRows, which also removes by trust domain.
  class Relationships final : public FederationRows {
   public:
    explicit Relationships(Rows& rows) : rows_(rows) {}
    Status Put(const FederationRelationship& relationship) override {
      rows_.relationships.Put(relationship.trust_domain, relationship);
      return {};
    }
    Status Remove(const TrustDomain& trust_domain) override {
      rows_.relationships.Remove(trust_domain);
      return {};
    }

   private:
    Rows& rows_;
  };

  // Beside EntryRows, which also removes by id.
  class FakeDenialRows final : public DenialRows {
   public:
    explicit FakeDenialRows(Rows& rows) : rows_(rows) {}
    Status Put(const Denial& denial) override {
      rows_.denials.insert_or_assign(denial.id, denial);
      return {};
    }
    Status Remove(const std::string& id) override {
      rows_.denials.erase(id);
      return {};
    }

   private:
    Rows& rows_;
  };

  Rows& rows_;
  Relationships relationships_{rows_};
  FakeDenialRows denial_rows_{rows_};
  const Revision revision_;
};

FakeStore::FakeStore() : FakeStore(std::make_shared<Content>()) {}
FakeStore::FakeStore(std::shared_ptr<Content> content) : state_(std::make_unique<State>()) {
  state_->content = std::move(content);
}
FakeStore::~FakeStore() = default;

Result<Revision> FakeStore::Commit(const std::function<Status(Transaction&)>& work) {
  State& state = *state_;
  const std::lock_guard writer(state.writer);
  Rows rows;
  Revision revision = 0;
  {
    const std::lock_guard lock(state.mutex);
    if (state.broken) return Fail(*state.broken);
    rows = state.content->rows;
    revision = state.content->revision + 1;
    state.transaction_thread = std::this_thread::get_id();
    state.appended_in_transaction.clear();
  }
  FakeTransaction transaction(rows, revision);
  Status outcome = work(transaction);
  const std::lock_guard lock(state.mutex);
  state.transaction_thread = {};
  if (!outcome) return Fail(std::move(outcome).error());
  if (state.next_commit) return Fail(*std::exchange(state.next_commit, std::nullopt));
  state.content->rows = std::move(rows);
  state.content->revision = revision;
  state.content->Append(state.appended_in_transaction);
  ++state.commits;
  return revision;
}

Status FakeStore::AppendRecords(const std::vector<AuditRecord>& records) {
  const std::lock_guard lock(state_->mutex);
  if (state_->broken) return Fail(*state_->broken);
  if (state_->next_append) return Fail(*std::exchange(state_->next_append, std::nullopt));
  if (state_->transaction_thread == std::this_thread::get_id()) {
    auto& pending = state_->appended_in_transaction;
    pending.insert(pending.end(), records.begin(), records.end());
  } else {
    state_->content->Append(records);
  }
  ++state_->appends;
  return {};
}

Result<Revision> FakeStore::LoadRevision() {
  return state_->Read([](const Content& content) { return content.revision; });
}
Result<std::vector<Entry>> FakeStore::LoadEntries() {
  return state_->Read([](const Content& content) { return content.rows.entries.List(); });
}
Result<std::vector<Node>> FakeStore::LoadNodes() {
  return state_->Read([](const Content& content) { return content.rows.nodes.List(); });
}
Result<std::vector<Bundle>> FakeStore::LoadBundles() {
  return state_->Read([](const Content& content) { return content.rows.bundles.List(); });
}
Result<std::vector<AuthorityRecord>> FakeStore::LoadAuthorities() {
  return state_->Read([](const Content& content) { return content.rows.authorities.List(); });
}
Result<std::vector<FederationRelationship>> FakeStore::LoadRelationships() {
  return state_->Read([](const Content& content) { return content.rows.relationships.List(); });
}
Result<std::vector<Denial>> FakeStore::LoadDenials() {
  return state_->Read([](const Content& content) {
    std::vector<Denial> denials;
    for (const auto& [id, denial] : content.rows.denials) denials.push_back(denial);
    return denials;
  });
}
Result<std::vector<LiveSerial>> FakeStore::LoadLiveSerials(const std::string& requested_by,
                                                           std::int64_t now, std::size_t limit) {
  return state_->Read([&](const Content& content) {
    std::vector<LiveSerial> serials;
    for (const auto& [place, record] : content.log)
      if (record.actor == requested_by && record.purpose == "workload" && record.not_after > now)
        serials.push_back({record.serial, record.not_after});
    std::ranges::sort(serials, std::greater(), &LiveSerial::not_after);
    if (serials.size() > limit) serials.resize(limit);
    return serials;
  });
}
Result<std::vector<LoggedRecord>> FakeStore::LoadLog(const LogFilter& filter) {
  return state_->Read([&](const Content& content) {
    std::vector<LoggedRecord> found;
    for (const LoggedRecord& logged : content.log)
      if (Fits(filter, logged)) found.push_back(logged);
    if (filter.newest_first) std::reverse(found.begin(), found.end());
    if (found.size() > filter.limit) found.resize(filter.limit);
    return found;
  });
}
Result<std::vector<CurrentSvid>> FakeStore::LoadCurrentSvids(std::int64_t now) {
  return state_->Read([&](const Content& content) {
    std::map<std::vector<std::string>, CurrentSvid> current;
    for (const auto& [place, record] : content.log) {
      const bool leaf = record.purpose == "workload" || record.purpose == "agent" ||
                        record.purpose == "downstream";
      if (record.serial.empty() || record.not_after <= now || (!leaf && record.purpose != "jwt"))
        continue;
      const std::string holder = record.purpose == "agent" ? ""
                                 : record.purpose == "jwt" ? record.serial
                                                           : record.actor;
      current[{record.purpose, record.subject, record.object, holder}] = {
          record.authority_id, record.purpose, record.actor,
          record.object,       record.subject, record.not_after};
    }
    std::vector<CurrentSvid> found;
    for (auto& [key, svid] : current) found.push_back(std::move(svid));
    return found;
  });
}
Result<LogHead> FakeStore::LoadLogHead() {
  return state_->Read([](const Content& content) { return content.Head(); });
}
Result<LogHead> FakeStore::LoadLogBase() {
  return state_->Read([](const Content& content) { return content.base; });
}
Result<std::vector<LogCheckpoint>> FakeStore::LoadCheckpoints(std::size_t limit) {
  return state_->Read([&](const Content& content) {
    std::vector<LogCheckpoint> found;
    for (auto it = content.checkpoints.rbegin();
         it != content.checkpoints.rend() && found.size() < limit; ++it)
      found.push_back(it->second);
    return found;
  });
}
Status FakeStore::PutCheckpoint(const LogCheckpoint& checkpoint) {
  const std::lock_guard lock(state_->mutex);
  if (state_->broken) return Fail(*state_->broken);
  state_->content->checkpoints[checkpoint.head.seq] = checkpoint;
  return {};
}
Status FakeStore::PruneLog(std::uint64_t seq) {
  const std::lock_guard lock(state_->mutex);
  if (state_->broken) return Fail(*state_->broken);
  Content& content = *state_->content;
  if (seq <= content.base.seq) return {};
  if (content.checkpoints.empty() || content.checkpoints.rbegin()->first <= seq)
    return Fail(Code::kFailedPrecondition, kLogPruneRefused);
  const auto last = std::ranges::find(content.log, seq,
                                      [](const LoggedRecord& logged) { return logged.place.seq; });
  if (last == content.log.end()) return Fail(Code::kNotFound, kLogChainBroken);
  content.base = last->place;
  content.log.erase(content.log.begin(), last + 1);
  return {};
}

void FakeStore::FailNextCommit(Error error) {
  const std::lock_guard lock(state_->mutex);
  state_->next_commit = std::move(error);
}
void FakeStore::FailNextAppend(Error error) {
  const std::lock_guard lock(state_->mutex);
  state_->next_append = std::move(error);
}
void FakeStore::Break(Error error) {
  const std::lock_guard lock(state_->mutex);
  state_->broken = std::move(error);
}
void FakeStore::Heal() {
  const std::lock_guard lock(state_->mutex);
  state_->broken.reset();
}
std::size_t FakeStore::commits() const {
  const std::lock_guard lock(state_->mutex);
  return state_->commits;
}
std::size_t FakeStore::appends() const {
  const std::lock_guard lock(state_->mutex);
  return state_->appends;
}

std::unique_ptr<FakeStore> FakeStore::Reopen() {
  const std::lock_guard lock(state_->mutex);
  return std::unique_ptr<FakeStore>(new FakeStore(state_->content));
}

}  // namespace signet::test
