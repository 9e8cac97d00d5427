// SPDX-License-Identifier: Apache-2.0
// matmul_cuda_cublaslt: prompts by NVIDIA's library where it is installed. More than 128 tokens, w
// one row an output, bf16 factors, f32 sums; bias and residual, no activation.
//
// The library's matrices have columns: to it y [T, N] is N x T, the product of w (K x N,
// transposed) and x (K x T). A config names an algorithm in the 64 bytes of one version of the
// library and for one number of tokens; for a number that it cannot run with, the library's own
// first choice is taken. Split sums meet in f32 in the workspace, so results are the same each run.
#include <charconv>
#include <map>
#include <mutex>

#include "tokamak/base/fields_json.h"
#include "tokamak/device/cuda/libraries.h"
#include "tokamak/kernels/cuda/gemm/matmul_problem.h"
#include "tokamak/kernels/cuda/tactics.h"

namespace tokamak::kernels::cuda {
namespace {

namespace abi = device::cuda::abi;

constexpr int64_t kMinTokens = 129, kWorkspaceBytes = int64_t{32} << 20, kAlignment = 256;
constexpr int kAlgorithms = 3;

struct BlasConfig {
  std::string algorithm;  ///< cublasLtMatmulAlgo_t as 8 words of 16 hex digits.
  int64_t library = 0;    ///< cublasLtGetVersion()
  int64_t tokens = 0;     ///< That it was chosen for.
  static constexpr auto kFields = std::tuple{Field{"algorithm", &BlasConfig::algorithm},
                                             Field{"library", &BlasConfig::library},
                                             Field{"tokens", &BlasConfig::tokens}};
};

std::string algorithm_text(const abi::MatmulAlgorithm& algorithm) {
  std::string text;
  for (uint64_t word : algorithm.words) text += fmt::format("{:016x}", word);
  return text;
}
std::optional<abi::MatmulAlgorithm> algorithm_from_text(std::string_view text) {
  abi::MatmulAlgorithm out{};
  if (text.size() != std::size(out.words) * 16) return std::nullopt;
  for (size_t i = 0; i < std::size(out.words); ++i) {
    const char *begin = text.data() + i * 16, *end = begin + 16;
    if (std::from_chars(begin, end, out.words[i], 16).ptr != end) return std::nullopt;
  }
  return out;
}

bool claims(const MatMulProblem& p) {
  bool types = p.streams() && (!p.op.bias || p.bias == p.y);
  // 16 bytes: what all of the library's fast kernels ask of rows.
  return types && !p.op.gated && p.op.activation == op::ActivationKind::kNone && p.depth % 8 == 0 &&
         p.outputs % 8 == 0;
}

Error blas_error(int status, const char* call, const std::string& what) {
  return base::internal_error(fmt::format("{} failed with status {}: {}", call, status, what));
}

/// The library's context on a device.
class Blas {
 public:
  /// The one of this device, as long as somebody holds it.
  static Result<std::shared_ptr<Blas>> of(const CudaDevice& device) {
    static std::mutex mutex;
    static std::map<const CudaDevice*, std::weak_ptr<Blas>> all;
    std::lock_guard lock(mutex);
    if (auto found = all[&device].lock()) return found;
    TKM_ASSIGN(const abi::CublasLt* calls, device::cuda::cublas_lt());
    device.make_current();
    abi::BlasHandle handle = nullptr;
    if (int status = calls->cublasLtCreate(&handle))
      return blas_error(status, "cublasLtCreate", device.info().name);
    auto blas = std::make_shared<Blas>(*calls, handle);
    all[&device] = blas;
    return blas;
  }
  Blas(const abi::CublasLt& calls, abi::BlasHandle handle) : calls_(calls), handle_(handle) {}
  Blas(const Blas&) = delete;
  ~Blas() { calls_.cublasLtDestroy(handle_); }

  const abi::CublasLt& calls() const { return calls_; }
  abi::BlasHandle handle() const { return handle_; }

 private:
  const abi::CublasLt& calls_;
  abi::BlasHandle handle_;
};

/// The library's description of a problem with so many tokens.
class BlasProblem {
 public:
  BlasProblem(std::shared_ptr<Blas> blas, const MatMulProblem& p, int64_t tokens)
      : blas_(std::move(blas)), has_bias_(p.op.bias) {
    auto layout = [&](abi::MatrixLayout& out, DType dtype, int64_t rows, int64_t columns) {
      int type = dtype == DType::kBF16 ? abi::kBlasBfloat16 : abi::kBlasFloat32;
      note(calls().cublasLtMatrixLayoutCreate(
          &out, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), rows));
    };
    layout(w_, p.w, p.depth, p.outputs);
    layout(x_, p.x, p.depth, tokens);
    layout(y_, p.y, p.outputs, tokens);
    note(calls().cublasLtMatmulDescCreate(&desc_, abi::kComputeFloat32, abi::kBlasFloat32));
    set(abi::kMatmulTransA, abi::kTranspose);
    if (has_bias_) set(abi::kMatmulEpilogue, abi::kEpilogueBias);
  }
  BlasProblem(const BlasProblem&) = delete;
  ~BlasProblem() {
    for (abi::MatrixLayout layout : {w_, x_, y_}) {
      if (layout) calls().cublasLtMatrixLayoutDestroy(layout);
    }
    if (desc_) calls().cublasLtMatmulDescDestroy(desc_);
  }

  /// The library's best guesses.
  std::vector<abi::MatmulAlgorithm> algorithms(int wanted) const {
    abi::MatmulPreference preference = nullptr;
    if (status_ || calls().cublasLtMatmulPreferenceCreate(&preference)) return {};
    auto prefer = [&](int attribute, auto value) {
      return calls().cublasLtMatmulPreferenceSetAttribute(
                 preference, attribute, &value, sizeof value) == 0;
    };
    bool fine = prefer(abi::kPreferenceMaxWorkspace, static_cast<uint64_t>(kWorkspaceBytes)) &&
                prefer(abi::kPreferenceReductions, static_cast<uint32_t>(abi::kReduceInFloat32));
    for (int attribute : abi::kPreferenceAlignments) fine = fine && prefer(attribute, uint32_t{16});
    std::vector<abi::MatmulHeuristic> found(static_cast<size_t>(wanted));
    int count = 0;
    if (!fine ||
        calls().cublasLtMatmulAlgoGetHeuristic(
            blas_->handle(), desc_, w_, x_, y_, y_, preference, wanted, found.data(), &count))
      count = 0;
    calls().cublasLtMatmulPreferenceDestroy(preference);
    std::vector<abi::MatmulAlgorithm> out;
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      if (found[i].state == 0) out.push_back(found[i].algorithm);
    }
    return out;
  }
  /// Can it run this problem, in the workspace that it gets?
  bool runs(const abi::MatmulAlgorithm& algorithm) const {
    abi::MatmulHeuristic result{};
    return status_ == 0 &&
           calls().cublasLtMatmulAlgoCheck(
               blas_->handle(), desc_, w_, x_, y_, y_, &algorithm, &result) == 0 &&
           result.workspace_bytes <= static_cast<size_t>(kWorkspaceBytes);
  }
  /// The library's status.
  int launch(const MatMulArgs& args,
             const abi::MatmulAlgorithm& algorithm,
             void* workspace,
             abi::Stream stream) const {
    constexpr float kOne = 1, kZero = 0;
    if (has_bias_) {
      if (int status = calls().cublasLtMatmulDescSetAttribute(
              desc_, abi::kMatmulBiasPointer, &args.bias, sizeof args.bias))
        return status;
    }
    auto address = reinterpret_cast<uintptr_t>(workspace) + kAlignment - 1;
    return calls().cublasLtMatmul(blas_->handle(),
                                  desc_,
                                  &kOne,
                                  args.w,
                                  w_,
                                  args.x,
                                  x_,
                                  args.residual ? &kOne : &kZero,
                                  args.residual ? args.residual : args.y,
                                  y_,
                                  args.y,
                                  y_,
                                  &algorithm,
                                  reinterpret_cast<void*>(address / kAlignment * kAlignment),
                                  static_cast<size_t>(kWorkspaceBytes),
                                  stream);
  }

 private:
  const abi::CublasLt& calls() const { return blas_->calls(); }
  void note(int status) {
    if (status_ == 0) status_ = status;
  }
  void set(int attribute, int value) {
    note(calls().cublasLtMatmulDescSetAttribute(desc_, attribute, &value, sizeof value));
  }

  std::shared_ptr<Blas> blas_;
  bool has_bias_;
  int status_ = 0;  ///< Of the first call that failed.
  abi::MatmulDesc desc_ = nullptr;
  abi::MatrixLayout w_ = nullptr, x_ = nullptr, y_ = nullptr;
};

class BlasMatMul : public Kernel {
 public:
  BlasMatMul(CudaDevice& device,
             const MatMulProblem& problem,
             std::shared_ptr<Blas> blas,
             const abi::MatmulAlgorithm& algorithm)
      : device_(device), problem_(problem), blas_(std::move(blas)), algorithm_(algorithm) {}

  int64_t workspace_bytes(int64_t, int64_t, int64_t) const override {
    return kWorkspaceBytes + kAlignment;
  }

  void run(const Launch& launch) override {
    int64_t tokens = launch.inputs[0].rows();
    if (tokens == 0) return;
    device_.make_current();
    const Plan& plan = plan_of(tokens);
    int status = plan.problem->launch(matmul_args(problem_, launch, 0, tokens),
                                      plan.algorithm,
                                      launch.workspace,
                                      device_.stream());
    TKM_CHECK(status == 0, "cublasLtMatmul of {} tokens failed with status {}", tokens, status);
  }

 private:
  struct Plan {
    std::unique_ptr<BlasProblem> problem;
    abi::MatmulAlgorithm algorithm;
  };
  const Plan& plan_of(int64_t tokens) {
    auto [it, is_new] = plans_.try_emplace(tokens);
    if (!is_new) return it->second;
    Plan plan{std::make_unique<BlasProblem>(blas_, problem_, tokens), algorithm_};
    if (!plan.problem->runs(algorithm_)) {
      auto own = plan.problem->algorithms(1);
      if (own.empty()) plans_.erase(it);
      TKM_CHECK(!own.empty(), "cuBLASLt has no algorithm for {} tokens", tokens);
      plan.algorithm = own[0];
    }
    return it->second = std::move(plan);
  }

  CudaDevice& device_;
  MatMulProblem problem_;
  std::shared_ptr<Blas> blas_;
  abi::MatmulAlgorithm algorithm_;
  std::map<int64_t, Plan> plans_;  ///< By tokens.
};

std::vector<Json> candidates(const KernelDesc& desc, int64_t tokens, const device::Device& any) {
  const CudaDevice& device = device::cuda::cuda_device(any);
  auto problem = matmul_problem(desc);
  if (!device.can_run() || tokens < kMinTokens || !problem || !claims(*problem)) return {};
  auto blas = Blas::of(device);
  if (!blas.ok()) return {};
  auto library = static_cast<int64_t>((*blas)->calls().cublasLtGetVersion());
  std::vector<Json> out;
  for (const abi::MatmulAlgorithm& algorithm :
       BlasProblem(*blas, *problem, tokens).algorithms(kAlgorithms)) {
    BlasConfig config{algorithm_text(algorithm), library, tokens};
    out.push_back(base::fields_to_json(config, /*all=*/true));
  }
  return out;
}

Made make(const KernelDesc& desc, const Json& json, device::Device& any) {
  TKM_ASSIGN(auto config, base::fields_from_json<BlasConfig>(json));
  auto problem = matmul_problem(desc);
  auto algorithm = algorithm_from_text(config.algorithm);
  if (!problem || !claims(*problem) || !algorithm || config.tokens < kMinTokens)
    return base::invalid("matmul_cuda_cublaslt: no such config: " + json.dump());
  TKM_ASSIGN(const abi::CublasLt* calls, device::cuda::cublas_lt());
  auto library = static_cast<int64_t>(calls->cublasLtGetVersion());
  if (library != config.library) {
    return base::unsupported(
        fmt::format("matmul_cuda_cublaslt: the engine was tuned with cuBLASLt {}, here is {}",
                    config.library,
                    library),
        "build the engine again here, or name the other library's file in TOKAMAK_CUBLASLT");
  }
  CudaDevice& device = device::cuda::cuda_device(any);
  if (!device.can_run())
    return base::unsupported("matmul_cuda_cublaslt: its algorithms can only be made on a GPU");
  TKM_ASSIGN(auto blas, Blas::of(device));
  if (!BlasProblem(blas, *problem, config.tokens).runs(*algorithm)) {
    return base::unsupported(fmt::format("matmul_cuda_cublaslt: cuBLASLt {} does not run {} on {}",
                                         library,
                                         json.dump(),
                                         device.info().name),
                             "build the engine again on this GPU");
  }
  return std::unique_ptr<Kernel>(
      std::make_unique<BlasMatMul>(device, *problem, std::move(blas), *algorithm));
}

}  // namespace

const Tactic& matmul_cuda_cublaslt() {
  static const Tactic tactic = {.name = "matmul_cuda_cublaslt",
                                .target = Target::kCuda,
                                .candidates = candidates,
                                .make = make};
  return tactic;
}

}  // namespace tokamak::kernels::cuda
