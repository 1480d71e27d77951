// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/generic/elementwise.h"

#include "kernels/cpu/avx2/vec.h"

namespace banyan::kernels::avx2 {

void FillElementwise(ops::OpTable& table) { Elementwise<Vec>::Fill(table); }

}  // namespace banyan::kernels::avx2
