// SPDX-License-Identifier: Apache-2.0
// banyan bench decode: tokens a second while a fixed number of requests all decode, through the
// whole engine, against the speed at which this machine can read the weights and the cache.
#include <algorithm>
#include <cmath>
#include <future>
#include <mutex>
#include <numeric>

#include "app/commands/bench/machine.h"
#include "app/commands/bench/options.h"
#include "app/commands/bench/report.h"

namespace banyan::bench {
namespace {

struct DecodeOptions : EngineOptions {
  std::vector<int> batches = {1, 8};
  int input = 128;
  int output = 128;
};

// When each token of each request came.
using Times = std::vector<std::vector<Clock::time_point>>;

StatusOr<Times> Generate(Engine& engine, int batch, int input, int output) {
  Times times(batch);
  std::vector<std::promise<Status>> ends(batch);
  std::mt19937_64 random(batch);
  for (int i = 0; i < batch; ++i) {
    const auto sink = [&times, &ends, i](GenerateUpdate update) {
      times[i].insert(times[i].end(), update.tokens.size(), Clock::now());
      if (update.finish) ends[i].set_value(update.finish->status);
    };
    BANYAN_RETURN_IF_ERROR(
        engine
            .Submit(PlainRequest(RandomPrompt(random, input, engine.model().vocab_size), output),
                    sink)
            .status());
  }
  Status status;
  for (auto& end : ends) {
    if (Status one = end.get_future().get(); !one.ok()) status = one;
  }
  if (!status.ok()) return status;
  return times;
}

// Tokens a second between the last first token and the first last token, when all requests decode.
double SteadyRate(const Times& times) {
  Clock::time_point begin = Clock::time_point::min(), end = Clock::time_point::max();
  for (const auto& request : times) {
    begin = std::max(begin, request.front());
    end = std::min(end, request.back());
  }
  int64_t tokens = 0;
  for (const auto& request : times)
    tokens += std::count_if(request.begin(), request.end(),
                            [&](Clock::time_point t) { return t > begin && t <= end; });
  return static_cast<double>(tokens) / std::max(1e-9, Seconds(end - begin));
}

Status RunDecode(const DecodeOptions& options) {
  BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, StartEngine(options));
  Report report("decode");
  report.Setting("model", options.config.model_path);
  report.Setting("prompt tokens", fmt::format("{}", options.input));
  report.Setting("output tokens", fmt::format("{}", options.output));
  double bandwidth = 0;
  if (options.config.model_path != kEchoModel) {
    BANYAN_ASSIGN_OR_RETURN(auto device,
                            CpuDevice::Create(options.config.cpu_isa, options.config.threads));
    report.Setting("cpu", device->description());
    BANYAN_ASSIGN_OR_RETURN(bandwidth, ReadBandwidth(*device));
    report.Figure("memory read", bandwidth * 1e-9, "GB/s");
  }
  int64_t bytes_per_token = 0;
  for (const CacheGroupSpec& group : engine->model().cache_groups)
    bytes_per_token += group.BytesPerToken();
  const nn::ModelInfo& model = engine->model();
  const auto dense =
      static_cast<double>(model.weight_bytes - model.looked_up_bytes - model.expert_bytes);
  for (const int batch : options.batches) {
    BANYAN_ASSIGN_OR_RETURN(const Times times,
                            Generate(*engine, batch, options.input, options.output));
    const double rate = SteadyRate(times);
    const std::string name = fmt::format("batch {}", batch);
    if (bandwidth == 0) {
      report.Figure(name, rate, "tokens/s");
      continue;
    }
    const double cached = batch * (options.input + options.output / 2.0);
    // Experts that no request chose are not read; requests are taken to choose independently.
    const double experts =
        static_cast<double>(model.expert_bytes) * (1.0 - std::pow(1.0 - model.expert_share, batch));
    const double bytes = dense + experts + cached * static_cast<double>(bytes_per_token);
    report.Figure(name, rate, "tokens/s", batch * bandwidth / bytes,
                  "reading weights and cache once a step");
  }
  report.Print(options.json);
  return OkStatus();
}

}  // namespace

std::function<Status()> DeclareDecode(CLI::App& app) {
  auto options = std::make_shared<DecodeOptions>();
  AddEngineOptions(app, *options);
  app.add_option("--batch-size", options->batches, "requests that decode together (1 8)")
      ->check(CLI::Range(1, 1 << 16));
  app.add_option("--input-len", options->input, "prompt tokens of each (128)")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--output-len", options->output, "output tokens of each (128)")
      ->check(CLI::Range(2, 1 << 30));
  return [options] { return RunDecode(*options); };
}

}  // namespace banyan::bench
