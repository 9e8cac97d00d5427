// SPDX-License-Identifier: Apache-2.0
// What can be known of matmul_cuda_cublaslt without a GPU; its results are the conformance suite's.
#include <gtest/gtest.h>

#include "tokamak/device/cuda/cuda_device.h"
#include "tokamak/device/cuda/libraries.h"
#include "tokamak/kernels/cuda/tactics.h"
#include "tokamak/op/matmul.h"

namespace tokamak::kernels::cuda {
namespace {

KernelDesc linear() {
  KernelDesc desc{.op = op::MatMul{.transposed = true},
                  .inputs = {{DType::kBF16, {tensor::kTokens, 64}}, {DType::kBF16, {128, 64}}},
                  .weights = {false, true}};
  desc.outputs = desc.op.infer(desc.inputs).value();
  return desc;
}
std::string error_of(const Json& config) {
  auto device = device::cuda::CudaDevice::compile_only({}, 1);
  auto made = matmul_cuda_cublaslt().make(linear(), config, *device);
  return made.ok() ? "" : made.error().text();
}

TEST(MatMulByCublasLt, OffersNothingWithoutAGpu) {
  auto device = device::cuda::CudaDevice::compile_only({}, 1);
  EXPECT_TRUE(matmul_cuda_cublaslt().candidates(linear(), 4096, *device).empty());
}

TEST(MatMulByCublasLt, RefusesConfigsThatItNeverReturns) {
  std::string good(128, '0');
  for (const Json& config : {Json{{"algorithm", good.substr(1)}, {"tokens", 512}},
                             Json{{"algorithm", "x" + good.substr(1)}, {"tokens", 512}},
                             Json{{"algorithm", good}, {"tokens", 128}},
                             Json::object()})
    EXPECT_NE(error_of(config).find("no such config"), std::string::npos) << error_of(config);
}

TEST(MatMulByCublasLt, RefusesAnotherVersionOfTheLibrary) {
  std::string error =
      error_of({{"algorithm", std::string(128, '0')}, {"tokens", 512}, {"library", 1}});
  if (device::cuda::cublas_lt().ok())
    EXPECT_NE(error.find("tuned with cuBLASLt 1, here is"), std::string::npos) << error;
  else
    EXPECT_NE(error.find("cuBLASLt is not here"), std::string::npos) << error;
}

TEST(MatMulByCublasLt, AnEngineOfThisVersionNeedsAGpu) {
  auto library = device::cuda::cublas_lt();
  if (!library.ok()) GTEST_SKIP() << "SKIPPED: " << library.error().text();
  auto version = static_cast<int64_t>((*library)->cublasLtGetVersion());
  std::string error =
      error_of({{"algorithm", std::string(128, '0')}, {"tokens", 512}, {"library", version}});
  EXPECT_NE(error.find("only be made on a GPU"), std::string::npos) << error;
}

}  // namespace
}  // namespace tokamak::kernels::cuda
