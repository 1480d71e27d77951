// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/generic/norm.h"

#include "kernels/cpu/avx512/vec.h"

namespace banyan::kernels::avx512 {

void FillNorm(ops::OpTable& table) { Norm<Vec>::Fill(table); }

}  // namespace banyan::kernels::avx512
