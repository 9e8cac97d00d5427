// SPDX-License-Identifier: Apache-2.0
// Kernels whose warps wait for each other keep their promises in any order of the warps: the
// conformance suite with a warp of each block held up at every barrier (plant_delay of
// tile/async.cuh). What hangs ends the suite's program, which says what it was.
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "tokamak/device/gpu_test.h"

namespace tokamak::kernels::cuda {
namespace {

class PlantedDelays : public device::GpuTest, public testing::WithParamInterface<const char*> {};

TEST_P(PlantedDelays, ChangeNoResultAndEnd) {
  auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (int delay_ns : {200, 3000}) {
    std::string command = fmt::format(
        "TOKAMAK_CONFORMANCE_TARGETS=cuda TOKAMAK_CONFORMANCE_DELAYS={} '{}' --gtest_brief=1 "
        "--gtest_filter='{}'",
        delay_ns,
        (folder / "kernels_test").string(),
        GetParam());
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Suites,
    PlantedDelays,
    testing::Values("AttentionConformance.FewRows*:AttentionConformance.Prompts*",
                    "AttentionConformance.RopeAttend*",
                    "MatMulConformance.*"),
    [](const auto& info) { return fmt::to_string(info.index); });

}  // namespace
}  // namespace tokamak::kernels::cuda
