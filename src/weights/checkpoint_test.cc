// SPDX-License-Identifier: Apache-2.0
#include "weights/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "weights/testing.h"

namespace banyan::weights {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

TEST(Checkpoint, OpensEveryFolderOfTheTestData) {
  int opened = 0;
  for (const char* group : {"golden_models", "models"}) {
    const fs::path root = fs::path(BANYAN_SOURCE_DIR) / "../shared/data" / group;
    if (!fs::exists(root)) GTEST_SKIP() << root << " is absent";
    for (const auto& entry : fs::directory_iterator(root)) {
      if (!entry.is_directory()) continue;
      auto checkpoint = Checkpoint::Open(entry.path().string());
      ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
      EXPECT_FALSE((*checkpoint)->tensors().empty()) << entry.path();
      EXPECT_TRUE((*checkpoint)->config().contains("architectures")) << entry.path();
      for (const NamedTensor& tensor : (*checkpoint)->tensors())
        EXPECT_EQ((*checkpoint)->Find(tensor.name), &tensor.tensor);
      ++opened;
    }
  }
  EXPECT_GE(opened, 78);
}

}  // namespace
}  // namespace banyan::weights
