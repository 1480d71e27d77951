// SPDX-License-Identifier: Apache-2.0
#include "text/decode_stages.h"

#include <array>
#include <cstdint>
#include <utility>

#include "text/ffi.h"
#include "text/utf8.h"

namespace banyan::text {
namespace {

using Step = Decoder::Step;

// GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 and up.
struct ByteLevelTable {
  std::array<int16_t, 0x144> byte_of;  // by character; -1: not of the alphabet
  ByteLevelTable() {
    byte_of.fill(-1);
    int16_t next = 0x100;
    for (int16_t byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      byte_of[static_cast<std::size_t>(printable ? byte : next++)] = byte;
    }
  }
};

bool AppendByteLevel(std::string_view token, std::string& out) {
  static const ByteLevelTable table;
  const std::size_t before = out.size();
  for (std::size_t at = 0; at < token.size();) {
    const char32_t c = DecodeUtf8(token, at);
    const int16_t byte = c < table.byte_of.size() ? table.byte_of[c] : int16_t{-1};
    if (byte < 0) {
      out.resize(before);
      out += token;
      return false;
    }
    out += static_cast<char>(byte);
  }
  return true;
}

class OutStage : public DecodeStage {
 public:
  explicit OutStage(std::string* out) : out_(out) {}
  void Token(std::string_view token) override { *out_ += token; }
  void Text(std::string_view part) override { *out_ += part; }
  void Finish() override {}
  void Forget() override { out_->clear(); }
  std::unique_ptr<DecodeStage> Copy(DecodeStage* /*next*/, std::string* out) const override {
    return std::make_unique<OutStage>(out);
  }

 private:
  std::string* out_;
};

class Link : public DecodeStage {
 public:
  explicit Link(DecodeStage* next) : next_(next) {}
  // A stage that cannot work on parts of a token waits for the whole.
  void Text(std::string_view part) override { whole_ += part; }
  void Finish() final {
    if (!whole_.empty()) Token(std::exchange(whole_, {}));
    Drain();
    next_->Finish();
  }
  void Forget() final {
    whole_.clear();
    DropContext();
    next_->Forget();
  }

 protected:
  virtual void Drain() {}  // hands on what was held back
  // Hands on what is held of the context, so that the links behind know of it and drop it in turn;
  // keeps what later tokens still depend on.
  virtual void DropContext() {}
  DecodeStage* next_;

 private:
  std::string whole_;
};

template <class Stage>
class LinkOf : public Link {
 public:
  using Link::Link;
  std::unique_ptr<DecodeStage> Copy(DecodeStage* next, std::string* /*out*/) const override {
    auto copy = std::make_unique<Stage>(static_cast<const Stage&>(*this));
    copy->next_ = next;
    return copy;
  }
};

class ByteLevelStage : public LinkOf<ByteLevelStage> {
 public:
  using LinkOf::LinkOf;
  void Token(std::string_view token) override {
    AppendByteLevel(token, bytes_);
    std::string_view rest = bytes_;
    text_.clear();
    while (!rest.empty()) {
      std::size_t size = 0;
      const Utf8Part part = NextUtf8(rest, size);
      if (part == Utf8Part::kCut) break;
      if (part == Utf8Part::kWhole) {
        text_ += rest.substr(0, size);
      } else if (!of_context_) {
        text_ += kReplacementCharacter;
      }
      of_context_ = false;
      rest.remove_prefix(size);
    }
    bytes_.erase(0, bytes_.size() - rest.size());
    if (!text_.empty()) next_->Text(text_);
  }

 private:
  void Drain() override {
    if (!bytes_.empty() && !of_context_) next_->Text(kReplacementCharacter);
    bytes_.clear();
  }
  void DropContext() override { of_context_ = !bytes_.empty(); }
  std::string bytes_;        // the beginning of a character
  bool of_context_ = false;  // which began in the context: output if it is completed
  std::string text_;
};

// How many bytes at the end of `bytes` are the beginning of a character.
std::size_t CutSize(std::string_view bytes) {
  for (std::size_t size = 0; !bytes.empty(); bytes.remove_prefix(size)) {
    if (NextUtf8(bytes, size) == Utf8Part::kCut) break;
  }
  return bytes.size();
}

// A run of byte tokens is text only as a whole: one broken character in it makes all of its bytes
// U+FFFD. So it is held until it ends.
class ByteFallbackStage : public LinkOf<ByteFallbackStage> {
 public:
  using LinkOf::LinkOf;
  void Token(std::string_view token) override {
    if (auto byte = FallbackByte(token)) {
      run_ += static_cast<char>(*byte);
      return;
    }
    EndRun();
    next_->Token(token);
  }
  bool HoldsText() const override { return !run_.empty() && IsUtf8(run_); }

 private:
  void Drain() override { EndRun(); }
  void DropContext() override {
    const std::string cut(run_, run_.size() - CutSize(run_));
    run_.resize(run_.size() - cut.size());
    EndRun();
    run_ = cut;
    of_context_ = cut.size();
  }
  void EndRun() {
    // A character that the context began is output if it was completed.
    if (of_context_ > 0 && !IsUtf8(run_)) run_.erase(0, of_context_);
    of_context_ = 0;
    if (run_.empty()) return;
    if (IsUtf8(run_)) {
      next_->Token(run_);
    } else {
      for (std::size_t i = 0; i < run_.size(); ++i) next_->Token(kReplacementCharacter);
    }
    run_.clear();
  }
  std::string run_;
  std::size_t of_context_ = 0;  // of its bytes
};

class FuseStage : public LinkOf<FuseStage> {
 public:
  using LinkOf::LinkOf;
  void Token(std::string_view token) override { next_->Text(token); }
  void Text(std::string_view part) override { next_->Text(part); }
};

class JoinWithSpacesStage : public LinkOf<JoinWithSpacesStage> {
 public:
  using LinkOf::LinkOf;
  void Token(std::string_view token) override {
    if (!first_) next_->Text(" ");
    first_ = false;
    next_->Text(token);
  }

 private:
  bool first_ = true;
};

class MetaspaceStage : public LinkOf<MetaspaceStage> {
 public:
  MetaspaceStage(DecodeStage* next, const Step& step) : LinkOf(next), step_(step) {}
  void Token(std::string_view token) override {
    next_->Token(ReplaceAll(token, step_.a, Space()));
    first_ = false;
  }
  void Text(std::string_view part) override { next_->Text(ReplaceAll(part, step_.a, Space())); }

 private:
  std::string_view Space() const { return first_ && step_.flag ? "" : " "; }
  const Step& step_;
  bool first_ = true;
};

class ReplaceStage : public LinkOf<ReplaceStage> {
 public:
  ReplaceStage(DecodeStage* next, const Step& step) : LinkOf(next), step_(step) {}
  void Token(std::string_view token) override { next_->Token(ReplaceAll(token, step_.a, step_.b)); }
  void Text(std::string_view part) override {
    held_ += part;
    text_.clear();
    std::size_t at = 0;
    for (std::size_t found; (found = held_.find(step_.a, at)) != std::string::npos;) {
      text_.append(held_, at, found - at);
      text_ += step_.b;
      at = found + step_.a.size();
    }
    // What may be the beginning of a match stays.
    std::size_t keep = std::min(step_.a.size() - 1, held_.size() - at);
    while (keep > 0 && !step_.a.starts_with(std::string_view(held_).substr(held_.size() - keep)))
      --keep;
    text_.append(held_, at, held_.size() - keep - at);
    held_.erase(0, held_.size() - keep);
    if (!text_.empty()) next_->Text(text_);
  }

 private:
  void Drain() override {
    if (!held_.empty()) next_->Text(std::exchange(held_, {}));
  }
  void DropContext() override { Drain(); }
  const Step& step_;
  std::string held_, text_;
};

class StripStage : public LinkOf<StripStage> {
 public:
  StripStage(DecodeStage* next, const Step& step) : LinkOf(next), step_(step), left_(step.start) {}
  void Token(std::string_view token) override {
    int left = step_.start;
    token = StripStart(token, left);
    for (int i = 0; i < step_.stop && token.ends_with(step_.a); ++i)
      token.remove_suffix(step_.a.size());
    next_->Token(token);
  }
  void Text(std::string_view part) override {
    part = StripStart(part, left_);
    if (step_.stop == 0) {
      if (!part.empty()) next_->Text(part);
      return;
    }
    // Trailing `content`s wait for what follows them; of more than `stop`, the first are certain.
    held_ += part;
    std::size_t kept = 0;
    std::string_view text = held_;
    for (int i = 0; i < step_.stop && text.ends_with(step_.a); ++i, kept += step_.a.size())
      text.remove_suffix(step_.a.size());
    if (!text.empty()) next_->Text(std::string(text));
    held_.erase(0, held_.size() - kept);
  }

 private:
  // `left`: how many may still go; 0 once another character was seen.
  std::string_view StripStart(std::string_view text, int& left) const {
    while (left > 0 && text.starts_with(step_.a)) {
      text.remove_prefix(step_.a.size());
      --left;
    }
    if (!text.empty()) left = 0;
    return text;
  }
  const Step& step_;
  int left_;
  std::string held_;
};

class WordPieceStage : public LinkOf<WordPieceStage> {
 public:
  WordPieceStage(DecodeStage* next, const Step& step) : LinkOf(next), step_(step) {}
  void Token(std::string_view token) override {
    std::string text(token);
    if (!first_) {
      if (text.starts_with(step_.a)) {
        text.erase(0, step_.a.size());
      } else {
        text.insert(0, " ");
      }
    }
    first_ = false;
    if (step_.flag) {
      constexpr std::pair<const char*, const char*> kCleanUps[] = {
          {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
          {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
          {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
      for (auto [pattern, content] : kCleanUps) text = ReplaceAll(text, pattern, content);
    }
    next_->Token(text);
  }

 private:
  const Step& step_;
  bool first_ = true;
};

// The suffix is a space, but for the last token: a token waits for the next.
class BpeStage : public LinkOf<BpeStage> {
 public:
  BpeStage(DecodeStage* next, const Step& step) : LinkOf(next), step_(step) {}
  void Token(std::string_view token) override {
    if (held_) next_->Token(ReplaceAll(*held_, step_.a, " "));
    held_ = std::string(token);
  }
  bool HoldsText() const override { return held_.has_value(); }

 private:
  void Drain() override {
    if (held_) next_->Token(ReplaceAll(*std::exchange(held_, std::nullopt), step_.a, ""));
  }
  // Of the last word only its end matters: the space before the next.
  void DropContext() override {
    const bool ended = held_ && held_->ends_with(step_.a);
    Drain();
    if (ended) held_ = step_.a;
  }
  const Step& step_;
  std::optional<std::string> held_;
};

class LibraryStage : public LinkOf<LibraryStage> {
 public:
  LibraryStage(DecodeStage* next, const Step& step) : LinkOf(next), step_(step) {}
  void Token(std::string_view token) override { tokens_.emplace_back(token); }

 private:
  void Drain() override {
    HandOn();
    tokens_.clear();
  }
  void DropContext() override { of_context_ = HandOn(); }
  // Returns of how many parts the text is: the first are the context's, whatever follows them.
  std::size_t HandOn() {
    // The decoder was checked at load; should it fail on these tokens, they stay as they are.
    const auto decoded = RunLibraryDecoder(step_.json, tokens_);
    const std::vector<std::string>& parts = decoded.ok() ? *decoded : tokens_;
    for (std::size_t i = of_context_; i < parts.size(); ++i) next_->Token(parts[i]);
    return parts.size();
  }
  const Step& step_;
  std::vector<std::string> tokens_;
  std::size_t of_context_ = 0;  // parts of the text
};

}  // namespace

std::string ByteLevelBytes(std::string_view token) {
  std::string bytes;
  AppendByteLevel(token, bytes);
  return bytes;
}

std::optional<unsigned char> FallbackByte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  int value = 0;
  for (char c : token.substr(3, 2)) {
    int digit = -1;
    if (c >= '0' && c <= '9') digit = c - '0';
    if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
    if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
    if (digit < 0) return std::nullopt;
    value = value * 16 + digit;
  }
  return static_cast<unsigned char>(value);
}

std::string ReplaceAll(std::string_view text, std::string_view pattern, std::string_view content) {
  BANYAN_CHECK(!pattern.empty());
  std::string out;
  for (std::size_t found; (found = text.find(pattern)) != std::string_view::npos;) {
    out += text.substr(0, found);
    out += content;
    text.remove_prefix(found + pattern.size());
  }
  out += text;
  return out;
}

StatusOr<std::vector<std::string>> RunLibraryDecoder(const std::string& json,
                                                     const std::vector<std::string>& tokens) {
  std::string framed;
  for (const std::string& token : tokens) ffi::AppendFrame(framed, token);
  BtBuffer text{}, error{};
  if (bt_decoder_run(ffi::Data(json), json.size(), ffi::Data(framed), framed.size(), &text,
                     &error) != 0)
    return InvalidArgument("tokenizer.json: decoder: {}", ffi::Take(error));
  return ffi::Frames(ffi::Take(text));
}

std::vector<std::unique_ptr<DecodeStage>> MakeDecodeStages(const std::vector<Step>& steps,
                                                           std::string* out) {
  std::vector<std::unique_ptr<DecodeStage>> stages;
  stages.push_back(std::make_unique<OutStage>(out));
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    DecodeStage* next = stages.back().get();
    switch (step->kind) {
      case Step::Kind::kByteLevel:
        stages.push_back(std::make_unique<ByteLevelStage>(next));
        break;
      case Step::Kind::kByteFallback:
        stages.push_back(std::make_unique<ByteFallbackStage>(next));
        break;
      case Step::Kind::kFuse:
        stages.push_back(std::make_unique<FuseStage>(next));
        break;
      case Step::Kind::kJoinWithSpaces:
        stages.push_back(std::make_unique<JoinWithSpacesStage>(next));
        break;
      case Step::Kind::kMetaspace:
        stages.push_back(std::make_unique<MetaspaceStage>(next, *step));
        break;
      case Step::Kind::kReplace:
        stages.push_back(std::make_unique<ReplaceStage>(next, *step));
        break;
      case Step::Kind::kStrip:
        stages.push_back(std::make_unique<StripStage>(next, *step));
        break;
      case Step::Kind::kWordPiece:
        stages.push_back(std::make_unique<WordPieceStage>(next, *step));
        break;
      case Step::Kind::kBpe:
        stages.push_back(std::make_unique<BpeStage>(next, *step));
        break;
      case Step::Kind::kLibrary:
        stages.push_back(std::make_unique<LibraryStage>(next, *step));
        break;
    }
  }
  return stages;
}

}  // namespace banyan::text
