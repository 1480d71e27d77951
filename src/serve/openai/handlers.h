// SPDX-License-Identifier: Apache-2.0
// OpenAI's paths: /v1/models, /v1/chat/completions, /v1/completions.
#pragma once

#include "serve/context.h"

namespace banyan::serve {

void HandleModels(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply);
void HandleModel(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply);
void HandleChat(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply);
void HandleCompletions(const ServeContext& context, const HttpRequest& request,
                       const ReplyPtr& reply);

}  // namespace banyan::serve
