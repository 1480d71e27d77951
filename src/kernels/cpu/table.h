// SPDX-License-Identifier: Apache-2.0
// The CPU's op table at one instruction set level: the portable reference, overridden by the
// kernels of each level up to that one.
//
// A level's kernels lie in the folder of its name. Its fill.cc is the list of what it overrides, so
// that adding a kernel is one file and one line there.
#pragma once

#include "base/status.h"
#include "ops/op_table.h"

namespace banyan::kernels {

// kFailedPrecondition when this machine lacks `level`.
StatusOr<ops::OpTable> MakeCpuTable(ops::IsaLevel level);

// Each level's overrides, called from lowest to highest.
namespace avx2 {
void Fill(ops::OpTable& table);
}
namespace avx512 {
void Fill(ops::OpTable& table);
}
namespace avx512_vnni_bf16 {
void Fill(ops::OpTable& table);
}
namespace amx {
void Fill(ops::OpTable& table);
}

}  // namespace banyan::kernels
