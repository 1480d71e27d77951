// SPDX-License-Identifier: Apache-2.0
// Precompiled for app/: CLI11, which every command includes. Not included by hand.
#pragma once

#include <CLI/CLI.hpp>

#include "base/precompiled.h"
