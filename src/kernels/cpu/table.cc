// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/table.h"

#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear.h"

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
    avx2::FillLinear(table);
  }
  if (level >= ops::IsaLevel::kAvx512) {
    avx512::Fill(table);
    avx512::FillLinear(table);
  }
  if (level >= ops::IsaLevel::kAvx512VnniBf16) {
    avx512_vnni_bf16::Fill(table);
    avx512_vnni_bf16::FillLinear(table);
  }
  if (level >= ops::IsaLevel::kAmx) {
    amx::Fill(table);
    amx::FillLinear(table);
  }
  table.level = level;
  return table;
}

}  // namespace banyan::kernels
