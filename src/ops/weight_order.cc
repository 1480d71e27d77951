// SPDX-License-Identifier: Apache-2.0
#include "ops/weight_order.h"

namespace banyan::ops {

std::span<const std::byte> WeightOrder::Next(std::span<const std::byte> weight) {
  if (last_ != nullptr) next_[last_] = weight;
  last_ = weight.data();
  const auto found = next_.find(last_);
  return found == next_.end() ? std::span<const std::byte>() : found->second;
}

}  // namespace banyan::ops
