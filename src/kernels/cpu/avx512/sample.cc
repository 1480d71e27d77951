// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/generic/sample.h"

#include "kernels/cpu/avx512/vec.h"

namespace banyan::kernels::avx512 {

void FillSample(ops::OpTable& table) { Sample<Vec>::Fill(table); }

}  // namespace banyan::kernels::avx512
