// SPDX-License-Identifier: Apache-2.0
#include "engine/live_names.h"

namespace banyan {

std::shared_ptr<LiveNames::Hold> LiveNames::Take(const std::shared_ptr<LiveNames>& names,
                                                 const std::string& name) {
  {
    std::lock_guard lock(names->mutex_);
    if (!names->taken_.insert(name).second) return nullptr;
  }
  return std::make_shared<Hold>(names, name);
}

LiveNames::Hold::~Hold() {
  std::lock_guard lock(names_->mutex_);
  names_->taken_.erase(name_);
}

}  // namespace banyan
