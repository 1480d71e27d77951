// SPDX-License-Identifier: Apache-2.0
// Engine::Start: from a configuration to running threads, each phase logged with its time.
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "base/log.h"
#include "engine/byte_tokenizer.h"
#include "engine/data_parallel.h"
#include "engine/engine_impl.h"
#include "engine/generation_config.h"
#include "engine/memory_plan.h"
#include "engine/text_model.h"
#include "models/load.h"
#include "run/cpu_device.h"
#include "run/echo_runner.h"
#include "run/runner.h"
#include "text/model_files.h"
#include "weights/checkpoint.h"
#include "weights/hub.h"

namespace banyan {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Logs how long its scope took, and tells who wants to know. Scopes of several threads may end
// together.
class Phases {
 public:
  explicit Phases(PhaseSink sink) : sink_(std::move(sink)) {}
  void Ended(const std::string& name, const std::string& details, double seconds) {
    std::lock_guard lock(mutex_);
    LogInfo("start: {}{} ({:.0f} ms)", name, details, 1e3 * seconds);
    double& longest = longest_[name];
    longest = std::max(longest, seconds);
    if (sink_) sink_(name, seconds);
  }
  void Publish(Metrics& metrics) {
    std::lock_guard lock(mutex_);
    for (const auto& [name, seconds] : longest_) {
      metrics
          .GetGauge("sglang:startup_latency_breakdown_seconds_max",
                    "Seconds that a phase of the start took.", {{"context", name}})
          .Set(seconds);
    }
  }

 private:
  std::mutex mutex_;
  PhaseSink sink_;
  std::map<std::string, double> longest_;
};

class Phase {
 public:
  Phase(Phases& phases, std::string name)
      : phases_(phases), name_(std::move(name)), start_(Clock::now()) {}
  ~Phase() { phases_.Ended(name_, details_, Since(start_)); }
  void Add(std::string_view detail) { details_ += fmt::format(", {}", detail); }

 private:
  Phases& phases_;
  std::string name_, details_;
  Clock::time_point start_;
};

constexpr double kMegabyte = 1 << 20;
// For threads, requests and their texts, once weights, cache and steps have their memory.
constexpr int64_t kForTheRest = int64_t{96} << 20;

// What the runner borrows, in the order of making.
struct DeviceHold {
  std::unique_ptr<weights::Checkpoint> checkpoint;
  std::unique_ptr<CpuDevice> device;
  std::shared_ptr<DeviceHold> first;  // of rank 0, with the weights
};

// What all data-parallel ranks have alike, which is everything but what runs the steps.
EngineParts PartsOfRank(const EngineParts& first, int rank) {
  EngineParts parts;
  parts.config = first.config;
  parts.model = first.model;
  parts.scheduler = first.scheduler;
  parts.tokenizer = first.tokenizer;
  parts.chat_template = first.chat_template;
  parts.generation_config = first.generation_config;
  parts.default_sampling = first.default_sampling;
  parts.end_ids = first.end_ids;
  parts.load_seconds = first.load_seconds;
  parts.metrics = first.metrics;
  parts.live_names = first.live_names;
  parts.dp_rank = rank;
  // Ranks draw seeds of their own.
  parts.config.random_seed += static_cast<uint64_t>(rank) * 0x9E3779B97F4A7C15u;
  return parts;
}

StatusOr<TextModel> LoadText(const EngineConfig& config, Phases& phases) {
  TextModel out;
  if (config.skip_tokenizer_init) return out;
  const std::string path =
      config.tokenizer_path.empty() ? config.model_path : config.tokenizer_path;
  Phase phase(phases, "tokenizer and chat template");
  phase.Add(path);
  if (path == kEchoModel) {
    if (!config.hf_chat_template_name.empty())
      return NotFound("--hf-chat-template-name: the echo model has no chat template");
    BANYAN_ASSIGN_OR_RETURN(out.tokenizer, MakeByteTokenizer());
  } else {
    BANYAN_ASSIGN_OR_RETURN(out, LoadTextModel(path, config.hf_chat_template_name));
  }
  if (!config.chat_template.empty()) {
    BANYAN_ASSIGN_OR_RETURN(const std::optional<std::string> source,
                            text::ReadFileIfAny(config.chat_template));
    if (!source) return NotFound("--chat-template: there is no file {}", config.chat_template);
    BANYAN_ASSIGN_OR_RETURN(out.chat_template, text::ChatTemplate::Compile(*source));
  }
  return out;
}

// Every token leads to the next one that is not special, in a circle; for bytes, the printable ones
// of ASCII.
std::vector<TokenId> EchoSuccessors(const text::Tokenizer* tokenizer, int vocab_size, bool bytes) {
  std::vector<TokenId> next(vocab_size);
  const auto ordinary = [&](TokenId id) {
    if (bytes) return id >= ' ' && id <= '~';
    return tokenizer == nullptr || !tokenizer->IsSpecial(id);
  };
  TokenId following = -1;
  for (int pass = 0; pass < 2; ++pass) {
    for (TokenId id = vocab_size - 1; id >= 0; --id) {
      next[id] = following;
      if (ordinary(id)) following = id;
    }
  }
  if (following < 0) std::fill(next.begin(), next.end(), 0);
  return next;
}

StatusOr<std::vector<EngineParts>> EchoParts(EngineConfig config, Phases& phases) {
  EngineParts parts;
  BANYAN_ASSIGN_OR_RETURN(TextModel text, LoadText(config, phases));
  const bool bytes = config.tokenizer_path.empty();
  parts.tokenizer = std::move(text.tokenizer);
  parts.chat_template = std::move(text.chat_template);
  parts.model.family = parts.model.architecture = kEchoModel;
  parts.model.vocab_size = parts.tokenizer ? parts.tokenizer->vocab_size() : kByteTokenizerEnd + 1;
  parts.model.context_length = 32768;
  parts.model.cache_groups = {CacheGroupSpec{.name = "full"}};
  if (config.max_total_tokens == 0) config.max_total_tokens = 1 << 21;
  BANYAN_ASSIGN_OR_RETURN(parts.scheduler,
                          PlanMemory(config, parts.model, config.max_total_tokens * 4));
  if (parts.tokenizer != nullptr && parts.tokenizer->eos_id())
    parts.end_ids.push_back(*parts.tokenizer->eos_id());
  const std::vector<TokenId> next =
      EchoSuccessors(parts.tokenizer.get(), parts.model.vocab_size, bytes);
  parts.config = std::move(config);
  parts.metrics = EngineMetrics::MakeRegistry(parts.config.served_model_name);
  parts.live_names = std::make_shared<LiveNames>();
  std::vector<EngineParts> ranks;
  for (int rank = 0; rank < parts.config.dp_size; ++rank) {
    ranks.push_back(PartsOfRank(parts, rank));
    ranks.back().runner = std::make_unique<EchoRunner>(next, parts.config.max_running_requests);
  }
  return ranks;
}

void AddEndIds(std::vector<TokenId>& to, const std::vector<TokenId>& ids, int vocab_size) {
  for (const TokenId id : ids) {
    if (id >= 0 && id < vocab_size && std::find(to.begin(), to.end(), id) == to.end())
      to.push_back(id);
  }
}

// The caches and runners of all ranks over one model, whose weights `hold` keeps.
StatusOr<std::vector<EngineParts>> RanksOf(const EngineParts& parts,
                                           const std::shared_ptr<nn::Model>& model,
                                           const std::shared_ptr<DeviceHold>& hold,
                                           const StepMemory& step, Phases& phases) {
  const EngineConfig& config = parts.config;
  Phase phase(phases, "cache");
  std::vector<EngineParts> ranks;
  for (int rank = 0; rank < config.dp_size; ++rank) {
    EngineParts& own = ranks.emplace_back(PartsOfRank(parts, rank));
    std::shared_ptr<DeviceHold> device = hold;
    if (rank > 0) {
      device = std::make_shared<DeviceHold>();
      device->first = hold;
      BANYAN_ASSIGN_OR_RETURN(
          device->device, CpuDevice::Create(config.cpu_isa, config.threads, rank, config.dp_size));
    }
    BANYAN_ASSIGN_OR_RETURN(
        nn::CachePools pools,
        nn::CachePools::Allocate(device->device->backend(), parts.model.cache_groups,
                                 parts.scheduler.pages_per_group, config.page_size));
    own.cache_bytes = pools.bytes();
    auto runner =
        std::make_unique<Runner>(device->device->context(), model, std::move(pools),
                                 RunnerOptions{.max_rows = config.max_running_requests,
                                               .original_logprobs = config.return_original_logprob,
                                               .max_logit_bytes = step.logit_bytes});
    BANYAN_RETURN_IF_ERROR(runner->Reserve(step));
    own.runner = std::move(runner);
    own.device = std::move(device);
  }
  phase.Add(
      fmt::format("{} tokens in pages of {}, {:.0f} MB, requests of up to {} tokens, steps "
                  "in {:.0f} MB{}",
                  config.max_total_tokens, config.page_size,
                  static_cast<double>(ranks[0].cache_bytes) / kMegabyte, parts.scheduler.max_length,
                  static_cast<double>(step.bytes()) / kMegabyte,
                  config.dp_size > 1 ? fmt::format(", {} times", config.dp_size) : ""));
  return ranks;
}

StatusOr<std::vector<EngineParts>> ModelParts(EngineConfig config, Phases& phases) {
  EngineParts parts;
  // Text and weights are read side by side.
  std::future<StatusOr<TextModel>> text =
      std::async(std::launch::async, [&] { return LoadText(config, phases); });
  auto hold = std::make_shared<DeviceHold>();
  {
    Phase phase(phases, "device");
    BANYAN_ASSIGN_OR_RETURN(hold->device,
                            CpuDevice::Create(config.cpu_isa, config.threads, 0, config.dp_size));
    phase.Add(hold->device->description());
  }
  const auto available = static_cast<int64_t>(hold->device->backend().AvailableMemory());
  GenerationConfig generation;
  {
    Phase phase(phases, "opening");
    phase.Add(config.model_path);
    BANYAN_ASSIGN_OR_RETURN(
        const json::object overrides,
        ParseJsonObject(config.json_model_override_args, "--json-model-override-args"));
    BANYAN_ASSIGN_OR_RETURN(hold->checkpoint,
                            weights::Checkpoint::Open(config.model_path, overrides));
    BANYAN_ASSIGN_OR_RETURN(generation, ReadGenerationConfig(config.model_path));
    for (const std::string& key : generation.without_effect) {
      LogWarning("generation_config.json: {} has no effect here", key);
    }
  }
  std::shared_ptr<nn::Model> model;
  {
    Phase phase(phases, "weights");
    const auto start = Clock::now();
    models::LoadOptions options{.dtype = config.dtype,
                                .context_length = config.context_length,
                                .expand_latents = config.mla_expand_rows};
    auto last_line = start;
    options.progress = [&](int64_t done, int64_t total) {
      if (Since(last_line) < 1) return;
      last_line = Clock::now();
      LogInfo("weights: {:.0f} of {:.0f} MB, {:.0f} MB/s", done / kMegabyte, total / kMegabyte,
              done / kMegabyte / Since(start));
    };
    BANYAN_ASSIGN_OR_RETURN(model,
                            models::LoadModel(hold->device->context(), *hold->checkpoint, options));
    parts.load_seconds = Since(start);
    parts.model = model->info();
    const double megabytes = static_cast<double>(parts.model.weight_bytes) / kMegabyte;
    phase.Add(fmt::format("{}, {:.1f} M parameters, {:.0f} MB, {:.0f} MB/s, computing in {}",
                          parts.model.architecture,
                          static_cast<double>(parts.model.num_parameters) * 1e-6, megabytes,
                          megabytes / parts.load_seconds, Name(parts.model.compute)));
  }
  // What the tokenizer takes is no more free.
  BANYAN_ASSIGN_OR_RETURN(TextModel loaded, text.get());
  StepBudget steps;
  steps.left_bytes = std::max<int64_t>(
      0, static_cast<int64_t>(hold->device->backend().AvailableMemory()) - kForTheRest);
  steps.measure = [&](const StepShape& shape) {
    return MeasureStep(hold->device->context(), *model, shape);
  };
  BANYAN_ASSIGN_OR_RETURN(parts.scheduler, PlanMemory(config, parts.model, available, &steps));
  parts.tokenizer = std::move(loaded.tokenizer);
  parts.chat_template = std::move(loaded.chat_template);

  AddEndIds(parts.end_ids, parts.model.end_ids, parts.model.vocab_size);
  AddEndIds(parts.end_ids, generation.end_ids, parts.model.vocab_size);
  if (parts.tokenizer != nullptr && parts.tokenizer->eos_id())
    AddEndIds(parts.end_ids, {*parts.tokenizer->eos_id()}, parts.model.vocab_size);
  parts.generation_config = std::move(generation.json);
  if (config.sampling_defaults == "model") parts.default_sampling = generation.sampling;
  parts.config = std::move(config);
  parts.metrics = EngineMetrics::MakeRegistry(parts.config.served_model_name);
  parts.live_names = std::make_shared<LiveNames>();
  return RanksOf(parts, model, hold, steps.memory, phases);
}

// ORG/NAME becomes the folder that it is downloaded to.
Status ResolvePaths(EngineConfig& config) {
  const auto progress = [last = Clock::time_point()](std::string_view file, int64_t done,
                                                     int64_t total) mutable {
    if (Since(last) < 1) return;
    last = Clock::now();
    LogInfo("download: {}, {:.0f} of {:.0f} MB", file, static_cast<double>(done) / kMegabyte,
            static_cast<double>(total) / kMegabyte);
  };
  for (std::string* path : {&config.model_path, &config.tokenizer_path}) {
    if (path->empty() || *path == kEchoModel) continue;
    weights::HubOptions options = config.hub;
    options.progress = progress;
    if (!config.revision.empty()) options.revision = config.revision;
    if (!config.download_dir.empty()) options.cache_dir = config.download_dir;
    BANYAN_ASSIGN_OR_RETURN(*path, weights::ResolveModel(*path, options));
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<Engine>> Engine::Start(EngineConfig config, PhaseSink on_phase) {
  const auto start = Clock::now();
  Phases phases(std::move(on_phase));
  BANYAN_RETURN_IF_ERROR(config.Validate());
  if (config.served_model_name.empty()) config.served_model_name = config.model_path;
  if (config.dtype == "half") config.dtype = "float16";
  if (config.dtype == "float") config.dtype = "float32";
  if (!config.random_seed_set) {
    std::random_device random;
    config.random_seed = uint64_t{random()} << 32 | random();
  }
  BANYAN_RETURN_IF_ERROR(ResolvePaths(config));
  BANYAN_ASSIGN_OR_RETURN(const LoadBalance method, ParseLoadBalance(config.load_balance_method));
  BANYAN_ASSIGN_OR_RETURN(std::vector<EngineParts> parts,
                          config.model_path == kEchoModel ? EchoParts(std::move(config), phases)
                                                          : ModelParts(std::move(config), phases));
  std::vector<std::unique_ptr<Engine>> ranks;
  for (EngineParts& rank : parts) {
    rank.start_seconds = Since(start);
    BANYAN_ASSIGN_OR_RETURN(ranks.emplace_back(), MakeEngine(std::move(rank)));
  }
  std::unique_ptr<Engine> engine = ranks.size() == 1
                                       ? std::move(ranks.front())
                                       : MakeDataParallelEngine(std::move(ranks), method);
  phases.Publish(engine->metrics());
  // A tokenizer's tables are built from many times their size, in pieces that the C library would
  // keep for the next ones; they do not come again.
  malloc_trim(0);
  LogInfo("start: ready after {:.0f} ms", 1e3 * Since(start));
  return engine;
}

}  // namespace banyan
