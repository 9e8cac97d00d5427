// SPDX-License-Identifier: Apache-2.0
// What the conformance suite does not show of a batch in device memory: padding, and steps that are
// captured once and launched for other sequences.
#include <bit>

#include "tokamak/device/gpu_test.h"
#include "tokamak/kernels/cuda/tactics.h"
#include "tokamak/op/attention.h"

namespace tokamak::kernels::cuda {
namespace {

constexpr int64_t kHeads = 8, kKvHeads = 2, kHeadDim = 64, kRows = 8, kPages = 40, kMaxPages = 5;
constexpr int64_t kQueryColumns = kHeads * kHeadDim,
                  kQkvColumns = (kHeads + 2 * kKvHeads) * kHeadDim;

class DeviceBatchTest : public device::GpuTest {
 protected:
  void SetUp() override {
    device::GpuTest::SetUp();
    if (!device_) return;
    std::vector<uint16_t> values(static_cast<size_t>(kPages * page_bytes() / 2));
    for (size_t i = 0; i < values.size(); ++i)  // Around one, of both signs.
      values[i] = static_cast<uint16_t>(0x3f00 + i * 2654435761u % 256 + (i % 3 ? 0 : 0x8000));
    cache_image_ = values;
    cache_ = upload(values);
    x_ = upload(std::vector<uint16_t>(values.begin(), values.begin() + kRows * kQkvColumns));
    positions_ = upload(std::vector<int32_t>{3, 1, 4, 1, 5, 9, 2, 6});
    y_ = device_->allocate(kRows * kQueryColumns * 2).value();
    contexts_ = device_->allocate(kRows * 4).value();
    table_ = device_->allocate(kRows * kMaxPages * 4).value();
  }

  static int64_t page_bytes() {
    return op::KvCache::bytes_of_page(DType::kBF16, kKvHeads, kHeadDim);
  }

  /// One row a sequence; sequence s has the pages that are s modulo 8.
  void set_contexts(std::vector<int32_t> contexts) {
    contexts.resize(kRows, 0);
    std::vector<int32_t> table(kRows * kMaxPages);
    for (size_t i = 0; i < table.size(); ++i)
      table[i] = static_cast<int32_t>(i / kMaxPages + i % kMaxPages * kRows);
    device_->copy_to_device(contexts_.data(), contexts.data(), kRows * 4);
    device_->copy_to_device(table_.data(), table.data(), std::ssize(table) * 4);
    EXPECT_TRUE(device_->synchronize().ok());
  }
  /// A step of `rows` rows and places for sequences, of which `real` are used.
  void run(Kernel& kernel, int64_t columns, int32_t rows, int32_t real) {
    std::vector<int32_t> first_rows(static_cast<size_t>(rows) + 1, real);
    for (int32_t i = 0; i < real; ++i) first_rows[static_cast<size_t>(i)] = i;
    first_rows_ = upload(first_rows);
    launch(kernel, columns, rows);
  }
  void launch(Kernel& kernel, int64_t columns, int32_t rows) {
    DeviceBatch device_batch{.first_rows = static_cast<const int32_t*>(first_rows_.data()),
                             .contexts = static_cast<const int32_t*>(contexts_.data()),
                             .page_table = static_cast<const int32_t*>(table_.data()),
                             .num_sequences = rows,
                             .max_pages = kMaxPages,
                             .max_sequence_rows = 1};
    op::KvCache layer{.dtype = DType::kBF16,
                      .num_kv_heads = kKvHeads,
                      .head_dim = kHeadDim,
                      .page_bytes = page_bytes(),
                      .data = cache_.data()};
    op::BatchView batch{.layers = std::span(&layer, 1)};
    TensorView inputs[] = {{DType::kBF16, {rows, columns}, x_.data()},
                           {DType::kI32, {rows}, positions_.data()}};
    TensorView output{DType::kBF16, {rows, kQueryColumns}, y_.data()};
    int64_t bytes = kernel.workspace_bytes(kRows, kRows, kRows);
    if (workspace_.bytes() < bytes) workspace_ = device_->allocate(bytes).value();
    kernel.run({.inputs = std::span(inputs, columns == kQkvColumns ? 2 : 1),
                .outputs = std::span(&output, 1),
                .batch = &batch,
                .device_batch = &device_batch,
                .workspace = workspace_.data()});
  }

  std::unique_ptr<Kernel> attend() {
    op::Attend attend;
    attend.num_heads = kHeads;
    attend.num_kv_heads = kKvHeads;
    attend.head_dim = kHeadDim;
    attend.scale = 0.125f;
    TensorType q{DType::kBF16, {tensor::kTokens, kQueryColumns}};
    return make(attend_cuda_flash(),
                {.op = attend, .inputs = {q}, .outputs = {q}, .weights = {false}});
  }
  std::unique_ptr<Kernel> rope_append() {
    op::RopeAppend rope;
    rope.num_heads = kHeads;
    rope.num_kv_heads = kKvHeads;
    rope.head_dim = rope.rotary_dim = kHeadDim;
    return make(rope_append_cuda_heads(),
                {.op = rope,
                 .inputs = {{DType::kBF16, {tensor::kTokens, kQkvColumns}},
                            {DType::kI32, {tensor::kTokens}}},
                 .outputs = {{DType::kBF16, {tensor::kTokens, kQueryColumns}}},
                 .weights = {false, false}});
  }
  std::unique_ptr<Kernel> make(const Tactic& tactic, const KernelDesc& desc) {
    auto kernel = tactic.make(desc, tactic.candidates(desc, kRows, *device_).at(0), *device_);
    EXPECT_TRUE(kernel.ok()) << kernel.error().text();
    return std::move(*kernel);
  }

  std::vector<uint16_t> cache_image_;
  device::Memory cache_, x_, positions_, y_, contexts_, table_, first_rows_, workspace_;
};

TEST_F(DeviceBatchTest, PaddedRowsWriteNoCache) {
  auto kernel = rope_append();
  set_contexts({0, 63, 64});
  run(*kernel, kQkvColumns, kRows, 3);
  std::vector<uint16_t> cache = download<uint16_t>(cache_, kPages * page_bytes() / 2);
  int64_t changed = 0;
  for (size_t i = 0; i < cache.size(); ++i) changed += cache[i] != cache_image_[i];
  EXPECT_GT(changed, 0);
  EXPECT_LE(changed, 3 * 2 * kKvHeads * kHeadDim);
}

TEST_F(DeviceBatchTest, PaddingChangesNoResult) {
  auto kernel = attend();
  set_contexts({5, 130, 319});
  run(*kernel, kQueryColumns, 3, 3);
  std::vector<uint16_t> alone = download<uint16_t>(y_, 3 * kQueryColumns);
  device_->fill_bytes(y_.data(), 0xff, y_.bytes());
  run(*kernel, kQueryColumns, kRows, 3);
  std::vector<uint16_t> padded = download<uint16_t>(y_, 3 * kQueryColumns);
  auto value = [](uint16_t bits) {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  };
  for (size_t i = 0; i < alone.size(); ++i)  // Splits differ, and with them the order of sums.
    ASSERT_NEAR(value(alone[i]), value(padded[i]), 0.02) << i;
}

TEST_F(DeviceBatchTest, ACapturedStepIsRightForOtherSequences) {
  auto kernel = attend();
  set_contexts({1, 2, 3, 4, 5, 6, 7, 8});
  run(*kernel, kQueryColumns, kRows, kRows);
  auto graph = device_->capture([&] { launch(*kernel, kQueryColumns, kRows); });
  ASSERT_TRUE(graph.ok()) << graph.error().text();
  set_contexts({319, 64, 0, 200, 63, 128, 255, 300});
  device_->fill_bytes(y_.data(), 0xff, y_.bytes());
  (*graph)->launch();
  std::vector<uint16_t> replayed = download<uint16_t>(y_, kRows * kQueryColumns);
  device_->fill_bytes(y_.data(), 0xff, y_.bytes());
  launch(*kernel, kQueryColumns, kRows);
  EXPECT_EQ(replayed, download<uint16_t>(y_, kRows * kQueryColumns));
}

}  // namespace
}  // namespace tokamak::kernels::cuda
