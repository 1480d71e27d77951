// SPDX-License-Identifier: Apache-2.0
#include "text/decoder.h"

#include <algorithm>
#include <utility>

#include "text/decode_stages.h"

namespace banyan::text {
namespace {

using Step = Decoder::Step;

std::string StringOr(const json::object& spec, std::string_view key, std::string_view fallback) {
  const json::value* value = spec.if_contains(key);
  if (!value || !value->is_string()) return std::string(fallback);
  return std::string(View(value->get_string()));
}

bool BoolOr(const json::object& spec, std::string_view key, bool fallback) {
  const json::value* value = spec.if_contains(key);
  return value && value->is_bool() ? value->get_bool() : fallback;
}

int CountOr(const json::object& spec, std::string_view key) {
  const json::value* value = spec.if_contains(key);
  if (!value || !value->is_int64()) return 0;
  return static_cast<int>(std::clamp<int64_t>(value->get_int64(), 0, 1 << 20));
}

}  // namespace

StatusOr<std::shared_ptr<const Decoder>> Decoder::FromJson(const json::value& spec,
                                                           bool clean_up_spaces) {
  auto decoder = std::make_shared<Decoder>();
  if (spec.is_object()) {
    BANYAN_RETURN_IF_ERROR(decoder->Add(spec.get_object()));
  } else if (spec.is_null()) {
    decoder->steps_.push_back({Step::Kind::kJoinWithSpaces});
  } else {
    return InvalidArgument("tokenizer.json: the decoder is not an object");
  }
  if (clean_up_spaces) {
    if (decoder->steps_.empty() || decoder->steps_.back().kind != Step::Kind::kFuse)
      decoder->steps_.push_back({Step::Kind::kFuse});
    constexpr std::pair<const char*, const char*> kCleanUps[] = {
        {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
        {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (auto [pattern, content] : kCleanUps)
      decoder->steps_.push_back({Step::Kind::kReplace, pattern, content});
  }
  return std::shared_ptr<const Decoder>(std::move(decoder));
}

Status Decoder::Add(const json::object& spec) {
  const std::string type = StringOr(spec, "type", "");
  Step step;
  bool between_characters = false;  // what an empty pattern matches: left to the library
  if (type == "Sequence") {
    const json::value* members = spec.if_contains("decoders");
    if (!members || !members->is_array())
      return InvalidArgument("tokenizer.json: a decoder Sequence without decoders");
    for (const json::value& member : members->get_array()) {
      if (!member.is_object())
        return InvalidArgument("tokenizer.json: a decoder that is not an object");
      BANYAN_RETURN_IF_ERROR(Add(member.get_object()));
    }
    return OkStatus();
  }
  if (type == "ByteLevel") {
    step.kind = Step::Kind::kByteLevel;
  } else if (type == "ByteFallback") {
    step.kind = Step::Kind::kByteFallback;
  } else if (type == "Fuse") {
    step.kind = Step::Kind::kFuse;
  } else if (type == "Metaspace") {
    step.kind = Step::Kind::kMetaspace;
    step.a = StringOr(spec, "replacement", "\xE2\x96\x81");
    step.flag = StringOr(spec, "prepend_scheme", "always") != "never" &&
                BoolOr(spec, "add_prefix_space", true);
    between_characters = step.a.empty();
  } else if (type == "WordPiece") {
    step.kind = Step::Kind::kWordPiece;
    step.a = StringOr(spec, "prefix", "##");
    step.flag = BoolOr(spec, "cleanup", true);
  } else if (type == "BPEDecoder") {
    step.kind = Step::Kind::kBpe;
    step.a = StringOr(spec, "suffix", "</w>");
    between_characters = step.a.empty();
  } else if (type == "Strip") {
    step.kind = Step::Kind::kStrip;
    step.a = StringOr(spec, "content", " ");
    step.start = CountOr(spec, "start");
    step.stop = CountOr(spec, "stop");
  } else {
    step.kind = Step::Kind::kLibrary;
    const json::value* pattern = spec.if_contains("pattern");
    const json::value* text =
        pattern && pattern->is_object() ? pattern->get_object().if_contains("String") : nullptr;
    if (type == "Replace" && text && text->is_string()) {
      step.kind = Step::Kind::kReplace;
      step.a = std::string(View(text->get_string()));
      step.b = StringOr(spec, "content", "");
      between_characters = step.a.empty();
    }
  }
  if (between_characters) step.kind = Step::Kind::kLibrary;
  if (step.kind == Step::Kind::kLibrary) {
    step.json = json::serialize(spec);
    BANYAN_RETURN_IF_ERROR(RunLibraryDecoder(step.json, {}).status());
  }
  steps_.push_back(std::move(step));
  return OkStatus();
}

std::unique_ptr<DecodeStream> Decoder::Start() const {
  return std::make_unique<DecodeStream>(steps_);
}

std::string Decoder::TokenBytes(std::string_view token) const {
  std::string bytes(token);
  for (const Step& step : steps_) {
    switch (step.kind) {
      case Step::Kind::kByteLevel:
        bytes = ByteLevelBytes(bytes);
        break;
      case Step::Kind::kByteFallback:
        if (auto byte = FallbackByte(bytes)) bytes.assign(1, static_cast<char>(*byte));
        break;
      case Step::Kind::kMetaspace:
        bytes = ReplaceAll(bytes, step.a, " ");
        break;
      case Step::Kind::kReplace:
        bytes = ReplaceAll(bytes, step.a, step.b);
        break;
      case Step::Kind::kWordPiece:
        if (bytes.starts_with(step.a)) {
          bytes.erase(0, step.a.size());
        } else {
          bytes.insert(0, " ");
        }
        break;
      case Step::Kind::kBpe:
        bytes = ReplaceAll(bytes, step.a, " ");
        break;
      case Step::Kind::kJoinWithSpaces:
        bytes.insert(0, " ");
        break;
      case Step::Kind::kFuse:
        return bytes;  // what follows depends on the whole text
      case Step::Kind::kStrip:
      case Step::Kind::kLibrary:
        break;
    }
  }
  return bytes;
}

DecodeStream::DecodeStream(const std::vector<Decoder::Step>& steps) {
  stages_ = MakeDecodeStages(steps, &text_);
}

DecodeStream::DecodeStream(const DecodeStream& other) : text_(other.text_) {
  for (const auto& stage : other.stages_)
    stages_.push_back(stage->Copy(stages_.empty() ? nullptr : stages_.back().get(), &text_));
}

DecodeStream::~DecodeStream() = default;

void DecodeStream::Push(std::string_view token, std::string& out) {
  stages_.back()->Token(token);
  out += text_;
  text_.clear();
}

void DecodeStream::Finish(std::string& out) {
  stages_.back()->Finish();
  out += text_;
  text_.clear();
}

void DecodeStream::Forget() { stages_.back()->Forget(); }

std::string DecodeStream::Held() const {
  std::string held;
  const bool any = std::any_of(stages_.begin(), stages_.end(),
                               [](const auto& stage) { return stage->HoldsText(); });
  if (any) DecodeStream(*this).Finish(held);
  return held;
}

}  // namespace banyan::text
