// SPDX-License-Identifier: Apache-2.0
// Nearest: the word of a list that a misspelt one was probably meant to be, for error messages.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace banyan {

// Least edit distance (insert, delete, replace, swap of neighbours); empty when nothing is near
// enough to be worth a hint. A word that one of the list begins with counts as near.
std::string Nearest(std::string_view word, std::span<const std::string> known);

}  // namespace banyan
