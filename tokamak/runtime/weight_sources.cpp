// SPDX-License-Identifier: Apache-2.0
// Where weights come from: a checkpoint's files, or nowhere.
#include <cmath>
#include <set>

#include "tokamak/base/hash.h"
#include "tokamak/runtime/weights.h"

namespace tokamak::runtime {
namespace {

class CheckpointWeights : public WeightSource {
 public:
  CheckpointWeights(tensor::TensorFiles files, engine::WeightHashes hashes, base::ThreadPool& pool)
      : files_(std::move(files)), hashes_(std::move(hashes)), pool_(pool) {}

  Result<TensorView> find(const std::string& tensor, const Shape& expected) override {
    TKM_ASSIGN(TensorView view, find_weight(files_, tensor, expected));
    TKM_RETURN_IF_ERROR(check(files_.stored_name(tensor)));
    return view;
  }
  void done(const std::string& tensor) override { files_.drop(files_.stored_name(tensor)); }

 private:
  /// Once a tensor, also where several weights are made of it.
  Result<void> check(const std::string& name) {
    if (hashes_.empty() || !checked_.insert(name).second) return {};
    return engine::check_weight(files_, name, hashes_, pool_);
  }
  tensor::TensorFiles files_;
  engine::WeightHashes hashes_;
  base::ThreadPool& pool_;
  std::set<std::string> checked_;
};

class DummyWeights : public WeightSource {
 public:
  Result<TensorView> find(const std::string& tensor, const Shape& expected) override {
    current_ = Tensor(DType::kBF16, expected);
    auto values = static_cast<uint16_t*>(current_.view().data);
    auto [offset, scale] = dummy_range(tensor, expected);
    uint64_t state = base::hash_text(tensor).low | 1;
    for (int64_t i = 0; i < current_.count(); ++i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      float uniform = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
      values[i] = tensor::float_to_bf16(offset + uniform * scale);
    }
    return current_.view();
  }

 private:
  Tensor current_;
};

}  // namespace

DummyRange dummy_range(const std::string& tensor, const Shape& shape) {
  constexpr float kUnitVariance = 1.7320508f;
  if (shape.size() > 1) return {0, kUnitVariance / std::sqrt(static_cast<float>(shape.back()))};
  bool gain = tensor.find("norm") != std::string::npos && !tensor.ends_with("bias");
  return gain ? DummyRange{1, 0} : DummyRange{0, kUnitVariance * 0.02f};
}

Result<TensorView> find_weight(const tensor::TensorFiles& files,
                               const std::string& tensor,
                               const Shape& expected) {
  const std::string name = files.stored_name(tensor);
  TKM_ASSIGN(TensorView view, files.find(name));
  if (view.shape != expected) {
    const bool is_transposed = Shape(view.shape.rbegin(), view.shape.rend()) == expected;
    return base::corrupt(
        fmt::format("{}: tensor '{}' is {}, but config.json makes it {}",
                    files.file_of(name),
                    tensor,
                    tensor::shape_text(view.shape),
                    tensor::shape_text(expected)),
        is_transposed ? "it is stored transposed; the program that wrote it must transpose it"
                      : "");
  }
  if (tensor::is_float(view.dtype)) return view;
  return base::unsupported(
      fmt::format("{}: tensor '{}' is {}; weights are read from f32, f16 and bf16",
                  files.file_of(name),
                  tensor,
                  tensor::dtype_name(view.dtype)));
}

std::string unused_tensors(const engine::Plan& plan, const tensor::TensorFiles& files) {
  constexpr size_t kShown = 4;
  std::set<std::string> used = {"lm_head.weight"};
  for (const engine::PlanWeight& weight : plan.weights) {
    for (const WeightPart& part : weight.parts) used.insert(files.stored_name(part.tensor));
  }
  size_t count = 0;
  std::string first;
  for (const std::string& name : files.names()) {
    if (used.contains(name) || ++count > kShown) continue;
    first += (first.empty() ? "" : ", ") + name;
  }
  if (count == 0) return "";
  return fmt::format("{} of the checkpoint's tensors are not used: {}{}",
                     count,
                     first,
                     count > kShown ? ", ..." : "");
}

std::unique_ptr<WeightSource> checkpoint_weights(tensor::TensorFiles files,
                                                 engine::WeightHashes hashes,
                                                 base::ThreadPool& pool) {
  return std::make_unique<CheckpointWeights>(std::move(files), std::move(hashes), pool);
}
std::unique_ptr<WeightSource> dummy_weights() {
  return std::make_unique<DummyWeights>();
}

}  // namespace tokamak::runtime
