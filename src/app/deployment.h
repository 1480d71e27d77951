// SPDX-License-Identifier: Apache-2.0
// What a deployment may put in the place of Banyan's own, without touching anything else: one
// function each, which every command that starts an engine asks (app/engine_flags.cc).
#pragma once

#include "sched/scheduler.h"

namespace banyan {

// Makes the per-request state: a class derived from Request (sched/request_state.h) that decides
// when a request ends, or watches what becomes of it. None: Banyan's own.
RequestFactory DeploymentRequests();

}  // namespace banyan
