// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/interrupt.h"

#include <atomic>
#include <csignal>
#include <cstdlib>

namespace tokamak::cli {
namespace {

std::atomic<bool> interrupted{false};

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = [](int) {
    if (interrupted.exchange(true)) std::_Exit(kInterruptedStatus);
  };
  ::sigaction(SIGINT, &action, nullptr);  // Without SA_RESTART.
}

bool take_interrupt() {
  return interrupted.exchange(false);
}

}  // namespace tokamak::cli
