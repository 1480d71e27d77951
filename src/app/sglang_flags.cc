// SPDX-License-Identifier: Apache-2.0
#include "app/sglang_flags.h"

#include <algorithm>
#include <sstream>

#include "base/nearest.h"

namespace banyan {
namespace {

// One fate and reason, and the flags that share them, separated by spaces; NAME=VALUE gives the
// neutral value.
struct Group {
  FlagFate fate;
  const char* reason;
  const char* flags;
};

constexpr Group kGroups[] = {
    {FlagFate::kNoEffect, "no code of a checkpoint is ever run", "--trust-remote-code"},
    {FlagFate::kNoEffect, "there is no hidden warm-up", "--skip-server-warmup"},
    {FlagFate::kNoEffect, "metrics are always on", "--enable-metrics"},
    {FlagFate::kNoEffect, "the CPU backend has no graphs",
     "--disable-cuda-graph --disable-prefill-cuda-graph --disable-decode-cuda-graph "
     "--disable-cuda-graph-padding --disable-piecewise-cuda-graph"},
    {FlagFate::kNoEffect, "there is one process on one device",
     "--disable-custom-all-reduce --enable-p2p-check"},
    {FlagFate::kNoEffect, "idle threads sleep", "--sleep-on-idle"},

    {FlagFate::kRefused, "there is one tokenizer, native and thread-safe",
     "--tokenizer-mode=auto --tokenizer-backend=huggingface --tokenizer-worker-num=1 "
     "--detokenizer-worker-num=1 --enable-dynamic-batch-tokenizer "
     "--dynamic-batch-tokenizer-batch-size --dynamic-batch-tokenizer-batch-timeout "
     "--enable-tokenizer-batch-encode --disable-tokenizer-batch-decode"},
    {FlagFate::kRefused, "the file itself says how it is to be read",
     "--load-format=auto --model-loader-extra-config={} --model-impl=auto "
     "--model-config-parser=auto --custom-weight-loader --weight-loader-disable-mmap "
     "--weight-loader-prefetch-checkpoints --weight-loader-prefetch-num-threads "
     "--weight-loader-drop-cache-after-load"},
    {FlagFate::kRefused, "there is no Python, so nothing to collect",
     "--gc-threshold --gc-warning-threshold-secs --use-ray"},
    {FlagFate::kRefused, "it is for the web framework of SGLang",
     "--fastapi-root-path --enable-http2"},
    {FlagFate::kRefused,
     "prompts are never cut: one that does not fit is refused with both numbers",
     "--allow-auto-truncate=false"},
    {FlagFate::kRefused, "no code comes in from outside",
     "--enable-custom-logit-processor=false --forward-hooks --msprobe-dump-config"},
    {FlagFate::kRefused, "it tunes queues between SGLang's processes",
     "--batch-notify-size=16 --scheduler-recv-interval=1 --load-snapshot-publish-interval=15"},
    {FlagFate::kRefused, "it is for the outlines library", "--disable-outlines-disk-cache"},
    {FlagFate::kRefused, "it is for torch",
     "--enable-torch-compile=false --enable-torch-compile-debug-mode=false --torch-compile-max-bs "
     "--torchao-config --enable-layerwise-nvtx-marker --enable-cudagraph-gc "
     "--enable-profile-cuda-graph --debug-cuda-graph"},
    {FlagFate::kRefused, "it is for NVIDIA ModelOpt's Python tools",
     "--modelopt-quant --modelopt-checkpoint-restore-path --modelopt-checkpoint-save-path "
     "--modelopt-export-path --quantize-and-serve=false"},
    {FlagFate::kRefused, "files are read as they are, without keys",
     "--decrypted-config-file --decrypted-draft-config-file"},
    {FlagFate::kRefused, "a checkpoint is never deleted", "--delete-ckpt-after-loading=false"},
    {FlagFate::kRefused, "recurrent states are f32: a rounding error in one would live on",
     "--mamba-ssm-dtype=float32 --enable-int8-mamba-checkpoint=false --int8-mamba-ckpt-size"},
    {FlagFate::kRefused, "recurrent states are checkpointed in one way, overlap or not",
     "--mamba-radix-cache-strategy=auto --mamba-scheduler-strategy=auto"},
    {FlagFate::kRefused, "templates are Jinja files, given by --chat-template",
     "--completion-template"},

    {FlagFate::kNotYet, "TLS is not built; put a proxy in front",
     "--ssl-keyfile --ssl-certfile --ssl-ca-certs --ssl-keyfile-password "
     "--enable-ssl-refresh=false"},
    {FlagFate::kNotYet, "gRPC is not built", "--grpc-mode=false --grpc-http-sidecar-port"},
    {FlagFate::kNotYet, "there is nothing to warm up yet", "--warmups"},
    {FlagFate::kNotYet, "generation is what models are loaded for so far", "--is-embedding=false"},
    {FlagFate::kNotYet, "a download is checked against the hub's hashes, a folder against nothing",
     "--model-checksum"},
    {FlagFate::kNotYet, "weights are served in the format they are stored in",
     "--quantization --quantization-param-path --rl-quant-profile --enable-fp32-lm-head=false "
     "--fp8-gemm-backend=auto --fp4-gemm-backend=auto"},
    {FlagFate::kNotYet, "the cache has the type of --dtype", "--kv-cache-dtype=auto"},
    {FlagFate::kNotYet, "one step decodes one token a request", "--num-continuous-decode-steps=1"},
    {FlagFate::kNotYet, "data-parallel ranks run on their own: no prefill waits for another's",
     "--enable-prefill-delayer=false --prefill-delayer-max-delay-passes "
     "--prefill-delayer-token-usage-low-watermark --prefill-delayer-forward-passes-buckets "
     "--prefill-delayer-wait-seconds-buckets --prefill-delayer-queue-min-ratio "
     "--prefill-delayer-max-delay-ms"},
    {FlagFate::kNotYet, "sessions find their past through the prefix cache",
     "--enable-streaming-session=false"},
    {FlagFate::kNotYet, "several items in one prompt are not scored yet", "--enable-mis=false"},
    {FlagFate::kNotYet, "what it tunes is not built",
     "--disable-hybrid-swa-memory --prefill-only-disable-kv-cache=false "
     "--disable-chunked-prefix-cache --radix-cache-backend"},
    {FlagFate::kNotYet, "the cache has one tier so far",
     "--enable-hierarchical-cache=false --hicache-ratio --hicache-size --hicache-write-policy "
     "--hicache-io-backend --hicache-mem-layout --hicache-storage-backend "
     "--hicache-storage-prefetch-policy --hicache-storage-backend-extra-config "
     "--enable-hisparse=false --hisparse-config --hierarchical-sparse-attention-extra-config "
     "--enable-lmcache=false --lmcache-config-file"},
    {FlagFate::kNotYet, "one process on one device is what there is so far",
     "--base-gpu-id=0 --gpu-id-step=1 --numa-node --nccl-port --dist-timeout --dist-init-addr "
     "--nccl-init-addr --nnodes=1 --node-rank=0 --tp-size=1 --tensor-parallel-size=1 --pp-size=1 "
     "--pipeline-parallel-size=1 --pp-max-micro-batch-size --pp-async-batch-depth=0 "
     "--attn-cp-size=1 "
     "--attention-context-parallel-size=1 --moe-dp-size=1 --moe-data-parallel-size=1 "
     "--enable-prefill-cp=false --cp-strategy --enable-dp-attention=false "
     "--enable-dp-attention-local-control-broadcast=false --enable-dp-lm-head=false "
     "--enable-attn-tp-input-scattered=false --disable-attn-tp-gather=false --enable-nccl-nvls "
     "--enable-symm-mem --enable-mscclpp --enable-torch-symm-mem --pre-warm-nccl "
     "--enable-quant-communications --enforce-disable-flashinfer-allreduce-fusion "
     "--flashinfer-allreduce-fusion-backend --enable-aiter-allreduce-fusion "
     "--enable-flashinfer-allreduce-fusion --enable-two-batch-overlap=false "
     "--enable-single-batch-overlap=false --tbo-token-distribution-threshold "
     "--enable-dsa-prefill-context-parallel --enable-nsa-prefill-context-parallel "
     "--enable-prefill-context-parallel --dsa-prefill-cp-mode --nsa-prefill-cp-mode "
     "--prefill-cp-mode --prefill-round-robin-balance"},
    {FlagFate::kNotYet, "the CPU backend chooses its kernels itself (--cpu-isa forces a level)",
     "--attention-backend --decode-attention-backend --prefill-attention-backend "
     "--sampling-backend --dsa-prefill-backend --dsa-decode-backend --dsa-topk-backend "
     "--nsa-prefill-backend --nsa-decode-backend --disable-flashinfer-autotune "
     "--triton-attention-reduce-in-fp32 --triton-attention-num-kv-splits "
     "--triton-attention-split-tile-size --flashinfer-mla-disable-ragged "
     "--enable-fused-qk-norm-rope --enable-precise-embedding-interpolation "
     "--enable-fused-moe-sum-all-reduce --enable-deepseek-v4-fp4-indexer"},
    {FlagFate::kNotYet, "CUDA is not built",
     "--cuda-graph-config --cuda-graph-backend-decode --cuda-graph-backend-prefill "
     "--cuda-graph-max-bs-decode --cuda-graph-max-bs-prefill --cuda-graph-bs-decode "
     "--cuda-graph-bs-prefill --cuda-graph-tc-compiler --cuda-graph-max-bs --cuda-graph-bs "
     "--enable-breakable-cuda-graph --enforce-piecewise-cuda-graph --piecewise-cuda-graph-tokens "
     "--piecewise-cuda-graph-compiler --piecewise-cuda-graph-max-tokens"},
    {FlagFate::kNotYet, "mixtures of experts are not spread over devices yet",
     "--ep-size=1 --expert-parallel-size=1 --ep=1 --moe-a2a-backend=none "
     "--moe-runner-backend=auto --flashinfer-mxfp4-moe-precision --deepep-mode "
     "--deepep-dispatcher-output-dtype --ep-num-redundant-experts=0 --ep-dispatch-algorithm "
     "--init-expert-location=trivial --enable-eplb=false --eplb-algorithm "
     "--eplb-rebalance-num-iterations --eplb-rebalance-layers-per-chunk "
     "--eplb-min-rebalancing-utilization-threshold --expert-distribution-recorder-mode "
     "--expert-distribution-recorder-buffer-size --enable-expert-distribution-metrics=false "
     "--deepep-config --moe-dense-tp-size --elastic-ep-backend --enable-elastic-expert-backup "
     "--mooncake-ib-device --enable-deepep-waterfill --elastic-ep-rejoin "
     "--disable-flashinfer-cutlass-moe-fp4-allgather --disable-shared-experts-fusion "
     "--enforce-shared-experts-fusion"},
    {FlagFate::kNotYet, "adapters are not built",
     "--enable-lora=false --enable-lora-overlap-loading --max-lora-rank --lora-target-modules "
     "--lora-paths --max-loaded-loras --max-loras-per-batch --lora-eviction-policy --lora-backend "
     "--max-lora-chunk-size --experts-shared-outer-loras --no-experts-shared-outer-loras "
     "--lora-use-virtual-experts --lora-strict-loading --no-lora-strict-loading "
     "--lora-drain-wait-threshold"},
    {FlagFate::kNotYet, "constrained decoding is not built",
     "--grammar-backend=none --constrained-json-whitespace-pattern "
     "--constrained-json-disable-any-whitespace"},
    {FlagFate::kNotYet, "reasoning and tool-call formats are not built",
     "--reasoning-parser --tool-call-parser --tool-server --strip-thinking-cache=false "
     "--enable-strict-thinking=false"},
    {FlagFate::kNotYet, "speculation is not built",
     "--speculative-algorithm --speculative-draft-model-path --speculative-draft-model "
     "--speculative-draft-model-revision --speculative-draft-load-format --speculative-num-steps "
     "--speculative-eagle-topk --speculative-num-draft-tokens --speculative-dflash-block-size "
     "--speculative-dflash-draft-window-size --speculative-accept-threshold-single "
     "--speculative-accept-threshold-acc --speculative-use-rejection-sampling "
     "--speculative-token-map --speculative-attention-mode --speculative-draft-attention-backend "
     "--speculative-draft-window-size --speculative-moe-runner-backend "
     "--speculative-moe-a2a-backend --speculative-draft-model-quantization "
     "--speculative-skip-dp-mlp-sync --enable-multi-layer-eagle --speculative-adaptive "
     "--speculative-adaptive-config --speculative-ngram-min-bfs-breadth "
     "--speculative-ngram-max-bfs-breadth --speculative-ngram-match-type "
     "--speculative-ngram-max-trie-depth --speculative-ngram-capacity "
     "--speculative-ngram-external-corpus-path --speculative-ngram-external-sam-budget "
     "--speculative-ngram-external-corpus-max-tokens"},
    {FlagFate::kNotYet, "diffusion language models are not built",
     "--dllm-algorithm --dllm-algorithm-config"},
    {FlagFate::kNotYet, "all weights stay in memory",
     "--cpu-offload-gb=0 --offload-group-size=-1 --offload-num-in-group --offload-prefetch-step "
     "--offload-mode --kt-weight-path --kt-method --kt-cpuinfer --kt-threadpool-count "
     "--kt-num-gpu-experts --kt-max-deferred-experts-per-token"},
    {FlagFate::kNotYet, "images, video and audio are not built",
     "--enable-multimodal=false --mm-attention-backend --asr-max-buffer-seconds "
     "--asr-max-concurrent-sessions --encoder-only=false --language-only=false "
     "--encoder-transfer-backend --encoder-urls --encoder-bootstrap-port --encoder-register-urls "
     "--enable-adaptive-dispatch-to-encoder --enable-broadcast-mm-inputs-process "
     "--enable-prefix-mm-cache --mm-enable-dp-encoder --mm-process-config "
     "--limit-mm-data-per-request --enable-mm-global-cache --disable-fast-image-processor "
     "--keep-mm-feature-on-device"},
    {FlagFate::kNotYet, "prefill and decode run in one process",
     "--disaggregation-mode=null --disaggregation-transfer-backend "
     "--disaggregation-bootstrap-port --disaggregation-ib-device "
     "--disaggregation-decode-enable-radix-cache --disaggregation-decode-enable-offload-kvcache "
     "--num-reserved-decode-tokens --disaggregation-decode-extra-slots "
     "--disaggregation-decode-polling-interval --optimistic-prefill-retries --enable-pdmux=false "
     "--pdmux-config-path --sm-group-num"},
    {FlagFate::kNotYet, "weights are loaded once, from files",
     "--remote-instance-weight-loader-seed-instance-ip "
     "--remote-instance-weight-loader-seed-instance-service-port "
     "--remote-instance-weight-loader-send-weights-group-ports "
     "--remote-instance-weight-loader-backend "
     "--remote-instance-weight-loader-start-seed-via-transfer-engine --engine-info-bootstrap-port "
     "--modelexpress-config --checkpoint-engine-wait-weights-before-ready "
     "--enable-memory-saver=false --enable-weights-cpu-backup=false "
     "--enable-draft-weights-cpu-backup=false --rl-on-policy-target"},
    {FlagFate::kNotYet, "hidden states and choices of experts are not returned",
     "--enable-return-hidden-states=false --enable-return-routed-experts=false "
     "--enable-return-indexer-topk=false"},
    {FlagFate::kNotYet,
     "attention and dense layers are already the same bits in any batch; what "
     "the flag promises for every model is not proven yet",
     "--enable-deterministic-inference=false"},
    {FlagFate::kNotYet, "of requests there are metrics and the lines of --log-requests",
     "--crash-dump-folder "
     "--show-time-cost=false --soft-watchdog-timeout --enable-request-time-stats-logging=false "
     "--debug-tensor-dump-output-folder --debug-tensor-dump-layers --debug-tensor-dump-input-file "
     "--kv-canary=none --kv-canary-sweep-interval --kv-canary-real-data=none"},
    {FlagFate::kNotYet, "metrics have SGLang's names and labels, and no others",
     "--enable-mfu-metrics=false --enable-metrics-for-all-schedulers=false "
     "--tokenizer-metrics-custom-labels-header --tokenizer-metrics-allowed-custom-labels "
     "--extra-metric-labels --enable-forward-pass-metrics=false "
     "--forward-pass-metrics-worker-id --forward-pass-metrics-ipc-name "
     "--export-metrics-to-file=false --export-metrics-to-file-dir"},
    {FlagFate::kNotYet, "traces are not published",
     "--enable-trace=false --trace-modules --otlp-traces-endpoint"},
    {FlagFate::kNotYet, "nothing is stored by the API", "--file-storage-path"},
};

bool IsFlag(const std::string& text) {
  return text.size() > 1 && text[0] == '-' && !(text[1] >= '0' && text[1] <= '9');
}

// Long names as a user would type them.
std::vector<std::string> KnownNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  for (const SglangFlag& flag : SglangFlags()) names.push_back(flag.name);
  return names;
}

}  // namespace

const std::vector<SglangFlag>& SglangFlags() {
  static const std::vector<SglangFlag> flags = [] {
    std::vector<SglangFlag> out;
    for (const Group& group : kGroups) {
      std::istringstream words(group.flags);
      for (std::string word; words >> word;) {
        const std::size_t equals = word.find('=');
        out.push_back({word.substr(0, equals), group.fate, group.reason,
                       equals == std::string::npos ? "" : word.substr(equals + 1)});
      }
    }
    return out;
  }();
  return flags;
}

Status CheckLeftOver(const CLI::App& app, const std::vector<std::string>& left,
                     std::vector<std::string>& notes) {
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (!IsFlag(left[i])) return InvalidArgument("unexpected argument '{}'", left[i]);
    const std::size_t equals = left[i].find('=');
    const std::string name = left[i].substr(0, equals);
    std::string value = equals == std::string::npos ? "" : left[i].substr(equals + 1);
    while (i + 1 < left.size() && !IsFlag(left[i + 1]))
      value += (value.empty() ? "" : " ") + left[++i];

    const auto known = std::find_if(SglangFlags().begin(), SglangFlags().end(),
                                    [&](const SglangFlag& flag) { return flag.name == name; });
    if (known == SglangFlags().end()) {
      const std::string nearest = Nearest(name, KnownNames(app));
      return InvalidArgument("unknown flag {}{}", name,
                             nearest.empty() ? "" : "; did you mean " + nearest + "?");
    }
    if (known->fate == FlagFate::kNoEffect) {
      notes.push_back(fmt::format("{} has no effect: {}", name, known->reason));
    } else if (known->neutral.empty() || value != known->neutral) {
      return InvalidArgument(
          "{} is {}: {}", name,
          known->fate == FlagFate::kNotYet ? "not supported yet" : "not supported", known->reason);
    }
  }
  return OkStatus();
}

}  // namespace banyan
