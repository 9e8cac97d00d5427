// SPDX-License-Identifier: Apache-2.0
// What somebody may have meant who mistyped a word.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tokamak::cli {

/// Letters to insert, drop, change or swap with their neighbour; '_' is '-', case does not count.
size_t typing_distance(std::string_view a, std::string_view b);

/// The candidate that `word` is most likely meant to be: one that it begins, else one that about a
/// third of its letters makes. Empty if none is near.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace tokamak::cli
