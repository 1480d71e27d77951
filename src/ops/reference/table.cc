// SPDX-License-Identifier: Apache-2.0
#include "ops/op_table.h"

namespace banyan::ops {

std::string_view Name(IsaLevel level) {
  switch (level) {
    case IsaLevel::kReference:
      return "reference";
    case IsaLevel::kAvx2:
      return "avx2";
    case IsaLevel::kAvx512:
      return "avx512";
    case IsaLevel::kAvx512VnniBf16:
      return "avx512_vnni_bf16";
    case IsaLevel::kAmx:
      return "amx";
  }
  return "?";
}

void FillReference(OpTable& table) {
  table.level = IsaLevel::kReference;
  FillLinearReference(table);
  FillNormReference(table);
  FillRopeReference(table);
  FillElementwiseReference(table);
  FillMoeReference(table);
  FillHeadLinearReference(table);
  FillAttentionReference(table);
  FillIndexReference(table);
  FillSampleReference(table);
  FillConvReference(table);
  FillScanReference(table);
  FillRecurrenceReference(table);
}

}  // namespace banyan::ops
