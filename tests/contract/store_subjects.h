// The stores that the contract is run over: each can be closed and opened again over what it keeps.
#pragma once

#include <catch2/catch.hpp>
#include <memory>

#include "identity/store/sqlite/sqlite_store.h"
#include "tests/support/fake_store.h"
#include "tests/support/store_values.h"
#include "tests/support/temp_dir.h"

namespace signet::identity {

class FakeSubject {
 public:
  Store& store() { return *store_; }
  void Reopen() { store_ = store_->Reopen(); }

 private:
  std::unique_ptr<test::FakeStore> store_ = std::make_unique<test::FakeStore>();
};

class SqliteSubject {
 public:
  SqliteSubject() { Reopen(); }
  Store& store() { return *store_; }
  void Reopen() {
    store_.reset();
    auto opened = SqliteStore::Open(folder_.File("signet.db"), test::Domain(), log_);
    if (!opened) FAIL(opened.error().Message());
    store_ = *std::move(opened);
  }

 private:
  test::TempDir folder_;
  Logger log_ = Logger::Null();
  std::unique_ptr<Store> store_;
};

}  // namespace signet::identity
