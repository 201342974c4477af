// SQLite behind our own names: a connection with its prepared statements, and errors as the store's
// reasons. The only header of ours that knows sqlite3.h, and only by name.
//
// Threads: a Connection and its statements belong to one thread at a time.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "identity/store/store.h"

struct sqlite3;
struct sqlite3_stmt;

namespace signet::identity {

inline constexpr Reason kStoreRefused{"database refused a row"};
inline constexpr Reason kStoreSyncFailed{"changes could not be made durable"};

// The use of one prepared statement; it is ready for its next use when this ends. A statement that
// could not be prepared says so when it is stepped.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  ~Statement();

  // Binds to parameters ?1, ?2, … in order: integers and booleans, texts, bytes. Copies them.
  template <class... Values>
  Statement& Bind(const Values&... values) {
    int index = 0;
    (BindOne(++index, values), ...);
    return *this;
  }
  // True when there is a row to read.
  Result<bool> Step();
  // Steps to the end and makes it ready to be bound again.
  Status Run();
  void Reset();

  // Columns count from 0.
  std::int64_t Integer(int column) const;
  bool Boolean(int column) const { return Integer(column) != 0; }
  std::string Text(int column) const;
  Bytes Blob(int column) const;

 private:
  friend class Connection;
  Statement(sqlite3* database, sqlite3_stmt* statement, Status prepared);
  template <std::integral T>
  void BindOne(int index, T value) {
    BindInteger(index, static_cast<std::int64_t>(value));
  }
  void BindOne(int index, std::string_view value) { BindText(index, value); }
  void BindOne(int index, ByteView value) { BindBlob(index, value); }
  void BindInteger(int index, std::int64_t value);
  void BindText(int index, std::string_view value);
  void BindBlob(int index, ByteView value);

  sqlite3* database_;
  sqlite3_stmt* statement_;
  Status prepared_;
};

class Connection {
 public:
  // Opens an existing file. Waits at most `busy_timeout` for the locks of others.
  static Result<std::unique_ptr<Connection>> Open(const std::string& path,
                                                  std::chrono::milliseconds busy_timeout);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // `sql` must be a literal: the prepared statement is kept under its address for the next use.
  Statement Use(const char* sql);
  // Runs one or several statements without results.
  Status Execute(const std::string& sql);
  // The first column of the first row of a query.
  Result<std::int64_t> QueryInteger(const char* sql);
  Result<std::string> QueryText(const char* sql);
  // Rows changed by the last INSERT, UPDATE or DELETE.
  std::int64_t Changes() const;
  bool InTransaction() const;
  // For SQLite's interfaces that take whole databases.
  sqlite3* handle() const { return database_; }
  // The last call's failure, or `code`, as the store's reasons.
  Status LastError() const;
  Status LastError(int code) const;

 private:
  explicit Connection(sqlite3* database) : database_(database) {}
  sqlite3* database_;
  std::map<const char*, sqlite3_stmt*> statements_;
};

}  // namespace signet::identity
