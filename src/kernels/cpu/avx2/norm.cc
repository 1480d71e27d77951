// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/generic/norm.h"

#include "kernels/cpu/avx2/vec.h"

namespace banyan::kernels::avx2 {

void FillNorm(ops::OpTable& table) { Norm<Vec>::Fill(table); }

}  // namespace banyan::kernels::avx2
