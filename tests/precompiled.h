// SPDX-License-Identifier: Apache-2.0
// Precompiled for the test programs. Not included by hand.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/precompiled.h"
