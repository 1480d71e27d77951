// SPDX-License-Identifier: Apache-2.0
#include "engine/engine_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>

#include "engine/engine.h"

namespace banyan {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(EngineMetricsTest, RoutingKeysAreSpreadByTheirRequests) {
  EngineMetrics metrics(std::make_shared<Metrics>(), {{"dp_rank", "0"}}, {});
  SchedulerStats stats;
  metrics.Update(stats, 0, 0);
  std::string page = metrics.registry().Print();
  EXPECT_THAT(page, HasSubstr("sglang:num_unique_running_routing_keys{dp_rank=\"0\"} 0"));
  EXPECT_THAT(page, Not(HasSubstr("req_count"))) << "nobody has brought a key";

  RoutingKeyCounts counts;
  counts.Add("a", 4, 2);
  counts.Add("b", 1, 1);
  stats.routing_keys = counts.load();
  metrics.Update(stats, 0, 0);
  page = metrics.registry().Print();
  EXPECT_THAT(page, HasSubstr("sglang:num_unique_running_routing_keys{dp_rank=\"0\"} 2"));
  for (const char* series : {R"(running_req_count{dp_rank="0",gt="0",le="1"} 1)",
                             R"(running_req_count{dp_rank="0",gt="1",le="2"} 1)",
                             R"(running_req_count{dp_rank="0",gt="3",le="5"} 0)",
                             R"(all_req_count{dp_rank="0",gt="3",le="5"} 1)",
                             R"(all_req_count{dp_rank="0",gt="200",le="+Inf"} 0)"}) {
    EXPECT_THAT(page, HasSubstr(series));
  }
  stats.routing_keys = {};
  metrics.Update(stats, 0, 0);
  EXPECT_THAT(metrics.registry().Print(),
              HasSubstr(R"(all_req_count{dp_rank="0",gt="3",le="5"} 0)"));
}

// A small window that is full counts, whatever there is of the other kinds.
TEST(EngineMetricsTest, TheFullestKindOfCacheIsTheUsage) {
  const std::vector<CacheGroupSpec> groups = {{.type = CacheKindType::kState, .name = "state"},
                                              {.type = CacheKindType::kFull, .name = "full"},
                                              {.type = CacheKindType::kWindow, .name = "window"}};
  EngineMetrics metrics(std::make_shared<Metrics>(), {}, groups);
  metrics.SetLimits(1600, 16, 1600, 8);
  SchedulerStats stats;
  stats.running = 2;
  stats.used_tokens = 160;
  stats.pools = {{.name = "state", .total = 4, .free = 2, .leased = 2},
                 {.name = "full", .total = 100, .free = 90, .leased = 10},
                 {.name = "window", .total = 10, .free = 1, .leased = 9}};
  metrics.Update(stats, 0, 0);
  const std::string page = metrics.registry().Print();
  for (const char* series :
       {"sglang:token_usage 0.9\n", "sglang:full_token_usage 0.1\n", "sglang:swa_token_usage 0.9\n",
        "sglang:mamba_usage 0.5\n", "sglang:utilization 1\n", "sglang:num_pages 100\n",
        "sglang:num_used_tokens 160\n", "sglang:swa_used_tokens 144\n"}) {
    EXPECT_THAT(page, HasSubstr(series));
  }
}

TEST(EngineMetricsTest, StartsAndEvictionsAreTimed) {
  EngineConfig config;
  config.model_path = kEchoModel;
  config.max_total_tokens = 256;
  const auto engine = Engine::Start(config).value();
  EXPECT_THAT(engine->metrics().Print(),
              HasSubstr("sglang:startup_latency_breakdown_seconds_max{context=\""));
  EXPECT_THAT(engine->metrics().Print(), HasSubstr("sglang:eviction_duration_seconds_count"));
  const auto evictions = [&] {
    const std::string page = engine->metrics().Print();
    const size_t at = page.find("sglang:eviction_duration_seconds_count");
    return std::stoi(page.substr(page.find("} ", at) + 2));
  };
  EXPECT_EQ(evictions(), 0);
  for (int i = 0; i < 3; ++i) {
    GenerateRequest request;
    request.input_ids = std::vector<TokenId>(128, i);
    request.sampling.max_new_tokens = 2;
    std::latch ended(1);
    ASSERT_TRUE(engine
                    ->Submit(std::move(request),
                             [&](const GenerateUpdate& update) {
                               if (update.finish) ended.count_down();
                             })
                    .ok());
    ended.wait();
  }
  EXPECT_GT(evictions(), 0);
}

}  // namespace
}  // namespace banyan
