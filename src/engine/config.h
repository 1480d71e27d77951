// SPDX-License-Identifier: Apache-2.0
// EngineConfig: every setting of one engine. Names and defaults are SGLang's where it has them;
// app/ fills it from the command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "sched/scheduler.h"
#include "weights/hub.h"

namespace banyan {

// The model path that stands for no model at all: every request is answered with a fixed rule from
// its last token (run/echo_runner.h), which leaves the cost of everything around a model.
inline constexpr char kEchoModel[] = "echo";

// What of the metrics flags change, under SGLang's names. Bounds: engine/histogram_bounds.h; empty
// ones are SGLang's.
struct MetricsConfig {
  bool collect_tokens_histogram = false;
  std::vector<double> bucket_time_to_first_token, bucket_inter_token_latency;
  std::vector<double> bucket_e2e_request_latency;
  std::vector<std::string> prompt_tokens_buckets, generation_tokens_buckets;
};

struct EngineConfig {
  std::string model_path;                       // a folder, a .gguf file, ORG/NAME, or kEchoModel
  std::string tokenizer_path;                   // empty: model_path
  std::string revision;                         // of an ORG/NAME; empty: main
  std::string download_dir;                     // instead of the hub's cache
  std::string json_model_override_args = "{}";  // keys that replace those of the model's config
  bool skip_tokenizer_init = false;
  std::string served_model_name;      // empty: model_path
  std::string chat_template;          // a file; empty: the model's own
  std::string hf_chat_template_name;  // which of the model's own, where it has several
  std::string dtype = "auto";
  int64_t context_length = 0;  // 0: from the model, as far as memory allows
  int mla_expand_rows = 0;     // models::LoadOptions::expand_latents
  std::string device = "cpu";
  std::string cpu_isa = "auto";  // auto | reference | avx2 | avx512 | avx512_vnni_bf16 | amx
  int threads = 0;               // 0: the cores that affinity and cgroup allow

  int page_size = 16;
  int64_t max_total_tokens = 0;          // 0: from memory
  double mem_fraction_static = 0.0;      // 0: computed
  double swa_full_tokens_ratio = 0.8;    // tokens that windows hold for each of full attention
  int64_t max_mamba_cache_size = 0;      // slots of states; 0: from memory
  double mamba_full_memory_ratio = 0.9;  // memory of states for each byte of pages
  int max_running_requests = 0;          // 0: computed
  int max_queued_requests = 0;           // 0: computed
  int chunked_prefill_size = 0;          // 0: computed; -1: off
  int max_prefill_tokens = 16384;
  bool enable_dynamic_chunking = false;
  int prefill_max_requests = 0;  // 0: no limit
  std::string schedule_policy = "fcfs";
  double schedule_conservativeness = 1.0;
  bool enable_priority_scheduling = false;
  bool disable_priority_preemption = false;
  bool abort_on_priority_when_disabled = false;
  bool schedule_low_priority_values_first = false;
  int priority_scheduling_preemption_threshold = 10;
  std::optional<int> default_priority_value;  // none: the worst there is
  bool enable_fair_share = false;             // among the users that requests name
  int64_t max_queued_tokens = 0;              // 0: computed
  int mamba_track_interval = 64;              // outputs between two checkpoints of a state
  RequestFactory make_request;                // see app/deployment.h
  int dp_size = 1;                            // engines in this process, each with its own cache
  std::string load_balance_method = "auto";   // which of them a request goes to
  std::string kv_events_config;               // JSON, see engine/kv_events.h; empty: none
  bool enable_cache_report = false;           // replies say why a prefix was not found
  std::string radix_eviction_policy = "lru";
  bool disable_radix_cache = false;
  bool disable_overlap_schedule = false;
  bool enable_mixed_chunk = true;

  uint64_t random_seed = 0;
  bool random_seed_set = false;
  std::string sampling_defaults = "model";  // model | openai
  int stream_interval = 1;
  int decode_log_interval = 40;
  double watchdog_timeout = 300;  // seconds that one step may take; 0: no watchdog

  // From the environment (ReadEnvironment), under the names that SGLang gives them there.
  double request_waiting_timeout = 0;      // seconds in the queue; 0: none
  double request_running_timeout = 0;      // seconds from its first step to its end; 0: none
  bool return_original_logprob = false;    // output logprobs before the temperature
  bool health_endpoint_generation = true;  // /health runs a token through the engine
  int test_retract_interval = 0;  // retracts a request every so many steps; 0: only when it must
  weights::HubOptions hub;        // where ORG/NAME comes from
  MetricsConfig metrics;

  // Settings that contradict each other or are out of range, by name.
  Status Validate() const;
};

// Reads the SGLANG_ variables that mean something here, and those of Hugging Face's hub, into
// `config`; a malformed value is kInvalidArgument. Returns the warnings to log: SGLANG_ variables
// that are set and have no effect. The one place that looks at the environment.
StatusOr<std::vector<std::string>> ReadEnvironment(EngineConfig& config);

}  // namespace banyan
