// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

namespace banyan {
namespace {

TEST(Metrics, PrintsEachKind) {
  Metrics metrics(Labels{{"model_name", "m"}});
  metrics.GetCounter("t:requests_total", "Requests.").Add(3);
  metrics.GetGauge("t:running", "Running.", {{"rank", "0"}}).Set(2.5);
  const double bounds[] = {0.1, 1};
  Histogram& latency = metrics.GetHistogram("t:latency_seconds", "Latency.", bounds);
  latency.Observe(0.1);  // a bound belongs to its own bucket
  latency.Observe(0.5, 2);
  latency.Observe(9);
  EXPECT_EQ(metrics.Print(),
            "# HELP t:latency_seconds Latency.\n"
            "# TYPE t:latency_seconds histogram\n"
            "t:latency_seconds_bucket{model_name=\"m\",le=\"0.1\"} 1\n"
            "t:latency_seconds_bucket{model_name=\"m\",le=\"1\"} 3\n"
            "t:latency_seconds_bucket{model_name=\"m\",le=\"+Inf\"} 4\n"
            "t:latency_seconds_sum{model_name=\"m\"} 10.1\n"
            "t:latency_seconds_count{model_name=\"m\"} 4\n"
            "# HELP t:requests_total Requests.\n"
            "# TYPE t:requests_total counter\n"
            "t:requests_total{model_name=\"m\"} 3\n"
            "# HELP t:running Running.\n"
            "# TYPE t:running gauge\n"
            "t:running{model_name=\"m\",rank=\"0\"} 2.5\n");
}

TEST(Metrics, OneSeriesPerLabelSet) {
  Metrics metrics;
  Counter& a = metrics.GetCounter("x_total", "X.", {{"a", "1"}, {"b", "2"}});
  EXPECT_EQ(&a, &metrics.GetCounter("x_total", "X.", {{"b", "2"}, {"a", "1"}}));
  EXPECT_NE(&a, &metrics.GetCounter("x_total", "X.", {{"a", "2"}, {"b", "2"}}));
}

TEST(Metrics, AFamilyKeepsItsKind) {
  Metrics metrics;
  metrics.GetCounter("x_total", "X.");
  EXPECT_DEATH(metrics.GetGauge("x_total", "X."), "declared differently");
  EXPECT_DEATH(metrics.GetCounter("x-total", "X."), "metric name");
}

TEST(Metrics, LabelValuesAreEscaped) {
  Metrics metrics(Labels{{"model_name", "a\"b\\c\nd"}});
  metrics.GetGauge("x", "two\nlines").Set(-1.5e300);
  EXPECT_EQ(metrics.Print(),
            "# HELP x two\\nlines\n# TYPE x gauge\nx{model_name=\"a\\\"b\\\\c\\nd\"} -1.5e+300\n");
}

TEST(Metrics, AddingIsSafeFromManyThreads) {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&metrics] {
      const double bounds[] = {1.0, 2.0};
      for (int i = 0; i < 2000; ++i) {
        metrics.GetCounter("n_total", "N.").Add();
        metrics.GetHistogram("h", "H.", bounds).Observe(i % 3);
        if (i % 500 == 0) metrics.Print();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(metrics.GetCounter("n_total", "N.").value(), 8000);
  EXPECT_NE(metrics.Print().find("h_count 8000"), std::string::npos);
}

// promtool's parser must accept the page, and its linter may find nothing but the colons, which
// are SGLang's.
TEST(Metrics, PromtoolAcceptsThePage) {
  if (std::system("promtool --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no promtool";
  Metrics metrics(Labels{{"model_name", "we\"ird\\ \n ü"}});
  metrics.GetCounter("sglang:prompt_tokens_total", "Prompt tokens.").Add(1e12);
  metrics.GetGauge("sglang:token_usage", "Usage.").Set(0.1);
  const double bounds[] = {0.002, 0.1, 400};
  metrics.GetHistogram("sglang:time_to_first_token_seconds", "TTFT.", bounds).Observe(3);
  const std::string path = testing::TempDir() + "metrics.prom";
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  const std::string page = metrics.Print();
  std::fwrite(page.data(), 1, page.size(), file);
  std::fclose(file);
  std::FILE* pipe = popen(("promtool check metrics < " + path + " 2>&1").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string findings;
  char line[4096];
  while (std::fgets(line, sizeof(line), pipe) != nullptr) {
    if (std::string_view(line).find("should not contain ':'") == std::string_view::npos)
      findings += line;
  }
  const int code = pclose(pipe);
  EXPECT_EQ(findings, "");
  EXPECT_TRUE(WIFEXITED(code) && (WEXITSTATUS(code) == 0 || WEXITSTATUS(code) == 3));
}

}  // namespace
}  // namespace banyan
