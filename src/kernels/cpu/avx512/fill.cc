// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/table.h"

namespace banyan::kernels::avx512 {

void Fill(ops::OpTable& table) {}

}  // namespace banyan::kernels::avx512
