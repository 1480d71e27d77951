// SPDX-License-Identifier: Apache-2.0
#include "weights/ternary.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/fields.h"
#include "ops/linear.h"
#include "weights/transform.h"

namespace banyan::weights {
namespace {

constexpr int kPerItem = 4;
constexpr uint16_t kBf16[] = {0xbf80, 0, 0x3f80};  // -1, 0, 1

}  // namespace

StatusOr<TernaryForm> ReadTernary(const json::object& quantization, const std::string& where) {
  Fields fields(quantization, where + ": quantization_config");
  if (fields.Optional<std::string>("quant_method", "") != "bitnet") return TernaryForm::kNone;
  const auto layer = fields.Optional<std::string>("linear_class", "bitlinear");
  const auto mode = fields.Optional<std::string>("quantization_mode", "offline");
  const bool normed = fields.Optional<bool>("use_rms_norm", false);
  BANYAN_RETURN_IF_ERROR(fields.status());
  if (layer != "bitlinear" && layer != "autobitlinear")
    return InvalidArgument("{}: 'linear_class': '{}' is not known", fields.where(), layer);
  if (mode != "online" && mode != "offline")
    return InvalidArgument("{}: 'quantization_mode': '{}' is not known", fields.where(), mode);
  if (normed)
    return Unimplemented("{}: 'use_rms_norm': true has no implementation", fields.where());
  if (layer == "bitlinear") return TernaryForm::kDivided;
  if (mode == "offline") return TernaryForm::kMultiplied;
  // (Of packed matrices the file says which they are.)
  const auto kept = fields.Maybe<std::vector<std::string>>("modules_to_not_convert");
  BANYAN_RETURN_IF_ERROR(fields.status());
  if (kept && *kept != std::vector<std::string>{"lm_head"})
    return Unimplemented("{}: 'modules_to_not_convert': [{}] has no implementation", fields.where(),
                         fmt::join(*kept, ", "));
  return TernaryForm::kOnline;
}

TernaryForm TernaryFormOf(const json::object& config) {
  const json::value* value = config.if_contains("quantization_config");
  if (value == nullptr || !value->is_object()) return TernaryForm::kNone;
  const auto form = ReadTernary(value->get_object(), "config");
  return form.ok() ? *form : TernaryForm::kNone;
}

Status CheckTernaryFamily(const json::object& config, std::string_view family, bool dense) {
  const TernaryForm form = TernaryFormOf(config);
  if (form == TernaryForm::kNone) return OkStatus();
  // Of trained weights nothing in the file says which belong to linear layers.
  const bool known = form != TernaryForm::kOnline || family == "bitnet" || family == "llama";
  if (dense && known) return OkStatus();
  return Unimplemented("quantization_config of method 'bitnet' has no implementation for {}",
                       family);
}

StatusOr<Weight> UnpackTernary(const Tensor& packed, const Shape& shape) {
  const int64_t quarter = shape[0] / kPerItem, cols = shape[1];
  if (shape[0] % kPerItem != 0 || packed.shape() != Shape{quarter, cols})
    return InvalidArgument("has shape {}, which are no {} values, {} in a byte",
                           packed.shape().ToString(), shape.ToString(), kPerItem);
  BANYAN_ASSIGN_OR_RETURN(Weight weight, MakeWeight(DType::kBF16, shape));
  const auto* from = packed.data<uint8_t>();
  auto* to = weight.tensor.data<uint16_t>();
  const int64_t items = quarter * cols;
  for (int part = 0; part < kPerItem; ++part) {
    for (int64_t i = 0; i < items; ++i) {
      const int code = from[i] >> (2 * part) & 3;
      if (code == 3) return DataLoss("has a value that is none of -1, 0 and 1 in byte {}", i);
      *to++ = kBf16[code];
    }
  }
  return weight;
}

StatusOr<Weight> RoundToTernary(const Tensor& trained) {
  BANYAN_ASSIGN_OR_RETURN(Weight weight, MakeWeight(DType::kBF16, trained.shape()));
  const int64_t rows = trained.dim(0), cols = trained.dim(1);
  std::vector<float> row(static_cast<std::size_t>(cols));
  const auto for_rows = [&](auto fn) {
    for (int64_t r = 0; r < rows; ++r) {
      ops::Dequantize(trained.Row(r), Tensor(row.data(), DType::kF32, {cols}));
      fn(weight.tensor.data<uint16_t>() + r * cols);
    }
  };
  double sum = 0.0;
  for_rows([&](uint16_t*) {
    for (const float value : row) sum += std::abs(value);
  });
  if (!std::isfinite(sum)) return DataLoss("has a value that is infinite or not a number");
  const float mean = std::max(static_cast<float>(sum / static_cast<double>(rows * cols)), 1e-5f);
  const float scale = 1.0f / mean;
  for_rows([&](uint16_t* to) {
    for (const float value : row)
      *to++ = kBf16[static_cast<int>(std::clamp(std::nearbyint(value * scale), -1.0f, 1.0f)) + 1];
  });
  weight.rounded = RoundedProduct{.factor = mean};
  return weight;
}

}  // namespace banyan::weights
