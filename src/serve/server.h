// SPDX-License-Identifier: Apache-2.0
// Server: the HTTP interfaces of one engine. It listens before the model is loaded, so that probes
// see it starting; requests are taken once an engine is given.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/engine.h"
#include "serve/http.h"
#include "serve/request_log.h"

namespace banyan::serve {

struct ServeConfig {
  HttpConfig http;
  std::string api_key, admin_api_key;   // empty: none
  std::vector<std::string> open_paths;  // open to all in spite of the keys, besides /health
  std::string weight_version = "default";
  RequestLogConfig log_requests;
  bool log_access = true;
  std::vector<std::string> log_access_exclude;  // path prefixes
  bool stream_include_usage = false;            // for requests that do not say
  bool incremental_streaming = false;           // /generate streams carry what is new only
  json::object preferred_sampling_params;       // where /generate's parameters start from
  json::object server_args;                     // printed by /server_info
};

class Server {
 public:
  static StatusOr<std::unique_ptr<Server>> Start(ServeConfig config);
  virtual ~Server() = default;  // closes everything at once

  // From now on requests go to `engine`, which must outlive the last of them: until Shutdown has
  // returned. Called once.
  virtual void Serve(Engine& engine) = 0;
  virtual int port() const = 0;
  // /health and /ready say no from now on; requests are still taken until the engine refuses them.
  virtual void BeginDrain() = 0;
  // Stops listening and returns when the last replies are out or `grace` has passed; nothing calls
  // the engine afterwards, apart from sinks of requests that were cut off.
  virtual void Shutdown(std::chrono::milliseconds grace) = 0;
  virtual const Router& router() const = 0;
};

}  // namespace banyan::serve
