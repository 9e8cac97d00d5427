// SPDX-License-Identifier: Apache-2.0
// A step held against the limits of its session and against the steps under way.
#pragma once

#include "tokamak/runtime/session.h"

namespace tokamak::runtime {

/// `unknown_rows`, ascending: rows of the step under way whose tokens the step may name.
/// Errors: invalid, naming what is out of its limits.
Result<void> check_step(const Step& step,
                        const SessionInfo& info,
                        std::span<const int32_t> unknown_rows = {});

/// What a session knows of the steps that are launched and not finished.
class StepOrder {
 public:
  /// Errors: those of check_step(); invalid, if no step may be launched now.
  Result<void> check(const Step& step, const SessionInfo& info) const;
  /// `step`, which was checked, is under way.
  void launched(const Step& step);
  /// The oldest step is under way no more. A programming error if there is none.
  void finish();
  int64_t under_way() const { return under_way_; }

 private:
  int64_t under_way_ = 0;
  bool may_be_followed_ = true;        ///< The step launched last: its logits stay here.
  std::vector<int32_t> unknown_rows_;  ///< Of that step, if it is under way.
};

}  // namespace tokamak::runtime
