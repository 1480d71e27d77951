// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/generic/elementwise.h"

#include "kernels/cpu/avx512/vec.h"

namespace banyan::kernels::avx512 {

void FillElementwise(ops::OpTable& table) { Elementwise<Vec>::Fill(table); }

}  // namespace banyan::kernels::avx512
