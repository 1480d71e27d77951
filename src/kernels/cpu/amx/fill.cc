// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/table.h"

namespace banyan::kernels::amx {

void FillAttention(ops::OpTable& table);

void Fill(ops::OpTable& table) { FillAttention(table); }

}  // namespace banyan::kernels::amx
