// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/generic/attention.h"

#include "kernels/cpu/avx2/vec.h"

namespace banyan::kernels::avx2 {

void FillAttention(ops::OpTable& table) { Attention<Vec>::Fill(table); }

}  // namespace banyan::kernels::avx2
