// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "tokamak/device/gpu_test.h"
#include "tokamak/kernels/cuda/sample/note_tokens.h"

namespace tokamak::kernels::cuda {
namespace {

using NoteTokensOnGpu = device::GpuTest;

TEST_F(NoteTokensOnGpu, completes_ids_and_notes_them_by_page) {
  auto note = NoteTokens::make(*device_);
  ASSERT_TRUE(note.ok()) << note.error().text();
  const std::vector<int32_t> sampled = {70, -1, 72, 73};
  device::Memory from = upload(sampled);
  // Rows of each sequence, some without any; then rows of padding.
  for (const std::vector<int32_t>& rows : {std::vector<int32_t>{1},
                                           {0, 3, 0, 0, 1, 200, 0},
                                           {600, 1, 1, 1},
                                           std::vector<int32_t>(256, 1)}) {
    const auto count = static_cast<int32_t>(rows.size());
    constexpr int32_t kMaxPages = 12;
    std::vector<int32_t> first_rows = {0}, contexts, ids;
    for (int32_t s = 0; s < count; ++s) {
      first_rows.push_back(first_rows.back() + rows[static_cast<size_t>(s)]);
      contexts.push_back(s * 29 % 130);
    }
    std::vector<int32_t> table(static_cast<size_t>(count * kMaxPages));
    std::iota(table.rbegin(), table.rend(), 0);
    std::vector<int32_t> expected(table.size() * 64, -7);
    const int32_t padding = 5;
    std::vector<int32_t> completed;
    for (int32_t row = 0; row < first_rows.back() + padding; ++row) {
      const int32_t unknown = row % 5;  // 4: a known token.
      ids.push_back(unknown < 4 ? -1 - unknown : row);
      completed.push_back(unknown < 4 ? std::max(sampled[static_cast<size_t>(unknown)], 0) : row);
    }
    ids.push_back(-2);  // Behind the last row.
    completed.push_back(-2);
    for (int32_t s = 0; s < count; ++s) {
      for (int32_t row = first_rows[static_cast<size_t>(s)];
           row < first_rows[static_cast<size_t>(s) + 1];
           ++row) {
        const int32_t position =
            contexts[static_cast<size_t>(s)] + row - first_rows[static_cast<size_t>(s)];
        const int32_t page = table[static_cast<size_t>(s * kMaxPages + position / 64)];
        expected[static_cast<size_t>(page * 64 + position % 64)] =
            completed[static_cast<size_t>(row)];
      }
    }
    device::Memory memory = upload(ids), pages = upload(std::vector<int32_t>(expected.size(), -7));
    device::Memory firsts = upload(first_rows), cached = upload(contexts), tables = upload(table);
    const DeviceBatch batch{.first_rows = static_cast<const int32_t*>(firsts.data()),
                            .contexts = static_cast<const int32_t*>(cached.data()),
                            .page_table = static_cast<const int32_t*>(tables.data()),
                            .num_sequences = count,
                            .max_pages = kMaxPages};
    note->run(memory.data(), from.data(), batch, pages.data(), std::ssize(ids) - 1);
    EXPECT_EQ(download<int32_t>(memory, std::ssize(ids)), completed);
    EXPECT_EQ(download<int32_t>(pages, std::ssize(expected)), expected);
  }
  EXPECT_EQ(download<int32_t>(from, 4), sampled);
}

}  // namespace
}  // namespace tokamak::kernels::cuda
