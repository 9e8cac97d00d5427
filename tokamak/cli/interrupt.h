// SPDX-License-Identifier: Apache-2.0
// Ctrl-C as something that a command may ask for, rather than its end.
#pragma once

namespace tokamak::cli {

/// Exit status of a program that Ctrl-C ended, as shells have it.
inline constexpr int kInterruptedStatus = 130;

/// From now on SIGINT is noted and interrupts a read. One that comes while the last was not taken
/// ends the process: it does not listen.
void catch_interrupts();
/// Whether there was one since the last call.
bool take_interrupt();

}  // namespace tokamak::cli
