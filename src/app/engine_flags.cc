// SPDX-License-Identifier: Apache-2.0
#include "app/engine_flags.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "app/deployment.h"

namespace banyan {

StatusOr<int64_t> ParseSize(std::string_view text) {
  double unit = 1;
  std::string_view digits = text;
  if (!digits.empty()) {
    switch (digits.back()) {
      case 'k':
        unit = 1e3;
        break;
      case 'K':
        unit = 1024;
        break;
      case 'm':
        unit = 1e6;
        break;
      case 'M':
        unit = 1024.0 * 1024;
        break;
      case 'g':
        unit = 1e9;
        break;
      case 'G':
        unit = 1024.0 * 1024 * 1024;
        break;
    }
    if (unit != 1) digits.remove_suffix(1);
  }
  double number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const double value = number * unit;
  if (error != std::errc() || end != digits.data() + digits.size() || value != std::floor(value) ||
      std::abs(value) > 9e15) {
    return InvalidArgument("'{}' is not a whole number such as 4096, 32k or 1M", text);
  }
  return static_cast<int64_t>(value);
}

CLI::Option* AddSizeOption(CLI::App& app, std::string names, int64_t& value, std::string help) {
  return app
      .add_option_function<std::string>(
          names,
          [&value, names](const std::string& text) {
            auto size = ParseSize(text);
            if (!size.ok() || *size < 0) {
              throw CLI::ValidationError(
                  names, size.ok() ? "must not be negative" : Message(size.status()));
            }
            value = *size;
          },
          std::move(help))
      ->type_name("SIZE")
      ->take_last();
}

namespace {

// CLI11's own range check lets NaN through.
const CLI::Validator kFinite(
    [](std::string& text) {
      const double value = std::strtod(text.c_str(), nullptr);
      return std::isfinite(value) ? std::string() : "not a finite number: " + text;
    },
    "");

// A flag given twice counts as given last: what stands in a --config file comes first.
template <typename T>
CLI::Option* Add(CLI::App& app, const std::string& names, T& value, const std::string& help) {
  return app.add_option(names, value, help)->take_last();
}

void AddModelFlags(CLI::App& app, EngineConfig& config) {
  Add(app, "--model-path,--model", config.model_path,
      "folder, .gguf file, ORG/NAME of a model, or 'echo' for no model at all")
      ->required();
  Add(app, "--tokenizer-path", config.tokenizer_path, "where the tokenizer is (the model's)");
  app.add_flag("--skip-tokenizer-init", config.skip_tokenizer_init, "ids in, ids out");
  Add(app, "--served-model-name", config.served_model_name, "the model's name in the API");
  Add(app, "--chat-template", config.chat_template, "a Jinja file instead of the model's own");
  Add(app, "--hf-chat-template-name", config.hf_chat_template_name,
      "which of the model's own, where it has several (default; tool_use where tools are given)")
      ->excludes("--chat-template");
  Add(app, "--revision", config.revision, "branch, tag or commit of an ORG/NAME (main)");
  Add(app, "--download-dir", config.download_dir,
      "where models of ORG/NAME are kept (HF_HUB_CACHE, or hub below HF_HOME)");
  Add(app, "--json-model-override-args", config.json_model_override_args,
      "a JSON object whose keys replace those of the model's config");
  Add(app, "--dtype", config.dtype, "compute and cache type")
      ->check(CLI::IsMember({"auto", "half", "float16", "bfloat16", "float", "float32"}));
  AddSizeOption(app, "--context-length", config.context_length,
                "most positions of one request (from the model)");
  Add(app, "--mla-expand-rows", config.mla_expand_rows,
      "latent attention: new tokens of a request in one step from which on its keys and values are "
      "expanded: faster for long prompts, but answers then depend on how a prompt is cut (0: "
      "never)")
      ->check(CLI::Range(0, 1 << 30));
  for (const char* name : {"--mamba-backend", "--linear-attn-backend",
                           "--linear-attn-decode-backend", "--linear-attn-prefill-backend"})
    app.add_option_function<std::string>(
           name, [](const std::string&) {}, "kernels of recurrent layers: there is one set of them")
        ->check(CLI::IsMember({"auto", "cpu"}))
        ->take_last();
  Add(app, "--device", config.device, "what computes")
      ->check([](const std::string& device) -> std::string {
        return device == "cuda" ? "there are no CUDA kernels yet; --device cpu computes" : "";
      })
      ->check(CLI::IsMember({"cpu"}));
  Add(app, "--cpu-isa", config.cpu_isa, "force one level of CPU kernels")
      ->check(CLI::IsMember({"auto", "reference", "avx2", "avx512", "avx512_vnni_bf16", "amx"}));
  Add(app, "--threads", config.threads, "compute threads (the cores given to the process)")
      ->check(CLI::Range(0, 4096));
  Add(app, "--dp-size,--data-parallel-size", config.dp_size,
      "engines that share the weights and split threads and memory for caches")
      ->check(CLI::Range(1, 256));
  Add(app, "--load-balance-method", config.load_balance_method,
      "which of them gets a request: auto, round_robin, total_requests, total_tokens, cache_aware");
}

void AddMemoryFlags(CLI::App& app, EngineConfig& config) {
  Add(app, "--page-size", config.page_size, "tokens of one cache page")->check(CLI::Range(1, 4096));
  AddSizeOption(app, "--max-total-tokens", config.max_total_tokens,
                "tokens that the cache holds (from memory)");
  Add(app, "--mem-fraction-static", config.mem_fraction_static,
      "share of memory for weights and cache (computed)")
      ->check(kFinite & CLI::Range(0.0, 1.0));
  Add(app, "--swa-full-tokens-ratio", config.swa_full_tokens_ratio,
      "tokens that sliding windows hold for each token of full attention")
      ->check(kFinite & CLI::Range(0.0, 1.0));
  AddSizeOption(app, "--max-mamba-cache-size", config.max_mamba_cache_size,
                "recurrent states that the cache holds (from memory)");
  Add(app, "--mamba-full-memory-ratio", config.mamba_full_memory_ratio,
      "memory of recurrent states for each byte of keys and values")
      ->check(kFinite & CLI::Range(0.0, 100.0));
  Add(app, "--mamba-track-interval", config.mamba_track_interval,
      "output tokens between two checkpoints of a recurrent state (64)")
      ->check(CLI::Range(1, 1 << 20));
  Add(app, "--radix-eviction-policy", config.radix_eviction_policy, "which prefixes go first");
  app.add_flag("--disable-radix-cache", config.disable_radix_cache, "no prefix cache");
  Add(app, "--kv-events-config", config.kv_events_config,
      "JSON: tells routers over ZeroMQ what the prefix cache holds (publisher, endpoint, "
      "replay_endpoint, buffer_steps, hwm, max_queue_size, topic)");
  app.add_flag(
      "--enable-cache-report", config.enable_cache_report,
      "replies say why a prefix was not found, also that another extra_key or salt has it: "
      "not for clients who are not to know of each other");
}

void AddPriorityFlags(CLI::App& app, EngineConfig& config) {
  app.add_flag("--enable-priority-scheduling", config.enable_priority_scheduling,
               "the better priority first");
  app.add_flag("--disable-priority-preemption", config.disable_priority_preemption,
               "nobody's place is taken");
  Add(app, "--default-priority-value", config.default_priority_value,
      "of requests that bring none (the worst)");
  app.add_flag("--abort-on-priority-when-disabled", config.abort_on_priority_when_disabled,
               "refuse priorities where they would have no effect");
  app.add_flag("--schedule-low-priority-values-first", config.schedule_low_priority_values_first,
               "lower values are better");
  Add(app, "--priority-scheduling-preemption-threshold",
      config.priority_scheduling_preemption_threshold,
      "how much better one must be to take another's place (10)");
}

void AddSchedulerFlags(CLI::App& app, EngineConfig& config) {
  Add(app, "--max-running-requests", config.max_running_requests, "rows of a batch (computed)")
      ->check(CLI::Range(1, 1 << 20));
  Add(app, "--max-queued-requests", config.max_queued_requests,
      "waiting requests before new ones get 429 (computed)")
      ->check(CLI::Range(1, 1 << 24));
  Add(app, "--chunked-prefill-size", config.chunked_prefill_size,
      "most prompt tokens of one step (computed); -1: no limit")
      ->check(CLI::Range(-1, 1 << 24));
  app.add_option_function<std::string>(
         "--max-prefill-tokens",
         [&config](const std::string& text) {
           auto size = ParseSize(text);
           if (!size.ok() || *size < 1 || *size > (1 << 30))
             throw CLI::ValidationError("--max-prefill-tokens", "'" + text + "' is no such number");
           config.max_prefill_tokens = static_cast<int>(*size);
         },
         "most prompt tokens admitted in one turn")
      ->take_last();
  AddSizeOption(app, "--max-queued-tokens", config.max_queued_tokens,
                "tokens of waiting requests before new ones get 429 (64M)");
  Add(app, "--prefill-max-requests", config.prefill_max_requests,
      "most requests whose prompts are computed in one step (no limit)")
      ->check(CLI::Range(1, 1 << 20));
  app.add_flag("--enable-dynamic-chunking", config.enable_dynamic_chunking,
               "chunks of equal time: shorter, the further a prompt has come");
  Add(app, "--schedule-policy", config.schedule_policy,
      "order of the waiting queue: fcfs, lpm, dfs-weight, lof, random, routing-key");
  AddPriorityFlags(app, config);
  app.add_flag("--enable-fair-share", config.enable_fair_share,
               "users (or else routing keys) that wait get equal tokens");
  Add(app, "--schedule-conservativeness", config.schedule_conservativeness,
      "above 1: admit later, retract less")
      ->check(kFinite & CLI::Range(0.0, 100.0));
  app.add_flag("--disable-overlap-schedule", config.disable_overlap_schedule, "one plan in flight");
  app.add_flag("--enable-mixed-chunk,!--disable-mixed-chunk", config.enable_mixed_chunk,
               "prefill and decode in one step (on)");
}

void AddRunFlags(CLI::App& app, EngineConfig& config) {
  app.add_option_function<std::string>(
         "--random-seed",
         [&config](const std::string& text) {
           const char* last = text.data() + text.size();
           const auto [end, error] = std::from_chars(text.data(), last, config.random_seed);
           if (error != std::errc() || end != last)
             throw CLI::ValidationError("--random-seed", "'" + text + "' is no 64-bit number");
           config.random_seed_set = true;
         },
         "seed of requests that bring none (random)")
      ->take_last();
  Add(app, "--sampling-defaults", config.sampling_defaults,
      "where missing sampling parameters come from: generation_config.json, or constants")
      ->check(CLI::IsMember({"model", "openai"}));
  Add(app, "--stream-interval", config.stream_interval, "tokens between two stream updates")
      ->check(CLI::Range(1, 1 << 20));
  Add(app, "--decode-log-interval", config.decode_log_interval, "steps between two decode lines")
      ->check(CLI::Range(1, 1 << 30));
  Add(app, "--watchdog-timeout", config.watchdog_timeout,
      "seconds that one step may take; 0: no limit")
      ->check(kFinite & CLI::Range(0.0, 1e9));
}

void AddMetricsFlags(CLI::App& app, MetricsConfig& config) {
  app.add_flag("--collect-tokens-histogram", config.collect_tokens_histogram,
               "histograms of the lengths of prompts and outputs");
  app.add_option("--bucket-time-to-first-token", config.bucket_time_to_first_token,
                 "bounds of that histogram, seconds");
  app.add_option("--bucket-inter-token-latency", config.bucket_inter_token_latency,
                 "bounds of that histogram, seconds");
  app.add_option("--bucket-e2e-request-latency", config.bucket_e2e_request_latency,
                 "bounds of that histogram, seconds");
  app.add_option("--prompt-tokens-buckets", config.prompt_tokens_buckets,
                 "bounds of prompts' lengths: default, custom N..., tse MIDDLE BASE COUNT");
  app.add_option("--generation-tokens-buckets", config.generation_tokens_buckets,
                 "bounds of outputs' lengths: default, custom N..., tse MIDDLE BASE COUNT");
}

}  // namespace

void AddEngineFlags(CLI::App& app, EngineConfig& config) {
  config.make_request = DeploymentRequests();
  AddModelFlags(app, config);
  AddMemoryFlags(app, config);
  AddSchedulerFlags(app, config);
  AddMetricsFlags(app, config.metrics);
  AddRunFlags(app, config);
}

}  // namespace banyan
