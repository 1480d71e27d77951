// SPDX-License-Identifier: Apache-2.0
// Any JSON as the config of a checkpoint without tensors: every family must refuse it or come as
// far as the first tensor that is missing.
#include "base/log.h"
#include "models/load.h"

namespace banyan::models {
namespace {

class EmptyCheckpoint : public weights::Checkpoint {
 public:
  explicit EmptyCheckpoint(json::object config) : config_(std::move(config)) {}
  weights::Format format() const override { return weights::Format::kSafetensors; }
  const std::string& path() const override { return path_; }
  const json::object& config() const override { return config_; }
  const std::vector<weights::NamedTensor>& tensors() const override { return tensors_; }
  void Populate(const Tensor&) const override {}
  void Release(const Tensor&) const override {}
  int64_t file_bytes() const override { return 0; }

 private:
  json::object config_;
  std::string path_ = "fuzz";
  std::vector<weights::NamedTensor> tensors_;
};

}  // namespace
}  // namespace banyan::models

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace banyan;
  [[maybe_unused]] static const bool quiet = InitLog("off").ok();
  auto config = ParseJsonObject({reinterpret_cast<const char*>(data), size}, "config.json");
  if (!config.ok()) return 0;
  const models::EmptyCheckpoint checkpoint(*std::move(config));
  BANYAN_CHECK(!models::LoadModel({}, checkpoint, {}).ok(), "a model without tensors");
  return 0;
}
