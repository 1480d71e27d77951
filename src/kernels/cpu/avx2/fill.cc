// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/table.h"

namespace banyan::kernels::avx2 {

void FillNorm(ops::OpTable& table);
void FillRope(ops::OpTable& table);
void FillElementwise(ops::OpTable& table);
void FillMoe(ops::OpTable& table);
void FillAttention(ops::OpTable& table);
void FillIndex(ops::OpTable& table);
void FillSample(ops::OpTable& table);
void FillState(ops::OpTable& table);

void Fill(ops::OpTable& table) {
  FillNorm(table);
  FillRope(table);
  FillElementwise(table);
  FillMoe(table);
  FillAttention(table);
  FillIndex(table);
  FillSample(table);
  FillState(table);
}

}  // namespace banyan::kernels::avx2
