// SPDX-License-Identifier: Apache-2.0
// Precompiled for every layer but kernels/: the headers that nearly every file includes and that
// cost most to read. Not included by hand.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/status.h"
