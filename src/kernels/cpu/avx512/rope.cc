// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/generic/rope.h"

#include "kernels/cpu/avx512/vec.h"

namespace banyan::kernels::avx512 {

void FillRope(ops::OpTable& table) { Rope<Vec>::Fill(table); }

}  // namespace banyan::kernels::avx512
