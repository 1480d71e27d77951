// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/generic/attention.h"

#include "kernels/cpu/avx512/vec.h"

namespace banyan::kernels::avx512 {

void FillAttention(ops::OpTable& table) { Attention<Vec>::Fill(table); }

}  // namespace banyan::kernels::avx512
