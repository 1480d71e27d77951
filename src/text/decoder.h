// SPDX-License-Identifier: Apache-2.0
// Decoder: the "decoder" of a tokenizer.json, from tokens to text, one token at a time. Whole and
// streamed decoding are the same code, so they cannot differ. What the pieces promise: joined they
// are what the library's decode makes of the whole list; none ends within a character or holds text
// that a later token could still change.
//
// A step works on tokens until one fuses them (ByteLevel, Fuse, the lack of any decoder); after
// that the rest work on one running text. A step that this file does not know, or that cannot work
// on a running text, holds everything back until the end and then asks the library.
//
// Decoder is immutable and thread-safe; DecodeStream belongs to one sequence and borrows it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace banyan::text {

class DecodeStream;

class Decoder {
 public:
  // `spec`: the object, or null. `clean_up_spaces`: transformers' clean_up_tokenization_spaces.
  static StatusOr<std::shared_ptr<const Decoder>> FromJson(const json::value& spec,
                                                           bool clean_up_spaces);
  std::unique_ptr<DecodeStream> Start() const;

  // The bytes that a token stands for within a text; may be part of a character.
  std::string TokenBytes(std::string_view token) const;

  struct Step {
    enum class Kind {
      kByteLevel,
      kByteFallback,
      kFuse,
      kJoinWithSpaces,  // no decoder at all
      kMetaspace,
      kReplace,
      kStrip,
      kWordPiece,
      kBpe,      // a suffix marks the end of a word
      kLibrary,  // anything else: asked of the library, on the whole list
    };
    Kind kind;
    std::string a, b;         // pattern and content, or prefix, or suffix
    int start = 0, stop = 0;  // kStrip
    bool flag = false;        // kMetaspace: drop at the first token; kWordPiece: clean up
    std::string json;         // kLibrary
  };

 private:
  Status Add(const json::object& spec);

  std::vector<Step> steps_;
};

// One link of the chain; see decoder.cc.
class DecodeStage {
 public:
  virtual ~DecodeStage() = default;
  virtual void Token(std::string_view token) = 0;  // a whole token
  virtual void Text(std::string_view part) = 0;    // more of the one fused token
  virtual void Finish() = 0;
  virtual void Forget() = 0;  // what came so far is context
  // Whether it holds whole characters that are text if nothing follows.
  virtual bool HoldsText() const { return false; }
  // Of one place in a chain: the link before `next`, or the end, which appends to `out`.
  virtual std::unique_ptr<DecodeStage> Copy(DecodeStage* next, std::string* out) const = 0;
};

class DecodeStream {
 public:
  explicit DecodeStream(const std::vector<Decoder::Step>& steps);
  DecodeStream(const DecodeStream& other);  // goes on from where that one is
  ~DecodeStream();

  // Appends to `out` what is now certain.
  void Push(std::string_view token, std::string& out);
  void Finish(std::string& out);
  // What came so far is context, not output: nothing of it will come out, but for the first bytes
  // of a character that the output completes.
  void Forget();
  // What Finish would append, where that is whole characters.
  std::string Held() const;

 private:
  std::string text_;
  std::vector<std::unique_ptr<DecodeStage>> stages_;  // the last one first
};

}  // namespace banyan::text
