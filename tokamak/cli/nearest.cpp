// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/nearest.h"

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

namespace tokamak::cli {
namespace {

constexpr size_t kShortestPrefix = 3;

std::string folded(std::string_view text) {
  std::string out;
  for (char c : text)
    out += c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

size_t typing_distance(std::string_view a, std::string_view b) {
  const std::string from = folded(a), to = folded(b);
  // Rows of the table of distances between prefixes: of i - 2, i - 1 and i letters of `from`.
  std::vector<size_t> older, old(to.size() + 1), row(to.size() + 1);
  for (size_t j = 0; j <= to.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= from.size(); ++i) {
    older = std::exchange(old, row);
    row[0] = i;
    for (size_t j = 1; j <= to.size(); ++j) {
      const bool same = from[i - 1] == to[j - 1];
      row[j] = std::min({old[j] + 1, row[j - 1] + 1, old[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1])
        row[j] = std::min(row[j], older[j - 2] + 1);
    }
  }
  return row[to.size()];
}

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
  const std::string begun = folded(word);
  for (const std::string& candidate : candidates) {
    if (begun.size() >= kShortestPrefix && folded(candidate).starts_with(begun)) return candidate;
  }
  std::string best;
  size_t least = std::max<size_t>(1, (word.size() + 1) / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = typing_distance(word, candidate);
    if (distance >= least) continue;
    least = distance;
    best = candidate;
  }
  return best;
}

}  // namespace tokamak::cli
