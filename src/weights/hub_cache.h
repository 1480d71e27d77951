// SPDX-License-Identifier: Apache-2.0
// One repository's folder in a cache laid out as huggingface_hub's:
//   models--ORG--NAME/refs/REVISION              a commit
//   models--ORG--NAME/blobs/ETAG                 contents
//   models--ORG--NAME/snapshots/COMMIT/FILE      links into blobs/
//   .locks/models--ORG--NAME/ETAG.lock           held (flock) while the blob is written
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/status.h"

namespace banyan::weights {

// Names from a server that become paths: relative, without "..", without control characters.
bool IsSafePath(std::string_view name);

class HubCache {
 public:
  HubCache(const std::string& cache_dir, const std::string& repo);

  // The commit that the cache has for a revision; empty when it has none.
  std::string Commit(const std::string& revision) const;
  std::filesystem::path Snapshot(const std::string& commit) const;
  std::filesystem::path Blob(const std::string& etag) const { return root_ / "blobs" / etag; }

  // Makes snapshots/COMMIT/FILE a link to the blob.
  Status Link(const std::string& commit, const std::string& file, const std::string& etag) const;
  Status WriteRef(const std::string& revision, const std::string& commit) const;

  // Held while it lives.
  class Lock {
   public:
    explicit Lock(int descriptor) : descriptor_(descriptor) {}
    Lock(Lock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    Lock& operator=(Lock&&) = delete;
    ~Lock();

   private:
    int descriptor_;
  };
  StatusOr<Lock> LockBlob(const std::string& etag) const;  // waits
  Status MakeFolders() const;

 private:
  std::filesystem::path root_;
  std::filesystem::path locks_;
};

}  // namespace banyan::weights
