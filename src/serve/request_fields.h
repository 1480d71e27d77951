// SPDX-License-Identifier: Apache-2.0
// What request bodies have in common: fields that are known but refused, fields that nobody knows,
// and the sampling fields that all APIs share. Pure functions over base/fields.h; errors name the
// field.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fields.h"
#include "engine/sessions.h"
#include "sched/sampling_params.h"

namespace banyan::serve {

// A field that the API has and that is not done here.
struct RefusedField {
  std::string_view name;
  std::string_view reason;   // follows "'name' is not supported: "
  std::string_view neutral;  // JSON values, separated by '|', with which it would have no effect:
                             // accepted
};
void RefuseFields(Fields& fields, std::span<const RefusedField> refused);

// The status so far, else the first field that nobody asked for, with the nearest that exists.
Status FinishFields(Fields& fields);

// Of names and keys that the server keeps, or repeats in every event.
inline constexpr std::size_t kMaxKeyBytes = 512;
void CheckKey(Fields& fields, std::string_view field, std::string_view key);
// What keeps prefixes apart (extra_key, cache_salt) stays in the cache after its request.
inline constexpr std::size_t kMaxNamespaceBytes = 4096;
void CheckNamespace(Fields& fields, std::string_view field, std::string_view key);

// A string, or a list of them.
std::vector<std::string> ReadStrings(Fields& fields, std::string_view key);

// One name for a request or a list of them.
std::vector<std::string> ReadRids(Fields& fields);

// SGLang's session_params: {id, rid, offset, replace, drop_previous_output}; null is as absent.
std::optional<SessionParams> ReadSession(Fields& fields, const json::value* value);

// The data-parallel rank that is to run it: routed_dp_rank, or data_parallel_rank as it was called.
std::optional<int> ReadDpRank(Fields& fields);

// {"id": bias}; ids are decimal strings.
void ReadLogitBias(Fields& fields, SamplingParams& sampling);

// Fields that have one name in every API: temperature, top_p, top_k, min_p, the penalties, stop,
// stop_token_ids, ignore_eos, no_stop_trim, skip_special_tokens, logit_bias, n. What is absent
// leaves `sampling` as it is.
void ReadSampling(Fields& fields, SamplingParams& sampling);

}  // namespace banyan::serve
