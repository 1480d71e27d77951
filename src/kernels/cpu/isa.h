// SPDX-License-Identifier: Apache-2.0
// Which instruction sets this machine has, as the levels that kernels are written for. Each level
// holds all of the ones before it:
//   avx2              AVX2, FMA, F16C, BMI2
//   avx512            AVX-512 F, BW, DQ, VL, CD
//   avx512_vnni_bf16  AVX-512 VNNI and BF16
//   amx               AMX tiles with int8 and bf16 (the kernel is asked for its permission)
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "ops/op_table.h"

namespace banyan::kernels {

using ops::IsaLevel;

// The highest level that the CPU and the operating system offer. Asked once per process;
// thread-safe.
IsaLevel DetectIsa();

// A value of --cpu-isa: "auto" is DetectIsa(). kInvalidArgument lists the names when it is none of
// them, kFailedPrecondition when this machine lacks the level.
StatusOr<IsaLevel> ParseIsa(std::string_view name);

// One line for the log and `banyan doctor`: "Intel(R) Xeon(R) Processor, 2 cores usable, cpu isa
// amx".
std::string DescribeCpu(IsaLevel in_force);

}  // namespace banyan::kernels
