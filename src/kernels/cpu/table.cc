// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/table.h"

#include "kernels/cpu/head_linear.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/linear_levels.h"
#include "kernels/cpu/moe.h"

namespace banyan::kernels {

StatusOr<ops::OpTable> MakeCpuTable(ops::IsaLevel level) {
  if (level > DetectIsa()) {
    return FailedPrecondition("cpu isa {}: this machine has {} at most", ops::Name(level),
                              ops::Name(DetectIsa()));
  }
  ops::OpTable table;
  ops::FillReference(table);
  if (level >= ops::IsaLevel::kAvx2) {
    avx2::Fill(table);
    SetLinear(table, &avx2::kLinear);
    SetMoe(table);
    SetHeadLinear(table);
  }
  if (level >= ops::IsaLevel::kAvx512) {
    avx512::Fill(table);
    SetLinear(table, &avx512::kLinear);
  }
  if (level >= ops::IsaLevel::kAvx512VnniBf16) {
    avx512_vnni_bf16::Fill(table);
    SetLinear(table, &avx512_vnni_bf16::kLinear);
  }
  if (level >= ops::IsaLevel::kAmx) {
    amx::Fill(table);
    SetLinear(table, &amx::kLinear);
  }
  table.level = level;
  return table;
}

}  // namespace banyan::kernels
