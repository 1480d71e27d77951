// SPDX-License-Identifier: Apache-2.0
// Asks a hub about a repository and downloads single files of it into the cache.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "weights/hub.h"
#include "weights/hub_cache.h"

namespace banyan::weights {

struct HubRepo {
  std::string commit;
  std::vector<std::string> files;
};

// What a revision holds (GET /api/models/ORG/NAME/revision/REVISION).
StatusOr<HubRepo> ListRepo(const std::string& repo, const HubOptions& options);

// Brings one file into the cache and links it into the commit's snapshot. Takes up a download that
// was cut (blobs/ETAG.incomplete), and gives the blob its name only when its hash is right: the
// SHA-256 of large files, git's blob hash of the others.
Status DownloadFile(const std::string& repo, const std::string& commit, const std::string& file,
                    const HubCache& cache, const HubOptions& options);

}  // namespace banyan::weights
