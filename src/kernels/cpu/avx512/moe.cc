// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/generic/moe.h"

#include "kernels/cpu/avx512/vec.h"

namespace banyan::kernels::avx512 {

void FillMoe(ops::OpTable& table) { table.moe.combine = Moe<Vec>::Combine; }

}  // namespace banyan::kernels::avx512
