// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/generic/sample.h"

#include "kernels/cpu/avx2/vec.h"

namespace banyan::kernels::avx2 {

void FillSample(ops::OpTable& table) { Sample<Vec>::Fill(table); }

}  // namespace banyan::kernels::avx2
