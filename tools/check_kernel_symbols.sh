#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Object files of the CPU levels (src/kernels/CMakeLists.txt) must not hold inline functions that other
# files share: the linker keeps one copy, perhaps one that older machines cannot run.
#   check_kernel_symbols.sh OBJECT...    Objects outside the levels' folders are passed over.
found=0
for object in "$@"; do
  case "$object" in
    */cpu/avx2/* | */cpu/avx512/* | */cpu/avx512_vnni_bf16/* | */cpu/amx/*) ;;
    *) continue ;;
  esac
  # fmt's exception comes in with every header that has a Status; its destructor is a jump.
  weak=$(nm -C "$object" | grep -E ' [WVu] ' | grep -v 'fmt::v[0-9]*::format_error')
  if [ -n "$weak" ]; then
    echo "$object shares inline functions:"
    echo "$weak"
    found=1
  fi
done
exit $found
