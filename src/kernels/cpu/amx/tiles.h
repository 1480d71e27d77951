// SPDX-License-Identifier: Apache-2.0
// The shapes of AMX's eight tile registers, as LDTILECFG reads them.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace banyan::kernels {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// GCC 12's own intrinsic tells the compiler of the first 8 bytes only, and the others may not be
// stored yet.
inline __attribute__((always_inline)) void LoadConfig(const TileConfig& config) {
  __asm__ volatile("ldtilecfg %0" ::"m"(config));
}

// Before tile loads: GCC does not know that they read memory, and might keep back what was stored.
inline __attribute__((always_inline)) void FinishStores() { __asm__ volatile("" ::: "memory"); }

}  // namespace
}  // namespace banyan::kernels
