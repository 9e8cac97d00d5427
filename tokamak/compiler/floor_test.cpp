// SPDX-License-Identifier: Apache-2.0
#include "tokamak/compiler/floor.h"

#include <gtest/gtest.h>

#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/op/attention.h"
#include "tokamak/op/matmul.h"

namespace tokamak::compiler {
namespace {

class Floor : public testing::Test {
 protected:
  std::shared_ptr<device::Device> h200_ = device::cuda::CudaDevice::compile_only({}, 1);

  static kernels::KernelDesc matmul(int64_t rows, int64_t columns) {
    op::MatMul matmul;
    matmul.transposed = true;
    return {.op = matmul,
            .inputs = {{DType::kBF16, {tensor::kTokens, columns}}, {DType::kBF16, {rows, columns}}},
            .outputs = {{DType::kBF16, {tensor::kTokens, rows}}},
            .weights = {false, true}};
  }
  static kernels::KernelDesc attend(int64_t window) {
    op::Attend attend;
    attend.num_heads = 32;
    attend.num_kv_heads = 8;
    attend.head_dim = 128;
    attend.window = window;
    TensorType q{DType::kBF16, {tensor::kTokens, 4096}};
    return {.op = attend, .inputs = {q}, .outputs = {q}, .weights = {false}};
  }
  double us(const kernels::KernelDesc& desc, int64_t tokens) {
    return floor_us(step_work(desc, tokens, *h200_), DType::kBF16, *h200_);
  }
};

TEST_F(Floor, of_a_product_of_few_rows_is_reading_its_weights) {
  kernels::KernelDesc desc = matmul(28672, 4096);  // Gate and up of Llama-3-8B.
  EXPECT_EQ(step_work(desc, 1, *h200_).bytes, int64_t{28672} * 4096 * 2);
  EXPECT_NEAR(us(desc, 1), 50.73, 0.01);
  EXPECT_EQ(us(desc, 64), us(desc, 1));
}

TEST_F(Floor, of_a_product_of_many_rows_is_its_arithmetic) {
  EXPECT_NEAR(us(matmul(28672, 4096), 2048), 2.0 * 2048 * 28672 * 4096 / 740e12 * 1e6, 0.01);
}

TEST_F(Floor, of_decoding_attention_is_reading_each_sequences_keys_and_values) {
  EXPECT_EQ(step_work(attend(0), 64, *h200_).bytes, int64_t{64} * 1024 * 2 * 8 * 128 * 2);
  EXPECT_EQ(step_work(attend(256), 64, *h200_).bytes, int64_t{64} * 256 * 2 * 8 * 128 * 2);
  EXPECT_NEAR(us(attend(0), 64), 57.98, 0.01);
}

TEST_F(Floor, of_a_prompts_attention_counts_what_each_row_sees) {
  StepWork all = step_work(attend(0), 2048, *h200_), some = step_work(attend(2), 2048, *h200_);
  EXPECT_EQ(all.flops, 4.0 * 32 * 128 * (2048.0 * 2049 / 2));
  EXPECT_EQ(some.flops, 4.0 * 32 * 128 * (1 + 2 * 2047));
  EXPECT_EQ(all.bytes, int64_t{2048} * 2 * 8 * 128 * 2);
}

TEST_F(Floor, is_not_known_where_the_devices_rates_are_not) {
  auto cpu = device::open_device(Target::kCpu, 1).value();
  EXPECT_EQ(floor_us({.bytes = 1000, .flops = 1000}, DType::kBF16, *cpu), 0);
}

}  // namespace
}  // namespace tokamak::compiler
