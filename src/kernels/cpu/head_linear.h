// SPDX-License-Identifier: Apache-2.0
// Products per head on the CPU: those of all heads are items of one parallel loop.
#pragma once

#include "ops/op_table.h"

namespace banyan::kernels {

// Lets `table`, whose matrix products are ours (SetLinear), multiply heads this way.
void SetHeadLinear(ops::OpTable& table);

}  // namespace banyan::kernels
