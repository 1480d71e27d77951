// SPDX-License-Identifier: Apache-2.0
#include "weights/hub.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/json.h"
#include "weights/hub_cache.h"
#include "weights/hub_download.h"
#include "weights/hub_files.h"
#include "weights/shard_name.h"

namespace banyan::weights {
namespace {

namespace fs = std::filesystem;

struct Name {
  std::string repo;   // ORG/NAME
  std::string quant;  // may be empty
};

bool IsAlnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool InName(char c) { return IsAlnum(c) || c == '.' || c == '_' || c == '-'; }

// One half of ORG/NAME, as the hub allows it.
bool IsWord(std::string_view word) {
  constexpr std::size_t kMaxLength = 96;
  return !word.empty() && word.size() <= kMaxLength && IsAlnum(word[0]) &&
         std::ranges::all_of(word, InName);
}

std::optional<Name> ParseName(const std::string& model) {
  const std::string_view text = model;
  const std::size_t colon = text.find(':');
  const std::string_view repo = text.substr(0, colon);
  const std::string_view quant =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  const std::size_t slash = repo.find('/');
  if (slash == std::string_view::npos || !IsWord(repo.substr(0, slash)) ||
      !IsWord(repo.substr(slash + 1)))
    return std::nullopt;
  if (colon != std::string_view::npos && (quant.empty() || !std::ranges::all_of(quant, InName)))
    return std::nullopt;
  return Name{std::string(repo), std::string(quant)};
}

std::vector<std::string> FilesBelow(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->is_regular_file(error)) names.push_back(entry->path().lexically_relative(folder));
  }
  return names;
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool EndsWith(const std::vector<std::string>& names, std::string_view end) {
  return std::ranges::any_of(names, [&](const std::string& n) { return n.ends_with(end); });
}

StatusOr<std::vector<std::string>> ShardsOf(const fs::path& index) {
  std::ifstream file(index, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  BANYAN_ASSIGN_OR_RETURN(json::object parsed, ParseJsonObject(text, index.string()));
  const json::value* map = parsed.if_contains("weight_map");
  if (map == nullptr || !map->is_object())
    return InvalidArgument("{}: 'weight_map' is missing", index.string());
  std::set<std::string> names;
  for (const auto& item : map->get_object()) {
    if (!item.value().is_string() || !IsSafePath(View(item.value().get_string())))
      return InvalidArgument("{}: 'weight_map' has an entry that is no file name", index.string());
    names.emplace(View(item.value().get_string()));
  }
  return std::vector<std::string>(names.begin(), names.end());
}

constexpr std::string_view kSingle = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";

// A split set counts as there only when its last part is.
bool IsWhole(const std::vector<std::string>& files) {
  if (files.empty()) return true;
  const auto part = ParseShardName(files[0], ".gguf");
  return !part || static_cast<int64_t>(files.size()) == part->count;
}

// The path to open if the snapshot has all that is needed; empty if something is missing.
std::string FindWhole(const fs::path& snapshot, const std::string& quant) {
  const std::vector<std::string> names = FilesBelow(snapshot);
  if (names.empty()) return {};
  if (!quant.empty() || !EndsWith(names, ".safetensors")) {
    auto files = SelectGguf(names, quant);
    if (files.ok() && IsWhole(*files)) return (snapshot / files->front()).string();
    return {};
  }
  if (!Contains(names, "config.json")) return {};
  if (Contains(names, kSingle)) return snapshot.string();
  if (!Contains(names, kIndex)) return {};
  auto shards = ShardsOf(snapshot / kIndex);
  if (!shards.ok()) return {};
  const bool whole = std::ranges::all_of(*shards, [&](auto& s) { return Contains(names, s); });
  return whole ? snapshot.string() : std::string();
}

Status DownloadAll(const Name& name, const HubRepo& repo, const HubCache& cache,
                   const HubOptions& options) {
  auto download = [&](const std::string& file) {
    return DownloadFile(name.repo, repo.commit, file, cache, options);
  };
  if (!name.quant.empty() || !EndsWith(repo.files, ".safetensors")) {
    auto files = SelectGguf(repo.files, name.quant);
    if (!files.ok())
      return Annotate(files.status(), fmt::format("{}/{}", options.endpoint, name.repo));
    for (const std::string& file : *files) BANYAN_RETURN_IF_ERROR(download(file));
    return OkStatus();
  }
  if (!Contains(repo.files, kSingle) && !Contains(repo.files, kIndex))
    return NotFound("{}/{} has neither {} nor {}", options.endpoint, name.repo, kSingle, kIndex);
  for (const std::string& file : repo.files)
    if (IsSupportFile(file)) BANYAN_RETURN_IF_ERROR(download(file));
  if (Contains(repo.files, kSingle)) return OkStatus();
  BANYAN_ASSIGN_OR_RETURN(auto shards, ShardsOf(cache.Snapshot(repo.commit) / kIndex));
  for (const std::string& shard : shards) BANYAN_RETURN_IF_ERROR(download(shard));
  return OkStatus();
}

StatusOr<std::string> ResolveRepo(const Name& name, const HubOptions& options) {
  if (options.cache_dir.empty())
    return FailedPrecondition(
        "{} is no local path, and there is no cache folder to look in: set HF_HOME", name.repo);
  const HubCache cache(options.cache_dir, name.repo);
  const std::string commit = cache.Commit(options.revision);
  if (!commit.empty()) {
    const std::string path = FindWhole(cache.Snapshot(commit), name.quant);
    if (!path.empty()) return path;
  }
  if (options.offline)
    return NotFound("{} is {} in {}, and {}", name.repo, commit.empty() ? "not" : "not whole",
                    options.cache_dir, options.why_offline);
  const auto failed = [&](const Status& status) {
    return Annotate(status, fmt::format("{} is {} in {}, and its download failed", name.repo,
                                        commit.empty() ? "not" : "not whole", options.cache_dir));
  };
  const StatusOr<HubRepo> listed = ListRepo(name.repo, options);
  if (!listed.ok()) return failed(listed.status());
  const HubRepo& repo = *listed;
  if (Status status = DownloadAll(name, repo, cache, options); !status.ok()) return failed(status);
  BANYAN_RETURN_IF_ERROR(cache.WriteRef(options.revision, repo.commit));
  const std::string path = FindWhole(cache.Snapshot(repo.commit), name.quant);
  if (path.empty())
    return NotFound("{}/{} lacks files that serving needs", options.endpoint, name.repo);
  return path;
}

bool IsTrue(const std::optional<std::string>& value) {
  if (!value) return false;
  std::string lower = *value;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower == "1" || lower == "true" || lower == "yes" || lower == "on";
}

}  // namespace

HubOptions ReadHubOptions(
    const std::function<std::optional<std::string>(const std::string& name)>& lookup) {
  // The first that is set and not empty.
  auto first = [&](std::initializer_list<const char*> names) -> std::string {
    for (const char* name : names)
      if (auto value = lookup(name); value && !value->empty()) return *value;
    return {};
  };
  HubOptions options;
  std::string home = first({"HF_HOME"});
  if (home.empty()) {
    const std::string cache = first({"XDG_CACHE_HOME"}), user = first({"HOME"});
    if (!cache.empty())
      home = cache + "/huggingface";
    else if (!user.empty())
      home = user + "/.cache/huggingface";
  }
  options.cache_dir = first({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"});
  if (options.cache_dir.empty() && !home.empty()) options.cache_dir = home + "/hub";
  if (std::string endpoint = first({"HF_ENDPOINT"}); !endpoint.empty()) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
    options.endpoint = endpoint;
  }
  options.token = first({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"});
  if (options.token.empty() && !IsTrue(lookup("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) {
    std::string path = first({"HF_TOKEN_PATH"});
    if (path.empty() && !home.empty()) path = home + "/token";
    if (!path.empty()) std::ifstream(path) >> options.token;
  }
  options.offline = IsTrue(lookup("HF_HUB_OFFLINE")) || IsTrue(lookup("TRANSFORMERS_OFFLINE"));
  options.ca_file = first({"SSL_CERT_FILE"});
  const int timeout = std::atoi(first({"HF_HUB_DOWNLOAD_TIMEOUT"}).c_str());
  if (timeout > 0) options.timeout_seconds = timeout;
  return options;
}

StatusOr<std::string> ResolveModel(const std::string& model, const HubOptions& options) {
  std::error_code error;
  if (fs::is_directory(model, error)) {
    if (fs::exists(fs::path(model) / "config.json", error)) return model;
    std::vector<std::string> names;
    for (fs::directory_iterator entry(model, error), end; !error && entry != end;
         entry.increment(error)) {
      const std::string name = entry->path().filename();
      if (name.ends_with(".gguf") && entry->is_regular_file(error)) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    auto files = SelectGguf(names, "");
    if (files.status().code() == StatusCode::kInvalidArgument)
      return InvalidArgument("{}: name one of its GGUF files: {}", model, fmt::join(names, ", "));
    return files.ok() ? (fs::path(model) / files->front()).string() : model;
  }
  if (fs::exists(model, error)) return model;
  if (const auto name = ParseName(model); name && !model.ends_with(".gguf"))
    return ResolveRepo(*name, options);
  return NotFound("'{}' is neither a file, nor a folder, nor a name of the form ORG/NAME", model);
}

}  // namespace banyan::weights
