// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/layer_round.h"

namespace tokamak::compiler {
namespace {

/// The winner stays; `challenger` is its rival if it came closer than the one before. Whom the
/// winner took over from stays its rival.
void note_loser(Verdict& verdict, size_t challenger, const LayerTimes& times) {
  bool took_over = verdict.winner != 0;
  bool closer = verdict.layer_us == 0 || times.challenger_us * verdict.layer_us <
                                             verdict.rival_layer_us * times.incumbent_us;
  if (took_over || !closer) return;
  verdict.rival = challenger;
  verdict.layer_us = times.incumbent_us;
  verdict.rival_layer_us = times.challenger_us;
}

}  // namespace

Result<std::vector<Verdict>> decide(std::span<const size_t> num_finalists,
                                    const CompareLayers& compare) {
  std::vector<Verdict> verdicts(num_finalists.size());
  Assignment incumbent(num_finalists.size(), 0);
  for (size_t p = 0; p < num_finalists.size(); ++p) {
    for (size_t finalist = 1; finalist < num_finalists[p]; ++finalist) {
      Assignment challenger = incumbent;
      challenger[p] = finalist;
      TKM_ASSIGN(LayerTimes times, compare(incumbent, challenger));
      if (times.challenger_us >= times.incumbent_us * (1 - kLayerGain)) {
        note_loser(verdicts[p], finalist, times);
        continue;
      }
      verdicts[p] = {.winner = finalist,
                     .rival = incumbent[p],
                     .layer_us = times.challenger_us,
                     .rival_layer_us = times.incumbent_us};
      incumbent = std::move(challenger);
    }
  }
  return verdicts;
}

}  // namespace tokamak::compiler
