// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/generic/index.h"

#include "kernels/cpu/avx512/vec.h"

namespace banyan::kernels::avx512 {

void FillIndex(ops::OpTable& table) { Index<Vec>::Fill(table); }

}  // namespace banyan::kernels::avx512
