// SPDX-License-Identifier: Apache-2.0
// A .gguf file, or the split set "NAME-00001-of-0000N.gguf" that it begins.
#include <algorithm>
#include <array>
#include <filesystem>

#include "weights/gguf_config.h"
#include "weights/mapped_checkpoint.h"
#include "weights/shard_name.h"

namespace banyan::weights {
namespace {

struct GgmlType {
  std::string_view name;
  DType dtype = DType::kCount;  // kCount: known, no implementation
};

// By ggml's type number; an empty name is a number that was never used or was taken back.
constexpr std::array<GgmlType, 41> kGgmlTypes{{{"F32", DType::kF32},
                                               {"F16", DType::kF16},
                                               {"Q4_0", DType::kQ4_0},
                                               {"Q4_1", DType::kQ4_1},
                                               {"Q4_2"},
                                               {"Q4_3"},
                                               {"Q5_0", DType::kQ5_0},
                                               {"Q5_1", DType::kQ5_1},
                                               {"Q8_0", DType::kQ8_0},
                                               {"Q8_1"},
                                               {"Q2_K", DType::kQ2_K},
                                               {"Q3_K", DType::kQ3_K},
                                               {"Q4_K", DType::kQ4_K},
                                               {"Q5_K", DType::kQ5_K},
                                               {"Q6_K", DType::kQ6_K},
                                               {"Q8_K"},
                                               {"IQ2_XXS"},
                                               {"IQ2_XS"},
                                               {"IQ3_XXS"},
                                               {"IQ1_S"},
                                               {"IQ4_NL"},
                                               {"IQ3_S"},
                                               {"IQ2_S"},
                                               {"IQ4_XS"},
                                               {"I8", DType::kI8},
                                               {"I16", DType::kI16},
                                               {"I32", DType::kI32},
                                               {"I64", DType::kI64},
                                               {"F64", DType::kF64},
                                               {"IQ1_M"},
                                               {"BF16", DType::kBF16},
                                               {"Q4_0_4_4"},
                                               {"Q4_0_4_8"},
                                               {"Q4_0_8_8"},
                                               {"TQ1_0"},
                                               {"TQ2_0"},
                                               {"IQ4_NL_4_4"},
                                               {"IQ4_NL_4_8"},
                                               {"IQ4_NL_8_8"},
                                               {"MXFP4"},
                                               {"NVFP4"}}};

StatusOr<Tensor> MakeTensor(const GgufTensor& info, const MappedFile& file,
                            const GgufMetadata& metadata, uint64_t& bytes_out) {
  if (info.type >= kGgmlTypes.size())
    return Unimplemented("tensor '{}' has the unknown type number {}", info.name, info.type);
  const GgmlType& type = kGgmlTypes[info.type];
  if (type.dtype == DType::kCount)
    return Unimplemented("tensor '{}' has the type {}, which has no implementation", info.name,
                         type.name);
  const DTypeInfo& dtype = Info(type.dtype);
  if (info.dims[0] % static_cast<uint64_t>(dtype.block_elements) != 0)
    return DataLoss("tensor '{}' has rows of {} elements, no multiple of {}'s {}", info.name,
                    info.dims[0], type.name, dtype.block_elements);
  int64_t bytes = dtype.block_bytes;
  std::array<int64_t, 4> dims{};
  int64_t elements = 1;
  for (int i = 0; i < info.rank; ++i) {
    const uint64_t blocks =
        i == 0 ? info.dims[0] / static_cast<uint64_t>(dtype.block_elements) : info.dims[i];
    if (__builtin_mul_overflow(bytes, blocks, &bytes) ||
        __builtin_mul_overflow(elements, info.dims[i], &elements))
      return DataLoss("tensor '{}': its dimensions overflow 64 bits", info.name);
    dims[static_cast<std::size_t>(info.rank - 1 - i)] = static_cast<int64_t>(info.dims[i]);
  }
  if (info.offset % metadata.alignment() != 0)
    return DataLoss("tensor '{}' begins at byte {} of the data, no multiple of the alignment {}",
                    info.name, info.offset, metadata.alignment());
  const uint64_t data_bytes = file.size() - metadata.data_offset();
  if (info.offset > data_bytes || static_cast<uint64_t>(bytes) > data_bytes - info.offset)
    return DataLoss("tensor '{}' needs {} bytes from byte {} of the data, which has {}", info.name,
                    bytes, info.offset, data_bytes);
  bytes_out = static_cast<uint64_t>(bytes);
  auto* data = const_cast<std::byte*>(file.bytes().data()) + metadata.data_offset() + info.offset;
  return Tensor(data, type.dtype,
                Shape(std::span<const int64_t>(dims.data(), static_cast<std::size_t>(info.rank))));
}

StatusOr<std::vector<NamedTensor>> Read(const MappedFile& file, const GgufMetadata& metadata) {
  std::vector<NamedTensor> tensors;
  struct Place {
    uint64_t begin, end;
    std::string_view name;
  };
  std::vector<Place> places;
  for (const GgufTensor& info : metadata.tensors()) {
    uint64_t bytes = 0;
    BANYAN_ASSIGN_OR_RETURN(Tensor tensor, MakeTensor(info, file, metadata, bytes));
    places.push_back({info.offset, info.offset + bytes, info.name});
    tensors.push_back({std::string(info.name), tensor});
  }
  std::ranges::sort(places, [](const Place& a, const Place& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  for (std::size_t i = 1; i < places.size(); ++i) {
    if (places[i].begin < places[i - 1].end)
      return DataLoss("tensor '{}' begins at byte {} of the data, before the end of '{}' at {}",
                      places[i].name, places[i].begin, places[i - 1].name, places[i - 1].end);
  }
  return tensors;
}

// Of a split set, what one file says about itself.
struct Split {
  int64_t number = 0;
  int64_t count = 1;
  int64_t tensors = -1;  // of the whole set
};

StatusOr<Split> ReadSplit(const GgufMetadata& metadata) {
  Split split;
  BANYAN_ASSIGN_OR_RETURN(auto number, metadata.Int("split.no"));
  BANYAN_ASSIGN_OR_RETURN(auto count, metadata.Int("split.count"));
  BANYAN_ASSIGN_OR_RETURN(auto tensors, metadata.Int("split.tensors.count"));
  split.number = number.value_or(0);
  split.count = std::max<int64_t>(1, count.value_or(1));
  split.tensors = tensors.value_or(-1);
  return split;
}

Status AppendTensors(MappedCheckpoint& checkpoint, std::shared_ptr<const MappedFile> file,
                     const GgufMetadata& metadata) {
  BANYAN_ASSIGN_OR_RETURN(auto tensors, ReadGgufTensors(*file, metadata));
  std::ranges::move(tensors, std::back_inserter(checkpoint.tensors_));
  checkpoint.files_.push_back(std::move(file));
  return OkStatus();
}

// Opens files 2 to N of the set whose first file is `path`.
Status AppendSplits(MappedCheckpoint& checkpoint, const std::string& path, const Split& first) {
  auto shard = ParseShardName(path, ".gguf");
  if (!shard || shard->count != first.count)
    return InvalidArgument(
        "{}: is part {} of {}, but its name does not end in -{:05}-of-{:05}.gguf", path,
        first.number + 1, first.count, first.number + 1, first.count);
  if (first.number != 0)
    return InvalidArgument("{}: is part {} of {}; open the first, {}", path, first.number + 1,
                           first.count, ShardName{shard->stem, 1, shard->count}.Format(".gguf"));
  for (int64_t i = 1; i < first.count; ++i) {
    shard->number = i + 1;
    const std::string name = shard->Format(".gguf");
    BANYAN_ASSIGN_OR_RETURN(auto file, MappedFile::Open(name));
    BANYAN_ASSIGN_OR_RETURN(auto metadata, GgufMetadata::Parse(file));
    BANYAN_ASSIGN_OR_RETURN(Split split, ReadSplit(*metadata));
    if (split.number != i || split.count != first.count)
      return InvalidArgument("{}: says that it is part {} of {}, its name says {} of {}", name,
                             split.number + 1, split.count, i + 1, first.count);
    BANYAN_RETURN_IF_ERROR(AppendTensors(checkpoint, std::move(file), *metadata));
  }
  const auto found = static_cast<int64_t>(checkpoint.tensors_.size());
  if (first.tensors >= 0 && found != first.tensors)
    return InvalidArgument("{}: says that the set has {} tensors, its {} files have {}", path,
                           first.tensors, first.count, found);
  return OkStatus();
}

}  // namespace

StatusOr<std::vector<NamedTensor>> ReadGgufTensors(const MappedFile& file,
                                                   const GgufMetadata& metadata) {
  auto tensors = Read(file, metadata);
  if (!tensors.ok()) return Annotate(tensors.status(), file.path());
  return tensors;
}

StatusOr<std::unique_ptr<Checkpoint>> OpenGguf(const std::string& path,
                                               const json::object& overrides) {
  auto checkpoint = std::make_unique<MappedCheckpoint>(Format::kGguf, path);
  BANYAN_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path));
  BANYAN_ASSIGN_OR_RETURN(checkpoint->gguf_, GgufMetadata::Parse(file));
  BANYAN_ASSIGN_OR_RETURN(Split split, ReadSplit(*checkpoint->gguf_));
  BANYAN_RETURN_IF_ERROR(AppendTensors(*checkpoint, std::move(file), *checkpoint->gguf_));
  if (split.count > 1) BANYAN_RETURN_IF_ERROR(AppendSplits(*checkpoint, path, split));
  std::ranges::sort(checkpoint->tensors_, {}, &NamedTensor::name);
  auto twice = std::ranges::adjacent_find(checkpoint->tensors_, {}, &NamedTensor::name);
  if (twice != checkpoint->tensors_.end())
    return InvalidArgument("{}: two files of the set hold the tensor '{}'", path, twice->name);
  BANYAN_ASSIGN_OR_RETURN(checkpoint->config_,
                          TranslateGgufConfig(*checkpoint->gguf_, checkpoint->tensors_));
  for (const auto& item : overrides) checkpoint->config_[item.key()] = item.value();
  if (const json::value* given = checkpoint->config_.if_contains("quantization_config");
      given != nullptr && !given->is_null()) {
    return InvalidArgument(
        "{}: 'quantization_config': a GGUF file's tensors say how they are quantized", path);
  }
  return checkpoint;
}

}  // namespace banyan::weights
