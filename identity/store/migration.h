// One step of a database schema, as compiled into the program from migrations/. Released steps are
// never edited: their digests are kept in the database and compared.
#pragma once

#include <span>
#include <string_view>

namespace signet::identity {

struct Migration {
  int number = 0;  // 1, 2, … without gaps
  std::string_view name;
  std::string_view sql;
};

std::span<const Migration> SqliteMigrations();

}  // namespace signet::identity
