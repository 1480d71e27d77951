// SPDX-License-Identifier: Apache-2.0
// Paths for operators and probes: health, what the server is and holds, and control of it.
#pragma once

#include "serve/context.h"

namespace banyan::serve {

// Runs a token through the engine unless it is busy with others, whose steps the watchdog sees.
void HandleHealthGenerate(const ServeContext& context, const ReplyPtr& reply);

void HandleModelInfo(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply);
void HandleServerInfo(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply);
void HandleWeightVersion(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply);
void HandleMemory(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply);
void HandleGetLoad(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply);
void HandleLoads(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply);
// The blocks in the prefix cache of one rank, with the number of the first KV event that is not in
// it: where a consumer of KV events can begin.
void HandleCacheBlocks(const ServeContext& context, const HttpRequest& request,
                       const ReplyPtr& reply);
void HandleMetrics(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply);
void HandleFlushCache(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply);
void HandleAbort(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply);
void HandlePause(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply);
void HandleContinue(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply);
void HandleOpenSession(const ServeContext& context, const HttpRequest& request,
                       const ReplyPtr& reply);
void HandleCloseSession(const ServeContext& context, const HttpRequest& request,
                        const ReplyPtr& reply);

}  // namespace banyan::serve
