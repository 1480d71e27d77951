// SPDX-License-Identifier: Apache-2.0
#include "run/cpu_device.h"

#include <utility>
#include <vector>

#include "device/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/table.h"

namespace banyan {

StatusOr<std::unique_ptr<CpuDevice>> CpuDevice::Create(std::string_view isa, int threads, int part,
                                                       int parts) {
  std::vector<int> cores = UsableCores();
  if (threads > static_cast<int>(cores.size()))
    return InvalidArgument("--threads: {} threads on {} usable cores", threads, cores.size());
  if (threads > 0) cores.resize(threads);
  const auto all = static_cast<int>(cores.size());
  if (parts > all) {
    cores = {cores[part % all]};
  } else {
    cores = {cores.begin() + all * part / parts, cores.begin() + all * (part + 1) / parts};
  }
  BANYAN_ASSIGN_OR_RETURN(const ops::IsaLevel level, kernels::ParseIsa(isa));

  std::unique_ptr<CpuDevice> device(new CpuDevice());
  BANYAN_ASSIGN_OR_RETURN(device->table_, kernels::MakeCpuTable(level));
  device->backend_ = MakeCpuBackend();
  device->description_ = fmt::format("{}, {} threads", kernels::DescribeCpu(level), cores.size());
  device->pool_ = std::make_unique<ThreadPool>(std::move(cores));
  device->scratch_ = std::make_unique<ops::Scratch>(device->backend_.get());
  device->context_ = {.backend = device->backend_.get(),
                      .table = &device->table_,
                      .pool = device->pool_.get(),
                      .scratch = device->scratch_.get(),
                      .order = &device->order_};
  return device;
}

}  // namespace banyan
