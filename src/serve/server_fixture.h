// SPDX-License-Identifier: Apache-2.0
// For tests: the whole server over loopback, with a scripted engine behind it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "serve/fake_engine.h"
#include "serve/http_client.h"
#include "serve/json_writer.h"
#include "serve/server.h"
#include "serve/test_client.h"

namespace banyan::serve {

class ServerTest : public testing::Test {
 protected:
  void Start(ServeConfig config = {}, bool with_template = true, std::string served_name = {}) {
    config.http.port = 0;
    config.log_access = false;
    engine_ = std::make_unique<FakeEngine>(with_template ? MakeFakeTemplate() : nullptr);
    if (!served_name.empty()) engine_->config_.served_model_name = std::move(served_name);
    auto server = Server::Start(std::move(config));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->Serve(*engine_);
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Shutdown(std::chrono::milliseconds(0));
    engine_.reset();
    server_.reset();
  }

  TestResponse Post(std::string_view path, std::string_view body, std::string_view headers = {}) {
    return TestClient(server_->port()).Post(path, body, headers);
  }
  TestResponse Get(std::string_view path) { return TestClient(server_->port()).Get(path); }

  // The reply as JSON, with what differs from run to run blanked.
  static std::string Stable(std::string_view body) {
    auto value = ParseJson(body);
    EXPECT_TRUE(value.ok()) << value.status() << body;
    if (!value.ok()) return {};
    if (value->is_object()) {
      json::object& object = value->get_object();
      if (object.contains("created")) object["created"] = 0;
      if (object.contains("id")) object["id"] = "ID";
    }
    std::string out;
    JsonWriter(out).Value(*value);
    return out;
  }

  // The data of each event.
  static std::vector<std::string> Events(std::string_view body) {
    std::vector<std::string> events;
    EventParser parser([&](std::string_view data) { events.emplace_back(data); });
    parser.Push(body);
    return events;
  }

  std::unique_ptr<FakeEngine> engine_;
  std::unique_ptr<Server> server_;
};

}  // namespace banyan::serve
