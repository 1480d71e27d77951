// SPDX-License-Identifier: Apache-2.0
// banyan bench text: how fast a model's tokenizer encodes, decodes and streams, on one core: in
// time of this thread on a processor, so that what else the machine does hardly counts.
#include <time.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "app/commands/bench/options.h"
#include "app/commands/bench/report.h"
#include "base/log.h"
#include "engine/text_model.h"
#include "text/detokenizer.h"

namespace banyan::bench {
namespace {

struct TextOptions {
  std::string model, file, log_level = "warning";
  int megabytes = 8;
  bool json = false;
};

// Words and figures at random, of the lengths that English has.
std::string MadeText(std::size_t bytes) {
  constexpr std::string_view kWords[] = {"the",    "of",   "and",   "request",   "tree",   "branch",
                                         "memory", "page", "token", "scheduler", "answer", "model"};
  std::mt19937_64 random(3);
  std::string text;
  while (text.size() < bytes) {
    text += random() % 9 == 0 ? std::to_string(random() % 100000)
                              : std::string(kWords[random() % std::size(kWords)]);
    text += random() % 12 == 0 ? ".\n" : random() % 9 == 0 ? ", " : " ";
  }
  return text;
}

double ThreadSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Prompts come by themselves, not as one long text.
Status EncodeInParts(const text::Tokenizer& tokenizer, std::string_view text, std::size_t bytes) {
  while (!text.empty()) {
    std::size_t size = std::min(bytes, text.size());
    while (size < text.size() && (text[size] & 0xC0) == 0x80) ++size;
    BANYAN_RETURN_IF_ERROR(tokenizer.Encode(text.substr(0, size), false).status());
    text.remove_prefix(size);
  }
  return OkStatus();
}

Status RunText(const TextOptions& options) {
  BANYAN_RETURN_IF_ERROR(InitLog(options.log_level));
  double start = ThreadSeconds();
  BANYAN_ASSIGN_OR_RETURN(const auto tokenizer, LoadTokenizer(options.model));
  const double load = ThreadSeconds() - start;

  std::string text;
  if (options.file.empty()) {
    text = MadeText(static_cast<std::size_t>(options.megabytes) << 20);
  } else {
    std::ifstream file(options.file, std::ios::binary);
    if (!file) return NotFound("--file: {} cannot be read", options.file);
    text.assign(std::istreambuf_iterator<char>(file), {});
    if (text.empty()) return InvalidArgument("--file: {} is empty", options.file);
  }
  const double megabytes = static_cast<double>(text.size()) / (1 << 20);
  start = ThreadSeconds();
  BANYAN_ASSIGN_OR_RETURN(const std::vector<TokenId> ids, tokenizer->Encode(text, false));
  const double encode = ThreadSeconds() - start;

  start = ThreadSeconds();
  BANYAN_RETURN_IF_ERROR(EncodeInParts(*tokenizer, text, 2048));
  const double prompts = ThreadSeconds() - start;

  start = ThreadSeconds();
  BANYAN_ASSIGN_OR_RETURN(const std::string decoded, tokenizer->Decode(ids, false));
  const double decode = ThreadSeconds() - start;

  start = ThreadSeconds();
  text::Detokenizer stream(tokenizer, false);
  std::size_t streamed = 0;
  for (const TokenId id : ids) streamed += stream.Push(id).size();
  streamed += stream.Finish().size();
  const double push = ThreadSeconds() - start;
  if (streamed != decoded.size())
    return Internal("streaming gave {} bytes, decoding {}", streamed, decoded.size());

  Report report("text");
  report.Setting("model", options.model);
  report.Setting("text", fmt::format("{:.1f} MiB, {} tokens", megabytes, ids.size()));
  report.Figure("load", 1e3 * load, "ms");
  report.Figure("encode", megabytes / encode, "MiB/s");
  report.Figure("encode, 2 KiB each", megabytes / prompts, "MiB/s");
  report.Figure("decode", megabytes / decode, "MiB/s");
  report.Figure("stream, a token", 1e9 * push / static_cast<double>(ids.size()), "ns");
  report.Print(options.json);
  return OkStatus();
}

}  // namespace

std::function<Status()> DeclareText(CLI::App& app) {
  auto options = std::make_shared<TextOptions>();
  app.add_option("--model-path,--model", options->model, "folder or .gguf file")->required();
  app.add_option("--file", options->file, "a UTF-8 text (made-up text)");
  app.add_option("--size", options->megabytes, "MiB of made-up text (8)")
      ->check(CLI::Range(1, 1 << 10));
  app.add_option("--log-level", options->log_level, "debug, info, warning, error (warning)");
  AddJsonFlag(app, options->json);
  return [options] { return RunText(*options); };
}

}  // namespace banyan::bench
