// SPDX-License-Identifier: Apache-2.0
#include "app/deployment.h"

namespace banyan {

RequestFactory DeploymentRequests() { return {}; }

}  // namespace banyan
