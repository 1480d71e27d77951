// SPDX-License-Identifier: Apache-2.0
// SGLang's own paths for text: /generate, /tokenize, /detokenize; and /render, which shows the
// exact prompt of a chat request.
#pragma once

#include "serve/context.h"

namespace banyan::serve {

void HandleGenerate(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply);
void HandleTokenize(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply);
void HandleDetokenize(const ServeContext& context, const HttpRequest& request,
                      const ReplyPtr& reply);
void HandleRender(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply);

}  // namespace banyan::serve
