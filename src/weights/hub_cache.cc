// SPDX-License-Identifier: Apache-2.0
#include "weights/hub_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace banyan::weights {
namespace {

namespace fs = std::filesystem;

std::string FolderName(const std::string& repo) {
  std::string name = "models--" + repo;
  name.replace(name.find('/'), 1, "--");
  return name;
}

Status WriteError(const fs::path& path, int error) {
  if (error == ENOSPC || error == EDQUOT)
    return ResourceExhausted("no space left for {}", path.string());
  return FailedPrecondition("cannot write {}: {}", path.string(), std::strerror(error));
}

Status MakeFolder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  return error ? WriteError(path, error.value()) : OkStatus();
}

bool IsCommit(std::string_view text) {
  return text.size() == 40 && std::ranges::all_of(text, [](unsigned char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

bool IsSafePath(std::string_view name) {
  if (name.empty() || name.front() == '/' || name.size() > 1024) return false;
  while (!name.empty()) {
    const std::string_view part = name.substr(0, name.find('/'));
    if (part.empty() || part == "." || part == "..") return false;
    for (unsigned char c : part)
      if (c < 0x20 || c == '\\' || c == 0x7F) return false;
    name.remove_prefix(std::min(part.size() + 1, name.size()));
  }
  return true;
}

HubCache::HubCache(const std::string& cache_dir, const std::string& repo)
    : root_(fs::path(cache_dir) / FolderName(repo)),
      locks_(fs::path(cache_dir) / ".locks" / FolderName(repo)) {}

std::string HubCache::Commit(const std::string& revision) const {
  std::string commit;
  if (IsSafePath(revision)) std::ifstream(root_ / "refs" / revision) >> commit;
  if (IsCommit(commit)) return commit;
  std::error_code error;
  if (IsCommit(revision) && fs::is_directory(Snapshot(revision), error)) return revision;
  return {};
}

fs::path HubCache::Snapshot(const std::string& commit) const {
  return root_ / "snapshots" / commit;
}

Status HubCache::Link(const std::string& commit, const std::string& file,
                      const std::string& etag) const {
  const fs::path link = Snapshot(commit) / file;
  BANYAN_RETURN_IF_ERROR(MakeFolder(link.parent_path()));
  std::error_code error;
  const fs::path target = fs::relative(Blob(etag), link.parent_path(), error);
  // Under another name first: a link must never be seen half made, and may replace an old one.
  const fs::path fresh = link.string() + fmt::format(".{}.tmp", getpid());
  fs::remove(fresh, error);
  fs::create_symlink(target, fresh, error);
  if (!error) fs::rename(fresh, link, error);
  return error ? WriteError(link, error.value()) : OkStatus();
}

Status HubCache::WriteRef(const std::string& revision, const std::string& commit) const {
  if (!IsSafePath(revision)) return InvalidArgument("'{}' is no revision", revision);
  const fs::path path = root_ / "refs" / revision;
  BANYAN_RETURN_IF_ERROR(MakeFolder(path.parent_path()));
  const fs::path fresh = path.string() + fmt::format(".{}.tmp", getpid());
  {
    std::ofstream out(fresh, std::ios::binary);
    out << commit;
    out.flush();
    if (!out) return WriteError(fresh, errno);
  }
  std::error_code error;
  fs::rename(fresh, path, error);
  return error ? WriteError(path, error.value()) : OkStatus();
}

HubCache::Lock::~Lock() {
  if (descriptor_ >= 0) close(descriptor_);
}

StatusOr<HubCache::Lock> HubCache::LockBlob(const std::string& etag) const {
  const fs::path path = locks_ / (etag + ".lock");
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) return WriteError(path, errno);
  while (flock(descriptor, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    const int error = errno;
    close(descriptor);
    return WriteError(path, error);
  }
  return Lock(descriptor);
}

Status HubCache::MakeFolders() const {
  BANYAN_RETURN_IF_ERROR(MakeFolder(root_ / "blobs"));
  return MakeFolder(locks_);
}

}  // namespace banyan::weights
