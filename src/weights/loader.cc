// SPDX-License-Identifier: Apache-2.0
#include "weights/loader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>

#include "base/check.h"
#include "weights/transform.h"

namespace banyan::weights {
namespace {

bool IsNumber(std::string_view text) {
  return !text.empty() && text.size() <= 9 &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// Calls `visit` with each part of `name` between dots.
template <typename Visit>
void ForEachPart(std::string_view name, Visit visit) {
  while (true) {
    const std::size_t dot = std::min(name.find('.'), name.size());
    visit(name.substr(0, dot));
    if (dot == name.size()) return;
    name.remove_prefix(dot + 1);
  }
}

// "layers.3.attn" and "layers.{l}.attn" both give "layers.{}.attn"; `numbers` gets 3 or l's name.
std::string Normalize(std::string_view name, std::vector<std::string>& numbers) {
  std::string text;
  ForEachPart(name, [&](std::string_view part) {
    if (!text.empty()) text += '.';
    const bool placeholder = part.size() > 2 && part.front() == '{' && part.back() == '}';
    if (placeholder || IsNumber(part)) {
      numbers.emplace_back(placeholder ? part.substr(1, part.size() - 2) : part);
      text += "{}";
    } else {
      text += part;
    }
  });
  return text;
}

// The pattern with its placeholders replaced; `items` gets the numbers that it has no place for.
std::string Expand(std::string_view pattern, const std::vector<std::string>& names,
                   const std::vector<std::string>& numbers, std::vector<int64_t>& items) {
  std::string text(pattern);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string placeholder = "{" + names[i] + "}";
    const std::size_t at = text.find(placeholder);
    if (at == std::string::npos)
      items.push_back(std::stoll(numbers[i]));
    else
      text.replace(at, placeholder.size(), numbers[i]);
  }
  return text;
}

// '*' in `pattern` stands for any text.
bool Matches(std::string_view pattern, std::string_view text) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  const std::string_view rest = pattern.substr(star + 1);
  for (std::size_t i = star; i <= text.size(); ++i)
    if (Matches(rest, text.substr(i))) return true;
  return false;
}

}  // namespace

Loader::Loader(const Checkpoint& checkpoint, const TensorTable& table, Progress progress)
    : checkpoint_(checkpoint),
      table_(table),
      ternary_(TernaryFormOf(checkpoint.config())),
      progress_(std::move(progress)),
      taken_(checkpoint.tensors().size()) {
  for (const TensorRow& row : table.rows) {
    std::vector<std::string> names;
    rows_[Normalize(row.logical, names)].push_back(&row);
  }
  const auto& tensors = checkpoint.tensors();
  strip_prefix_ = checkpoint.format() == Format::kSafetensors && !table.base_prefix.empty() &&
                  std::ranges::none_of(tensors, [&](const NamedTensor& tensor) {
                    return tensor.name.starts_with(table.base_prefix);
                  });
  for (const NamedTensor& tensor : tensors)
    if (!IsIgnored(tensor.name)) bytes_total_ += tensor.tensor.NumBytes();
}

Loader::Source Loader::Resolve(std::string_view logical) const {
  std::vector<std::string> numbers;
  const auto rows = rows_.find(Normalize(logical, numbers));
  BANYAN_CHECK(rows != rows_.end(), "the tensor table has no row for '{}'", logical);
  const bool gguf = checkpoint_.format() == Format::kGguf;
  Source missing;
  for (const TensorRow* row : rows->second) {
    std::vector<std::string> names;
    Normalize(row->logical, names);
    std::string_view patterns = gguf ? row->gguf : row->safetensors;
    while (!patterns.empty()) {
      std::string_view pattern = patterns.substr(0, patterns.find('|'));
      patterns.remove_prefix(std::min(pattern.size() + 1, patterns.size()));
      if (strip_prefix_ && pattern.starts_with(table_.base_prefix))
        pattern.remove_prefix(table_.base_prefix.size());
      Source source;
      source.name = Expand(pattern, names, numbers, source.items);
      source.transform = gguf ? &row->gguf_transform : &row->transform;
      if (checkpoint_.Find(source.name) != nullptr) {
        source.index = IndexOf(source.name);
        source.found = true;
        return source;
      }
      if (missing.name.empty()) missing.name = std::move(source.name);
    }
  }
  return missing;
}

// Of a tensor that is there.
std::size_t Loader::IndexOf(std::string_view name) const {
  const auto& tensors = checkpoint_.tensors();
  const auto at = std::ranges::lower_bound(tensors, name, {}, &NamedTensor::name);
  // Find gives the address of a member of one of the items.
  BANYAN_CHECK(at != tensors.end() && &at->tensor == checkpoint_.Find(name),
               "tensors are not sorted");
  return static_cast<std::size_t>(at - tensors.begin());
}

bool Loader::Has(std::string_view logical) const { return Resolve(logical).found; }

void Loader::Tie(std::string_view first, std::string_view second) {
  const bool has_first = Has(first), has_second = Has(second);
  if (has_first && !has_second) ties_.emplace(second, first);
  if (!has_first && has_second) ties_.emplace(first, second);
}

StatusOr<Weight> Loader::Take(std::string_view logical, const Shape& shape) {
  return TakeAs(logical, shape, false);
}

StatusOr<Weight> Loader::TakeF32(std::string_view logical, const Shape& shape) {
  return TakeAs(logical, shape, true);
}

StatusOr<Weight> Loader::TakeMatrix(const std::string& logical, const Shape& shape) {
  if (ternary_ == TernaryForm::kNone) return Take(logical, shape);
  const Source source = Resolve(logical);
  return source.found ? TakeTernary(logical, source, shape) : Take(logical, shape);
}

StatusOr<Weight> Loader::TakeTernary(const std::string& logical, const Source& source,
                                     const Shape& shape) {
  const auto failed = [&](std::string_view name, const Status& status) {
    return Annotate(status, fmt::format("{}: tensor '{}'", checkpoint_.path(), name));
  };
  if (ternary_ == TernaryForm::kOnline) {
    BANYAN_ASSIGN_OR_RETURN(Weight trained, Take(logical, shape));
    if (logical == "output.weight") return trained;  // which is not quantized
    auto rounded = RoundToTernary(trained.tensor);
    if (!rounded.ok()) return failed(source.name, rounded.status());
    checkpoint_.Release(trained.tensor);
    return rounded;
  }
  const Tensor& tensor = checkpoint_.tensors()[source.index].tensor;
  const std::string scale_name = source.name + "_scale";
  const Tensor* scale = checkpoint_.Find(scale_name);
  const bool packed = tensor.dtype() == DType::kU8;
  if (!packed && scale == nullptr) return Take(logical, shape);
  if (scale == nullptr)
    return InvalidArgument("{}: tensor '{}' is missing", checkpoint_.path(), scale_name);
  if (!source.items.empty() || !source.transform->parts.empty() || source.transform->transpose)
    return failed(source.name, Unimplemented("is ternary, and not a matrix by itself"));
  auto weight = packed ? UnpackTernary(tensor, shape) : Take(logical, shape);
  if (!weight.ok()) return packed ? failed(source.name, weight.status()) : weight.status();
  if (packed) {
    Account(source.index, tensor.shape(), true);
    checkpoint_.Release(tensor);
  }
  const auto value = ApplyTransform(*scale, {}, {1}, true);
  if (!value.ok()) return failed(scale_name, value.status());
  Account(IndexOf(scale_name), {1}, true);
  const float given = *value->tensor.data<float>();
  const bool divided = ternary_ == TernaryForm::kDivided;
  weight->rounded = {divided ? 1.0f / given : given, divided ? 1.0f : given};
  if (!std::isfinite(weight->rounded->factor)) return failed(scale_name, DataLoss("is {}", given));
  return weight;
}

StatusOr<Weight> Loader::TakeAs(std::string_view logical, const Shape& shape, bool as_f32) {
  const auto tie = ties_.find(logical);
  const Source source = Resolve(tie == ties_.end() ? logical : std::string_view(tie->second));
  if (!source.found) {
    if (source.name.empty())
      return Unimplemented("{}: this format has no tensor for '{}'", checkpoint_.path(), logical);
    return InvalidArgument("{}: tensor '{}' is missing", checkpoint_.path(), source.name);
  }
  Tensor tensor = checkpoint_.tensors()[source.index].tensor;
  for (int64_t item : source.items) {
    if (tensor.rank() == 0 || item >= tensor.dim(0))
      return InvalidArgument("{}: tensor '{}' has shape {}, too small for item {} ('{}')",
                             checkpoint_.path(), source.name, tensor.shape().ToString(), item,
                             logical);
    tensor = tensor.Row(item);
  }
  checkpoint_.Populate(tensor);
  auto weight = ApplyTransform(tensor, *source.transform, shape, as_f32);
  if (!weight.ok())
    return Annotate(weight.status(),
                    fmt::format("{}: tensor '{}'", checkpoint_.path(), source.name));
  if (weight->tensor.dtype() == DType::kF64)
    return Unimplemented("{}: tensor '{}' is of type f64, which no product is computed with",
                         checkpoint_.path(), source.name);
  if (!weight->owned.empty()) checkpoint_.Release(tensor);  // its copy is what is used
  Account(source.index, shape, tie != ties_.end());
  return weight;
}

void Loader::Account(std::size_t index, const Shape& shape, bool whole) {
  const Tensor& tensor = checkpoint_.tensors()[index].tensor;
  const int64_t before = taken_[index];
  // A tied tensor is taken under one name, the other, or both.
  taken_[index] = whole ? tensor.NumElements() : before + shape.NumElements();
  const int64_t elements = std::min(taken_[index], tensor.NumElements()) - before;
  if (elements <= 0) return;
  const int64_t block = Info(tensor.dtype()).block_elements;
  bytes_taken_ += Bytes(tensor.dtype(), elements / block * block);
  if (progress_) progress_(bytes_taken_, bytes_total_);
}

bool Loader::IsIgnored(std::string_view name) const {
  const auto& patterns =
      checkpoint_.format() == Format::kGguf ? table_.ignored_gguf : table_.ignored;
  return std::ranges::any_of(patterns,
                             [&](const std::string& pattern) { return Matches(pattern, name); });
}

Status Loader::CheckNames() const {
  const bool gguf = checkpoint_.format() == Format::kGguf;
  std::set<std::string> known;
  std::vector<std::string> numbers;
  for (const TensorRow& row : table_.rows) {
    std::string_view patterns = gguf ? row.gguf : row.safetensors;
    while (!patterns.empty()) {
      std::string_view pattern = patterns.substr(0, patterns.find('|'));
      patterns.remove_prefix(std::min(pattern.size() + 1, patterns.size()));
      if (strip_prefix_ && pattern.starts_with(table_.base_prefix))
        pattern.remove_prefix(table_.base_prefix.size());
      known.insert(Normalize(pattern, numbers));
    }
  }
  const bool ternary = ternary_ != TernaryForm::kNone;
  for (const NamedTensor& named : checkpoint_.tensors()) {
    if (IsIgnored(named.name)) continue;
    std::string_view name = named.name;
    if (ternary && name.ends_with("_scale")) name.remove_suffix(std::strlen("_scale"));
    if (!known.contains(Normalize(name, numbers)))
      return InvalidArgument("{}: tensor '{}' is without a use in this model", checkpoint_.path(),
                             named.name);
    const DType dtype = named.tensor.dtype();
    if (!IsFloat(dtype) && !IsQuantized(dtype) && !(ternary && dtype == DType::kU8))
      return Unimplemented("{}: tensor '{}' is of type {}, which no weight is read from",
                           checkpoint_.path(), named.name, banyan::Name(dtype));
  }
  return OkStatus();
}

Status Loader::Finish() const {
  std::string left;
  int count = 0;
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    const NamedTensor& named = checkpoint_.tensors()[i];
    const int64_t elements = named.tensor.NumElements();
    if (taken_[i] >= elements || IsIgnored(named.name)) continue;
    if (taken_[i] > 0)
      return InvalidArgument("{}: of tensor '{}' {}, only {} of {} elements have a use",
                             checkpoint_.path(), named.name, named.tensor.shape().ToString(),
                             taken_[i], elements);
    constexpr int kNamed = 5;
    if (count++ < kNamed) left += fmt::format("{}'{}'", left.empty() ? "" : ", ", named.name);
  }
  if (count == 0) return OkStatus();
  return InvalidArgument("{}: {} tensor{} without a use in this model: {}{}", checkpoint_.path(),
                         count, count == 1 ? "" : "s", left, count > 5 ? ", ..." : "");
}

double Loader::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

}  // namespace banyan::weights
