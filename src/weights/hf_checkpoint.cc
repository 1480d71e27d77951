// SPDX-License-Identifier: Apache-2.0
// A Hugging Face folder: config.json beside one safetensors file, an index with its shards, or a
// whole set of numbered shards without an index.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "weights/config_json.h"
#include "weights/mapped_checkpoint.h"
#include "weights/safetensors.h"
#include "weights/shard_name.h"

namespace banyan::weights {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".safetensors";

using WeightMap = std::map<std::string, std::string, std::less<>>;  // tensor to file name

std::string_view Text(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.size()};
}

StatusOr<json::object> ReadConfig(const fs::path& path, const json::object& overrides) {
  BANYAN_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path.string()));
  BANYAN_ASSIGN_OR_RETURN(json::object config, ParseConfigJson(Text(*file), path.string()));
  for (const auto& item : overrides) config[item.key()] = item.value();
  BANYAN_RETURN_IF_ERROR(CheckQuantization(config, path.string()));
  return config;
}

StatusOr<WeightMap> ReadIndex(const fs::path& path) {
  BANYAN_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path.string()));
  BANYAN_ASSIGN_OR_RETURN(json::object index, ParseJsonObject(Text(*file), path.string()));
  const json::value* map = index.if_contains("weight_map");
  if (map == nullptr || !map->is_object() || map->get_object().empty())
    return InvalidArgument("{}: 'weight_map' is missing or empty", path.string());
  WeightMap weights;
  for (const auto& item : map->get_object()) {
    const std::string name(item.key().data(), item.key().size());
    if (!item.value().is_string())
      return InvalidArgument("{}: 'weight_map' gives '{}' no file name", path.string(), name);
    const std::string file_name(View(item.value().get_string()));
    // An index must not reach out of its folder.
    if (file_name.empty() || file_name == "." || file_name == ".." ||
        file_name.find('/') != std::string::npos || file_name.find('\0') != std::string::npos)
      return InvalidArgument("{}: '{}' is said to lie in '{}', which is no plain file name",
                             path.string(), name, file_name);
    weights.emplace(name, file_name);
  }
  return weights;
}

// The safetensors files of a folder that has neither model.safetensors nor an index.
StatusOr<std::vector<std::string>> FindShards(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".safetensors") names.push_back(entry->path().filename());
  }
  if (error) return FailedPrecondition("{}: {}", folder.string(), error.message());
  if (names.empty())
    return NotFound("{}: has no .safetensors file (PyTorch .bin files are not read)",
                    folder.string());
  std::ranges::sort(names);
  if (names.size() == 1) {
    const auto only = ParseShardName(names[0], kExtension);
    if (!only || only->number != 1 || only->count == 1) return names;
  }
  ShardName wanted;
  for (const std::string& name : names) {
    const auto shard = ParseShardName(name, kExtension);
    if (wanted.number == 0 && shard) wanted = {.stem = shard->stem, .count = shard->count};
    if (!shard || shard->stem != wanted.stem || shard->count != wanted.count)
      return InvalidArgument(
          "{}: has several .safetensors files, no index, and '{}' is not one of a numbered set",
          folder.string(), name);
    ++wanted.number;
    if (shard->number != wanted.number)
      return NotFound("{}: '{}' is missing", folder.string(), wanted.Format(kExtension));
  }
  if (wanted.number != wanted.count)
    return NotFound("{}: has {} of the {} files of '{}'", folder.string(), wanted.number,
                    wanted.count, wanted.stem);
  return names;
}

// The index and the file that it names must agree both ways.
Status CheckAgainstIndex(const WeightMap& index, const std::string& file_name,
                         const std::vector<NamedTensor>& tensors, const std::string& where) {
  std::set<std::string_view> held;
  for (const NamedTensor& tensor : tensors) {
    auto listed = index.find(tensor.name);
    if (listed == index.end())
      return InvalidArgument("{}: '{}' holds the tensor '{}', which the index does not list", where,
                             file_name, tensor.name);
    if (listed->second != file_name)
      return InvalidArgument("{}: the index places the tensor '{}' in '{}', but '{}' holds it",
                             where, tensor.name, listed->second, file_name);
    held.insert(tensor.name);
  }
  for (const auto& [name, listed_file] : index) {
    if (listed_file == file_name && !held.contains(name))
      return InvalidArgument("{}: the index places the tensor '{}' in '{}', which lacks it", where,
                             name, file_name);
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<Checkpoint>> OpenHfFolder(const std::string& path,
                                                   const json::object& overrides) {
  const fs::path folder(path);
  auto checkpoint = std::make_unique<MappedCheckpoint>(Format::kSafetensors, path);
  BANYAN_ASSIGN_OR_RETURN(checkpoint->config_, ReadConfig(folder / "config.json", overrides));

  // The order of precedence is transformers'.
  std::error_code error;
  WeightMap index;
  std::vector<std::string> names;
  const fs::path index_path = folder / "model.safetensors.index.json";
  if (fs::exists(folder / "model.safetensors", error)) {
    names = {"model.safetensors"};
  } else if (fs::exists(index_path, error)) {
    BANYAN_ASSIGN_OR_RETURN(index, ReadIndex(index_path));
    std::set<std::string> distinct;
    for (const auto& [name, file] : index) distinct.insert(file);
    names.assign(distinct.begin(), distinct.end());
  } else {
    BANYAN_ASSIGN_OR_RETURN(names, FindShards(folder));
  }
  for (const std::string& name : names) {
    BANYAN_ASSIGN_OR_RETURN(auto file, MappedFile::Open((folder / name).string()));
    BANYAN_ASSIGN_OR_RETURN(auto tensors, ReadSafetensors(*file));
    if (!index.empty())
      BANYAN_RETURN_IF_ERROR(CheckAgainstIndex(index, name, tensors, index_path.string()));
    checkpoint->files_.push_back(std::move(file));
    std::ranges::move(tensors, std::back_inserter(checkpoint->tensors_));
  }
  std::ranges::sort(checkpoint->tensors_, {}, &NamedTensor::name);
  auto twice = std::ranges::adjacent_find(checkpoint->tensors_, {}, &NamedTensor::name);
  if (twice != checkpoint->tensors_.end())
    return InvalidArgument("{}: two files hold the tensor '{}'", path, twice->name);
  return checkpoint;
}

}  // namespace banyan::weights
