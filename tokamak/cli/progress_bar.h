// SPDX-License-Identifier: Apache-2.0
// How far long work is, on one line of the terminal that stderr is.
#pragma once

#include <string>

#include "tokamak/base/progress.h"

namespace tokamak::cli {

/// What is written for a step of the work: a line that takes the place of the one before it and
/// fits into `columns`, or, when the work is done, an empty one. Nothing if there is no total.
std::string progress_line(std::string_view stage, int64_t done, int64_t total, int columns);

/// Draws on stderr if that is a terminal that can clear a line; otherwise nothing.
base::Progress progress_bar(bool quiet);

/// Takes a bar that is still there away, before something else is written to stderr.
void clear_progress_bar();

}  // namespace tokamak::cli
