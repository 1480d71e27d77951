// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/generic/rope.h"

#include "kernels/cpu/avx2/vec.h"

namespace banyan::kernels::avx2 {

void FillRope(ops::OpTable& table) { Rope<Vec>::Fill(table); }

}  // namespace banyan::kernels::avx2
