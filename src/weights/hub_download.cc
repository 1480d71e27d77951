// SPDX-License-Identifier: Apache-2.0
#include "weights/hub_download.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>

#include "base/json.h"
#include "weights/http_get.h"

namespace banyan::weights {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxRedirects = 10;

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

std::string Header(const HttpResponse& response, const std::string& name) {
  const auto found = response.headers.find(name);
  return found == response.headers.end() ? std::string() : found->second;
}

std::optional<int64_t> Number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// A path as part of an address.
std::string Escape(std::string_view path) {
  std::string text;
  for (unsigned char c : path) {
    if (std::isalnum(c) != 0 || std::strchr("-._~/", c) != nullptr)
      text += static_cast<char>(c);
    else
      text += fmt::format("%{:02X}", c);
  }
  return text;
}

StatusOr<std::string> Absolute(const std::string& base, const std::string& location) {
  if (location.starts_with("http://") || location.starts_with("https://")) return location;
  if (!location.starts_with('/'))
    return Unavailable("{} redirects to '{}', which is no address", base, location);
  BANYAN_ASSIGN_OR_RETURN(Url url, ParseUrl(base));
  return url.Origin() + location;
}

// One sentence for a reply that is not what was asked for.
Status RefusalStatus(const std::string& repo, const HubOptions& options,
                     const HttpResponse& response) {
  const std::string where = fmt::format("{}/{}", options.endpoint, repo);
  const std::string code = Header(response, "x-error-code");
  const std::string hint = options.token.empty() ? "set HF_TOKEN to an account that has access"
                                                 : "the token in use has no access";
  if (code == "GatedRepo")
    return PermissionDenied("{} is gated: accept its terms there, and {}", where, hint);
  switch (response.status) {
    case 401:
      return Unauthenticated("{} does not exist, is private, or is gated ({}): {}", where,
                             response.status, hint);
    case 403:
      return PermissionDenied("{} refuses access ({}): {}", where, response.status, hint);
    case 404:
      return NotFound("{} has no such repository, revision or file ({})", where, response.status);
    default:
      return Unavailable("{} answered {}", where, response.status);
  }
}

// Temporary by nature: worth another attempt.
bool IsTemporary(const Status& status) {
  return status.code() == StatusCode::kUnavailable ||
         status.code() == StatusCode::kDeadlineExceeded;
}

// GETs or HEADs `url`, following redirects; the token goes to the hub's own address only.
Status Fetch(std::string url, const HubOptions& options, bool head_only, bool follow_away,
             std::map<std::string, std::string> headers,
             const std::function<bool(const HttpResponse&)>& on_head,
             const std::function<Status(std::string_view)>& on_body) {
  BANYAN_ASSIGN_OR_RETURN(Url home, ParseUrl(options.endpoint));
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    BANYAN_ASSIGN_OR_RETURN(Url here, ParseUrl(url));
    headers.erase("Authorization");
    if (!options.token.empty() && here.Origin() == home.Origin())
      headers["Authorization"] = "Bearer " + options.token;
    std::string location;
    const HttpRequest request{.url = url,
                              .head_only = head_only,
                              .headers = headers,
                              .ca_file = options.ca_file,
                              .timeout_seconds = options.timeout_seconds};
    BANYAN_RETURN_IF_ERROR(HttpGet(
        request,
        [&](const HttpResponse& response) {
          const std::string to = Header(response, "location");
          // The hub's redirect to a store carries the file's identity: the caller wants to see it.
          const bool away = !to.starts_with('/');
          if (IsRedirect(response.status) && !to.empty() && (follow_away || !away)) {
            location = to;
            return false;
          }
          return on_head(response);
        },
        on_body));
    if (location.empty()) return OkStatus();
    BANYAN_ASSIGN_OR_RETURN(url, Absolute(url, location));
  }
  return Unavailable("{} redirects more than {} times", url, kMaxRedirects);
}

// Runs `attempt` until it succeeds, fails for good, or has failed `options.attempts` times without
// having got further.
Status WithRetries(const HubOptions& options, const std::function<Status()>& attempt,
                   const std::function<int64_t()>& progress) {
  Status status;
  int64_t reached = progress();
  auto pause = std::chrono::milliseconds(200);
  for (int i = 0; i < std::max(1, options.attempts); ++i) {
    if (i > 0) std::this_thread::sleep_for(pause);
    status = attempt();
    if (status.ok() || !IsTemporary(status)) return status;
    if (progress() > reached) {
      i = 0;
      pause = std::chrono::milliseconds(200);
      reached = progress();
    }
    pause = std::min(pause * 2, std::chrono::milliseconds(5000));
  }
  return status;
}

// The hash that a blob's name says it has; empty when the name is no hash that we know.
StatusOr<std::string> HashFile(const fs::path& path, std::size_t name_length) {
  const EVP_MD* kind = name_length == 64 ? EVP_sha256() : EVP_sha1();
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (descriptor < 0 || fstat(descriptor, &info) != 0 || context == nullptr ||
      EVP_DigestInit_ex(context.get(), kind, nullptr) != 1)
    return FailedPrecondition("cannot read {}: {}", path.string(), std::strerror(errno));
  if (name_length == 40) {
    const std::string head = fmt::format("blob {}", info.st_size);
    EVP_DigestUpdate(context.get(), head.c_str(), head.size() + 1);  // git hashes the final zero
  }
  std::vector<char> chunk(1 << 20);
  ssize_t got = 0;
  while ((got = read(descriptor, chunk.data(), chunk.size())) > 0)
    EVP_DigestUpdate(context.get(), chunk.data(), static_cast<std::size_t>(got));
  close(descriptor);
  if (got < 0) return FailedPrecondition("cannot read {}: {}", path.string(), std::strerror(errno));
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(context.get(), digest, &size);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

struct Identity {
  std::string etag;
  int64_t size = -1;
};

class Download {
 public:
  Download(std::string repo, std::string url, std::string file, const HubCache& cache,
           const HubOptions& options)
      : repo_(std::move(repo)),
        url_(std::move(url)),
        file_(std::move(file)),
        cache_(cache),
        options_(options) {}

  StatusOr<std::string> Run() {  // the blob's name
    BANYAN_RETURN_IF_ERROR(WithRetries(
        options_, [&] { return Identify(); }, [] { return 0; }));
    const fs::path blob = cache_.Blob(identity_.etag);
    std::error_code error;
    if (fs::exists(blob, error)) return identity_.etag;
    BANYAN_ASSIGN_OR_RETURN(HubCache::Lock lock, cache_.LockBlob(identity_.etag));
    if (fs::exists(blob, error)) return identity_.etag;  // another process brought it meanwhile
    partial_ = blob.string() + ".incomplete";
    const bool resumed = Size() > 0;
    Status status = Complete();
    // What the cut download had left may have been damaged: once more from the start.
    if (status.code() == StatusCode::kDataLoss && resumed) status = Complete();
    BANYAN_RETURN_IF_ERROR(status);
    fs::rename(partial_, blob, error);
    if (error) return FailedPrecondition("cannot write {}: {}", blob.string(), error.message());
    return identity_.etag;
  }

 private:
  int64_t Size() const {
    std::error_code error;
    const auto size = fs::file_size(partial_, error);
    return error ? 0 : static_cast<int64_t>(size);
  }

  Status Identify() {
    Status status = Internal("{}: no answer", url_);
    BANYAN_RETURN_IF_ERROR(Fetch(url_, options_, true, false, {},
                                 [&](const HttpResponse& response) {
                                   status = ReadIdentity(response);
                                   return false;
                                 },
                                 {}));
    return status;
  }

  Status ReadIdentity(const HttpResponse& response) {
    if (response.status != 200 && !IsRedirect(response.status))
      return RefusalStatus(repo_, options_, response);
    std::string etag = Header(response, "x-linked-etag");
    std::string size = Header(response, "x-linked-size");
    if (etag.empty()) etag = Header(response, "etag");
    if (size.empty() && response.status == 200) size = Header(response, "content-length");
    if (etag.starts_with("W/")) etag.erase(0, 2);
    std::erase(etag, '"');
    const bool is_hash = (etag.size() == 64 || etag.size() == 40) &&
                         etag.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!is_hash)
      return Unavailable("{} names '{}' by '{}', which is no hash to check it by",
                         options_.endpoint, file_, etag);
    identity_ = {etag, Number(size).value_or(-1)};
    return OkStatus();
  }

  // Brings the partial file to its end and checks it. kDataLoss: it was wrong, and is removed.
  Status Complete() {
    BANYAN_RETURN_IF_ERROR(WithRetries(
        options_, [&] { return Continue(); }, [&] { return Size(); }));
    BANYAN_ASSIGN_OR_RETURN(std::string hash, HashFile(partial_, identity_.etag.size()));
    if (hash == identity_.etag) return OkStatus();
    std::error_code ignored;
    fs::remove(partial_, ignored);
    return DataLoss("'{}' of {} has the hash {}, {} expects {}", file_, repo_, hash,
                    options_.endpoint, identity_.etag);
  }

  // One connection: from the end of the partial file on.
  Status Continue() {
    int64_t offset = Size();
    if (identity_.size >= 0) {
      if (offset == identity_.size && offset > 0) return OkStatus();
      if (offset > identity_.size) offset = 0;
      std::error_code error;
      const auto space = fs::space(fs::path(partial_).parent_path(), error);
      if (!error && static_cast<int64_t>(space.available) < identity_.size - offset)
        return ResourceExhausted("'{}' needs {} bytes more, the disk of {} has {}", file_,
                                 identity_.size - offset, partial_, space.available);
    }
    const int descriptor = open(partial_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) return WriteError();
    Status status = Receive(descriptor, offset);
    if (close(descriptor) != 0 && status.ok()) status = WriteError();
    return status;
  }

  Status Receive(int descriptor, int64_t offset) {
    std::map<std::string, std::string> headers;
    if (offset > 0) headers["Range"] = fmt::format("bytes={}-", offset);
    Status refusal;
    BANYAN_RETURN_IF_ERROR(Fetch(
        url_, options_, false, true, headers,
        [&](const HttpResponse& response) {
          if (response.status == 200) {
            offset = 0;
          } else if (response.status == 416) {
            refusal = Unavailable("'{}' cannot be continued at byte {}", file_, offset);
            offset = 0;
          } else if (response.status != 206) {
            refusal = RefusalStatus(repo_, options_, response);
          } else if (!Header(response, "content-range")
                          .starts_with(fmt::format("bytes {}-", offset))) {
            refusal = Unavailable("'{}' was to be continued at byte {}, but comes as '{}'", file_,
                                  offset, Header(response, "content-range"));
          }
          if (response.status == 416 || refusal.ok()) {
            if (ftruncate(descriptor, offset) != 0 || lseek(descriptor, offset, SEEK_SET) < 0)
              refusal = WriteError();
          }
          return refusal.ok();
        },
        [&](std::string_view bytes) { return Append(descriptor, bytes, offset); }));
    BANYAN_RETURN_IF_ERROR(refusal);
    if (identity_.size >= 0 && offset != identity_.size)
      return Unavailable("'{}' ended at byte {} of {}", file_, offset, identity_.size);
    return OkStatus();
  }

  Status Append(int descriptor, std::string_view bytes, int64_t& offset) {
    while (!bytes.empty()) {
      const ssize_t written = write(descriptor, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return WriteError();
      offset += written;
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    if (identity_.size >= 0 && offset > identity_.size)
      return DataLoss("'{}' is longer than its {} bytes", file_, identity_.size);
    if (options_.progress) options_.progress(file_, offset, identity_.size);
    return OkStatus();
  }

  Status WriteError() const {
    if (errno == ENOSPC || errno == EDQUOT)
      return ResourceExhausted("no space left for {}", partial_);
    return FailedPrecondition("cannot write {}: {}", partial_, std::strerror(errno));
  }

  const std::string repo_, url_, file_;
  const HubCache& cache_;
  const HubOptions& options_;
  Identity identity_;
  std::string partial_;
};

}  // namespace

StatusOr<HubRepo> ListRepo(const std::string& repo, const HubOptions& options) {
  const std::string url =
      fmt::format("{}/api/models/{}/revision/{}", options.endpoint, repo, Escape(options.revision));
  std::string body;
  BANYAN_RETURN_IF_ERROR(WithRetries(
      options,
      [&] {
        Status refusal;
        body.clear();
        Status status = Fetch(
            url, options, false, true, {{"Accept", "application/json"}},
            [&](const HttpResponse& response) {
              if (response.status != 200) refusal = RefusalStatus(repo, options, response);
              return refusal.ok();
            },
            [&](std::string_view bytes) {
              constexpr std::size_t kLimit = 64 << 20;
              if (body.size() + bytes.size() > kLimit)
                return Unavailable("{}: the answer is longer than {} bytes", url, kLimit);
              body += bytes;
              return OkStatus();
            });
        return status.ok() ? refusal : status;
      },
      [] { return 0; }));
  BANYAN_ASSIGN_OR_RETURN(json::object info, ParseJsonObject(body, url));
  HubRepo result;
  if (const json::value* sha = info.if_contains("sha"); sha != nullptr && sha->is_string())
    result.commit = std::string(View(sha->get_string()));
  const json::value* siblings = info.if_contains("siblings");
  if (result.commit.empty() || !IsSafePath(result.commit) || siblings == nullptr ||
      !siblings->is_array())
    return Unavailable("{} did not answer with a commit and its files", url);
  for (const json::value& sibling : siblings->get_array()) {
    const json::value* name =
        sibling.is_object() ? sibling.get_object().if_contains("rfilename") : nullptr;
    if (name == nullptr || !name->is_string()) continue;
    if (IsSafePath(View(name->get_string()))) result.files.emplace_back(View(name->get_string()));
  }
  return result;
}

Status DownloadFile(const std::string& repo, const std::string& commit, const std::string& file,
                    const HubCache& cache, const HubOptions& options) {
  const std::string url =
      fmt::format("{}/{}/resolve/{}/{}", options.endpoint, repo, Escape(commit), Escape(file));
  BANYAN_RETURN_IF_ERROR(cache.MakeFolders());
  BANYAN_ASSIGN_OR_RETURN(std::string etag, Download(repo, url, file, cache, options).Run());
  return cache.Link(commit, file, etag);
}

}  // namespace banyan::weights
