// SPDX-License-Identifier: Apache-2.0
// banyan doctor: what this machine has, what would be used, what is missing.
#include <gnu/libc-version.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "app/command.h"
#include "base/json.h"
#include "base/thread_pool.h"
#include "base/version.h"
#include "device/cpu/cpu_backend.h"
#include "device/cuda/cuda_backend.h"
#include "engine/config.h"
#include "engine/text_model.h"
#include "kernels/cpu/isa.h"
#include "models/load.h"
#include "weights/checkpoint.h"
#include "weights/hub.h"

namespace banyan {
namespace {

struct Finding {
  std::string topic;
  std::string text;
  bool problem = false;
};

std::string Gigabytes(double bytes) { return fmt::format("{:.1f} GB", bytes / 1e9); }

void InspectMachine(std::vector<Finding>& findings) {
  const kernels::IsaLevel level = kernels::DetectIsa();
  findings.push_back({"banyan", fmt::format("{} ({})", kVersion, kCommit)});
  findings.push_back({"libc", fmt::format("glibc {}", gnu_get_libc_version())});
  findings.push_back({"cpu", kernels::DescribeCpu(level)});
  const bool slow = level == kernels::IsaLevel::kReference;
  if (slow)
    findings.push_back({"cpu", "no AVX2: portable code would be used, which is very slow", true});
  std::string cores;
  for (int core : UsableCores()) cores += fmt::format("{}{}", cores.empty() ? "" : ",", core);
  findings.push_back({"cores", fmt::format("{} would be used (affinity and cgroup)", cores)});
  const double memory = static_cast<double>(MakeCpuBackend()->AvailableMemory());
  findings.push_back({"memory", fmt::format("{} available", Gigabytes(memory))});
  const auto gpus = FindCudaGpus();
  if (gpus.ok()) {
    for (const CudaGpu& gpu : *gpus) findings.push_back({"gpu", Describe(gpu)});
  }
  findings.push_back(
      {"gpu", fmt::format("{}: the CPU would be used",
                          gpus.ok() ? "there are no CUDA kernels yet" : Message(gpus.status()))});
}

// Where a model is on this machine. What is not here is not downloaded.
StatusOr<std::string> FindModel(const std::string& model) {
  EngineConfig config;
  BANYAN_RETURN_IF_ERROR(ReadEnvironment(config).status());
  if (!std::exchange(config.hub.offline, true))
    config.hub.why_offline = "banyan serve would download it";
  return weights::ResolveModel(model, config.hub);
}

// What a model would need. Opens headers only; no weight is read.
void InspectModel(const std::string& model, std::vector<Finding>& findings) {
  const auto found = FindModel(model);
  if (!found.ok()) {
    findings.push_back({"model", Message(found.status()), true});
    return;
  }
  const std::string& path = *found;
  auto checkpoint = weights::Checkpoint::Open(path);
  if (!checkpoint.ok()) {
    findings.push_back({"model", Message(checkpoint.status()), true});
    return;
  }
  const json::object& config = (*checkpoint)->config();
  const json::value* architectures = config.if_contains("architectures");
  const double bytes = static_cast<double>((*checkpoint)->file_bytes());
  findings.push_back({"model", fmt::format("{}: {} tensors, {}, architectures {}", path,
                                           (*checkpoint)->tensors().size(), Gigabytes(bytes),
                                           architectures ? json::serialize(*architectures) : "?")});
  const auto family = models::CheckModel(**checkpoint);
  findings.push_back(family.ok() ? Finding{"family", *family}
                                 : Finding{"family", Message(family.status()), true});
  const double memory = static_cast<double>(MakeCpuBackend()->AvailableMemory());
  if (bytes * 1.1 > memory) {
    findings.push_back({"memory",
                        fmt::format("the weights alone need {}, {} are available",
                                    Gigabytes(bytes * 1.1), Gigabytes(memory)),
                        true});
  }
  auto text = LoadTextModel(path);
  if (!text.ok()) {
    findings.push_back({"tokenizer", Message(text.status()), true});
    return;
  }
  findings.push_back({"tokenizer", fmt::format("{} tokens", text->tokenizer->vocab_size())});
  findings.push_back({"chat template", text->chat_template ? "the model's own"
                                                           : "none: /v1/chat/completions needs "
                                                             "--chat-template FILE"});
}

Status Report(const std::vector<Finding>& findings, bool as_json) {
  int problems = 0;
  json::array rows;
  for (const Finding& finding : findings) {
    problems += finding.problem;
    if (as_json) {
      rows.push_back({{"topic", finding.topic}, {"text", finding.text}, {"ok", !finding.problem}});
    } else {
      std::fputs(fmt::format("{} {:<14} {}\n", finding.problem ? "[missing]" : "[ok]     ",
                             finding.topic, finding.text)
                     .c_str(),
                 stdout);
    }
  }
  if (as_json) std::fputs((json::serialize(rows) + "\n").c_str(), stdout);
  if (problems > 0) return FailedPrecondition("doctor found {} problem(s)", problems);
  return OkStatus();
}

}  // namespace

void RegisterDoctor(Commands& commands) {
  commands.push_back({"doctor", "tell what this machine has, what would be used, what is missing",
                      [](CLI::App& app) -> std::function<Status()> {
                        struct Options {
                          std::string model;
                          bool json = false;
                        };
                        auto options = std::make_shared<Options>();
                        app.add_option(
                            "--model-path,--model", options->model,
                            "also look at this model: a folder, a .gguf file, or ORG/NAME");
                        app.add_flag("--json", options->json, "print JSON");
                        return [options] {
                          std::vector<Finding> findings;
                          InspectMachine(findings);
                          if (!options->model.empty()) InspectModel(options->model, findings);
                          return Report(findings, options->json);
                        };
                      }});
}

}  // namespace banyan
