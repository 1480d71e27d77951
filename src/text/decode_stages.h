// SPDX-License-Identifier: Apache-2.0
// The links of a decoder chain (text/decoder.h), each a small transducer with its state for one
// sequence. What each does to a token list is defined by the step of the same name in Hugging
// Face's tokenizers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/decoder.h"

namespace banyan::text {

// The chain for `steps`, the last stage first; what comes out is appended to `out`.
std::vector<std::unique_ptr<DecodeStage>> MakeDecodeStages(const std::vector<Decoder::Step>& steps,
                                                           std::string* out);

// The bytes of a byte-level token; of a token with a character outside that alphabet, its own.
std::string ByteLevelBytes(std::string_view token);
// The byte of a token such as <0x0A>.
std::optional<unsigned char> FallbackByte(std::string_view token);
std::string ReplaceAll(std::string_view text, std::string_view pattern, std::string_view content);

// What the library's decoder of this JSON makes of `tokens`.
StatusOr<std::vector<std::string>> RunLibraryDecoder(const std::string& json,
                                                     const std::vector<std::string>& tokens);

}  // namespace banyan::text
