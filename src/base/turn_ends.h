// SPDX-License-Identifier: Apache-2.0
// The texts that model makers give to special tokens that end a turn. Many GGUF files name only one
// of them as eos, and a chat would run on past the others; converters have typed some as ordinary
// tokens. So the reader of configs (weights/) and that of vocabularies (text/) go by the text.
#pragma once

#include <string_view>

namespace banyan {

inline constexpr std::string_view kTurnEnds[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<|eom_id|>",
    "<|return|>",
    "<|call|>",
    "<EOT>",
    "<｜end▁of▁sentence｜>",
    "<turn|>",
    "<|tool_response>",
    "_<EOT>",
    "[EOT]",
    "<|calls|>",
    "<|flush|>",
    "[e~[",
};

}  // namespace banyan
