// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/avx2/vec.h"
#include "kernels/cpu/generic/conv.h"
#include "kernels/cpu/generic/recurrence.h"
#include "kernels/cpu/generic/scan.h"

namespace banyan::kernels::avx2 {

void FillState(ops::OpTable& table) {
  Conv<Vec>::Fill(table);
  Scan<Vec>::Fill(table);
  Recurrence<Vec>::Fill(table);
}

}  // namespace banyan::kernels::avx2
