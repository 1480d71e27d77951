// SPDX-License-Identifier: Apache-2.0
#include "text/chat_template.h"

namespace banyan::text {

StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::Compile(std::string_view) {
  return Unimplemented("chat templates");
}

StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::Load(const std::string& folder,
                                                                 std::string_view) {
  return NotFound("{}: no chat template", folder);
}

}  // namespace banyan::text
