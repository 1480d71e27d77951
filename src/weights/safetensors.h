// SPDX-License-Identifier: Apache-2.0
// The safetensors container: eight bytes of header length, a JSON header, raw tensors.
//
// As strict as the format's own library: tensors lie without overlap or gap and end where the file
// ends. Stricter in two points: a name twice and an unknown key of a tensor are errors. Types that
// tensor/dtype.h lacks (F8_E4M3, U16, ...) are kUnimplemented, naming the tensor.
#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "weights/checkpoint.h"
#include "weights/mapped_file.h"

namespace banyan::weights {

// The tensors of one file, sorted by name; they point into `file`.
StatusOr<std::vector<NamedTensor>> ReadSafetensors(const MappedFile& file);

}  // namespace banyan::weights
