// SPDX-License-Identifier: Apache-2.0
// What `--model-path` names: a path as it is, or ORG/NAME of a model hub with Hugging Face's
// interface, found in the local cache or downloaded into it.
//
// The cache is huggingface_hub's, file for file (models--ORG--NAME/{blobs,refs,snapshots}), so that
// what either program downloads the other one finds. A download takes only the files that serving
// needs, resumes what was cut, and checks every file against its hash before it gets its name; a
// process that dies in between leaves nothing that looks whole. Several processes may do this at
// once. Blocking; not for the engine's threads.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace banyan::weights {

struct HubOptions {
  std::string cache_dir;  // the folder of models--*; empty: no cache, and so no downloads
  std::string endpoint = "https://huggingface.co";
  std::string token;  // empty: anonymous
  bool offline = false;
  std::string why_offline = "HF_HUB_OFFLINE forbids to download it";  // the end of a sentence
  std::string revision = "main";                                      // a branch, tag or commit
  std::string ca_file;                                                // PEM; empty: the system's
  int timeout_seconds = 10;  // to connect, for a header, and without a byte of a body
  int attempts = 5;          // a connection that breaks is tried again, from where it broke
  // Bytes of the file that is being downloaded. From the calling thread.
  std::function<void(std::string_view file, int64_t done, int64_t total)> progress;
};

// Options as huggingface_hub reads them from the environment: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE,
// HF_HOME, XDG_CACHE_HOME, HOME; HF_ENDPOINT; HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH,
// HF_HUB_DISABLE_IMPLICIT_TOKEN; HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE; HF_HUB_DOWNLOAD_TIMEOUT;
// SSL_CERT_FILE. `lookup` gives a variable's value (engine/config owns getenv).
HubOptions ReadHubOptions(
    const std::function<std::optional<std::string>(const std::string& name)>& lookup);

// A path that Checkpoint::Open takes. `model` is a path that exists (a folder that holds nothing
// but one GGUF file or set gives that file), or ORG/NAME, or ORG/NAME:QUANT for one of several GGUF
// files ("Q4_K_M"). Errors are one sentence each: offline, not found (404), gated or no access
// (401, 403), a hash that does not match, a full disk, several GGUF files to choose from.
StatusOr<std::string> ResolveModel(const std::string& model, const HubOptions& options);

}  // namespace banyan::weights
