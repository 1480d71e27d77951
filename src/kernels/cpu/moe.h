// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts on the CPU: the products of all chosen experts are items of one parallel
// loop, so that few rows still use every thread and wait for each other twice a layer.
#pragma once

#include "ops/op_table.h"

namespace banyan::kernels {

// Lets `table`, whose matrix products are ours (SetLinear), run experts this way.
void SetMoe(ops::OpTable& table);

}  // namespace banyan::kernels
