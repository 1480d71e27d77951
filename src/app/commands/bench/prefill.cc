// SPDX-License-Identifier: Apache-2.0
// banyan bench prefill: prompt tokens a second, through the whole engine, against the best that the
// machine's product of the model's main weight format does.
#include <algorithm>

#include "app/commands/bench/machine.h"
#include "app/commands/bench/options.h"
#include "app/commands/bench/report.h"

namespace banyan::bench {
namespace {

struct PrefillOptions : EngineOptions {
  std::vector<int> lengths = {512};
  int repeats = 3;
};

Status RunPrefill(const PrefillOptions& options) {
  BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, StartEngine(options));
  const nn::ModelInfo& model = engine->model();
  Report report("prefill");
  report.Setting("model", options.config.model_path);
  double rate = 0;
  if (options.config.model_path != kEchoModel) {
    BANYAN_ASSIGN_OR_RETURN(auto device,
                            CpuDevice::Create(options.config.cpu_isa, options.config.threads));
    report.Setting("cpu", device->description());
    BANYAN_ASSIGN_OR_RETURN(const DType format, MainFormat(engine->config().model_path));
    BANYAN_ASSIGN_OR_RETURN(rate, ProductRate(*device, format, model.compute));
    report.Figure(fmt::format("large product, {}", Name(format)), rate * 1e-9, "GFLOP/s");
  }
  std::mt19937_64 random(7);
  for (const int length : options.lengths) {
    double best = 1e30;
    for (int i = 0; i < options.repeats; ++i) {
      BANYAN_ASSIGN_OR_RETURN(
          const double seconds,
          PrefillSeconds(*engine, RandomPrompt(random, length, model.vocab_size)));
      best = std::min(best, seconds);
    }
    const std::string name = fmt::format("{} tokens", length);
    if (rate == 0) {
      report.Figure(name, length / best, "tokens/s");
    } else {
      // Every token goes through the layers, the last one through the output matrix too; attention
      // is left out.
      const double flops = 2.0 * (length * static_cast<double>(model.row_parameters) +
                                  static_cast<double>(model.output_parameters));
      report.Figure(name, length / best, "tokens/s", length * rate / flops,
                    "the same operations as large products");
    }
  }
  report.Print(options.json);
  return OkStatus();
}

}  // namespace

std::function<Status()> DeclarePrefill(CLI::App& app) {
  auto options = std::make_shared<PrefillOptions>();
  AddEngineOptions(app, *options);
  app.add_option("--input-len", options->lengths, "prompt tokens (512)")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--repeats", options->repeats, "the best of so many counts (3)")
      ->check(CLI::Range(1, 1000));
  return [options] { return RunPrefill(*options); };
}

}  // namespace banyan::bench
