// Registration entries as YAML files (docs/entries-as-files.md): read with every problem at once,
// by file and line, and written in the same form.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/config.h"
#include "spire/api/types/entry.pb.h"

namespace signet::ctl {

// An entry and where it stands. Its id is the name the file gives it, or empty.
struct FileEntry {
  spire::api::types::Entry entry;
  std::string file;
  int line = 0;
};

struct EntryFiles {
  std::vector<FileEntry> entries;  // those that nothing is wrong with
  ConfigProblems problems;
};

// Files, folders with all the .yaml and .yml files below them (hidden ones apart), or "-" for
// standard input. At most 10,000 files of 4 MiB each.
EntryFiles ReadEntryFiles(const std::vector<std::string>& paths);
// The content of one file, added to `files`.
void ParseEntryFile(std::string_view text, std::string name, EntryFiles* files);
// What is there twice among files, by id or by SPIFFE ID, parent and selectors, is a problem, and
// only the first stays.
void DropRepeated(EntryFiles* files);

// The content of a file that holds these entries, in order of SPIFFE ID.
std::string ToEntryFile(std::vector<spire::api::types::Entry> entries, std::string_view owner);

// The fields of an entry by the names files have for them, in the order files have them; "" for
// what has its default. Always the same names.
std::vector<std::pair<std::string, std::string>> FieldTexts(const spire::api::types::Entry& entry);

}  // namespace signet::ctl
