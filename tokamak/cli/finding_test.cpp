// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/finding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tokamak::cli {
namespace {

using testing::HasSubstr;

TEST(Finding, a_machine_is_busy_by_its_load_against_its_processors) {
  EXPECT_EQ(processors_in_use(0.1, 2).level, Finding::kOk);
  EXPECT_EQ(processors_in_use(7.9, 64).level, Finding::kOk);
  EXPECT_EQ(processors_in_use(0.1, 2).advice, "");
  const Finding busy = processors_in_use(7.9, 2);
  EXPECT_EQ(busy.level, Finding::kNote) << "it runs, so it is no problem";
  EXPECT_EQ(busy.what, "machine: busy, 7.9 programs running on 2 processors in the last minute");
  EXPECT_THAT(busy.advice, HasSubstr("timed"));
}

TEST(Finding, a_gpu_is_busy_by_processes_time_or_memory) {
  EXPECT_EQ(gpu_in_use({.used_bytes = int64_t{600} << 20}).level, Finding::kOk);
  EXPECT_EQ(gpu_in_use({.num_processes = 1}).level, Finding::kNote);
  EXPECT_EQ(gpu_in_use({.busy_percent = 97}).level, Finding::kNote);
  // In a container, other processes are not visible, but their memory is.
  const Finding full = gpu_in_use({.used_bytes = int64_t{40} << 30});
  EXPECT_EQ(full.level, Finding::kNote);
  EXPECT_EQ(full.what, "GPU use: busy, 0 other processes, 0 % of the time, 40.00 GiB of memory");
}

}  // namespace
}  // namespace tokamak::cli
