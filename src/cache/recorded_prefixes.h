// SPDX-License-Identifier: Apache-2.0
// The files of recorded sequences, with the matches that a tree of unlimited size finds, for the
// tests of this folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace banyan {

struct RecordedPrefixes {
  std::filesystem::path path;
  int page_size = 1;  // as its name says: "branchy.page1.jsonl"
};

// Of `folder`; none where it is not there.
inline std::vector<RecordedPrefixes> FindRecordedPrefixes(const std::filesystem::path& folder) {
  std::vector<RecordedPrefixes> files;
  if (!std::filesystem::exists(folder)) return files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jsonl") continue;
    const std::string name = entry.path().filename();
    const size_t at = name.find(".page");
    files.push_back({entry.path(), at == std::string::npos ? 1 : std::stoi(name.substr(at + 5))});
  }
  return files;
}

}  // namespace banyan
