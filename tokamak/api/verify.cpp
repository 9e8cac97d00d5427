// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/verify.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "tokamak/api/sequence_runner.h"
#include "tokamak/tensor/safetensors.h"

namespace tokamak::api {
namespace {

struct Golden {
  std::vector<int32_t> input_ids;
  TensorView logits;
  std::vector<int32_t> generated;
};

Result<std::vector<int32_t>> read_ids(const tensor::TensorFiles& files, const std::string& name) {
  TKM_ASSIGN(TensorView view, files.find(name));
  if (view.dtype != DType::kI32 && view.dtype != DType::kI64)
    return base::corrupt(
        fmt::format("'{}' must be i32, is {}", name, tensor::dtype_name(view.dtype)));
  std::vector<int32_t> out;
  for (int64_t i = 0; i < view.count(); ++i) {
    out.push_back(view.dtype == DType::kI32
                      ? static_cast<const int32_t*>(view.data)[i]
                      : static_cast<int32_t>(static_cast<const int64_t*>(view.data)[i]));
  }
  return out;
}

Result<Golden> read_golden(const tensor::TensorFiles& files,
                           const std::string& prompt,
                           int64_t vocab_size) {
  Golden golden;
  TKM_ASSIGN(golden.input_ids, read_ids(files, prompt + ".input_ids"));
  TKM_ASSIGN(golden.logits, files.find(prompt + ".logits"));
  if (golden.input_ids.empty())
    return base::corrupt(fmt::format("'{}.input_ids' is empty", prompt));
  int64_t rows = golden.logits.rows();
  if (golden.logits.dtype != DType::kF32 ||
      (rows != 1 && rows != static_cast<int64_t>(golden.input_ids.size()))) {
    return base::corrupt(
        fmt::format("'{}.logits' is {}{}, must be f32 with a row for each of the {} tokens",
                    prompt,
                    tensor::dtype_name(golden.logits.dtype),
                    tensor::shape_text(golden.logits.shape),
                    golden.input_ids.size()));
  }
  if (golden.logits.columns() != vocab_size)
    return base::invalid(fmt::format("'{}.logits' has a vocabulary of {}, the engine has {}",
                                     prompt,
                                     golden.logits.columns(),
                                     vocab_size));
  if (files.contains(prompt + ".generated")) {
    TKM_ASSIGN(golden.generated, read_ids(files, prompt + ".generated"));
  }
  return golden;
}

double top2_gap(std::span<const float> logits) {
  float first = -INFINITY, second = -INFINITY;
  for (float value : logits) {
    if (value > first)
      second = std::exchange(first, value);
    else
      second = std::max(second, value);
  }
  return first - second;
}

Result<void> check_continuation(SequenceRunner& runner,
                                const Golden& golden,
                                std::vector<float> last,
                                PromptCheck& check) {
  check.generated = static_cast<int64_t>(golden.generated.size());
  for (int32_t expected : golden.generated) {
    int32_t token = argmax(last);
    if (token != expected) {
      check.gap_at_difference = top2_gap(last);
      return {};
    }
    ++check.generated_equal;
    if (check.generated_equal == check.generated) return {};
    TKM_RETURN_IF_ERROR(runner.append(
        std::span(&token, 1), false, [&](int64_t, int64_t, std::span<const float> logits) {
          last.assign(logits.begin(), logits.end());
        }));
  }
  return {};
}

Result<PromptCheck> check_prompt(runtime::Session& session,
                                 const std::string& name,
                                 const Golden& golden) {
  PromptCheck check{.name = name, .num_tokens = static_cast<int64_t>(golden.input_ids.size())};
  TKM_ASSIGN(SequenceRunner runner,
             SequenceRunner::make(
                 session, 1, check.num_tokens + static_cast<int64_t>(golden.generated.size())));
  bool all_rows = golden.logits.rows() == check.num_tokens;
  double difference = 0, norm = 0;
  std::vector<float> last;
  auto compare = [&](int64_t, int64_t index, std::span<const float> logits) {
    std::span<const float> reference = golden.logits.as<float>().subspan(
        all_rows ? static_cast<size_t>(index) * logits.size() : 0, logits.size());
    double row_difference = 0, row_norm = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      double d = static_cast<double>(logits[i]) - reference[i];
      row_difference += d * d;
      row_norm += static_cast<double>(reference[i]) * reference[i];
    }
    difference += row_difference;
    norm += row_norm;
    double error = std::sqrt(row_difference / std::max(row_norm, 1e-30));
    if (!(error <= check.worst_error)) {  // NaN is worst
      check.worst_error = error;
      check.worst_position = index;
    }
    last.assign(logits.begin(), logits.end());
  };
  TKM_RETURN_IF_ERROR(runner.append(golden.input_ids, all_rows, compare));
  check.relative_error = std::sqrt(difference / std::max(norm, 1e-30));
  TKM_RETURN_IF_ERROR(check_continuation(runner, golden, std::move(last), check));
  return check;
}

}  // namespace

bool VerifyReport::passed() const {
  return !prompts.empty() &&
         std::all_of(prompts.begin(), prompts.end(), [&](const PromptCheck& check) {
           return check.relative_error <= tolerance;
         });
}

double verify_tolerance(DType dtype) {
  return dtype == DType::kF32 ? 1e-4 : 2e-2;
}

Result<VerifyReport> verify(runtime::Session& session,
                            const std::filesystem::path& golden,
                            double tolerance) {
  TKM_ASSIGN(tensor::TensorFiles files, tensor::TensorFiles::open(golden));
  VerifyReport report{.tolerance = tolerance};
  for (int n = 0; files.contains(fmt::format("prompt{}.input_ids", n)); ++n) {
    std::string name = fmt::format("prompt{}", n);
    TKM_ASSIGN(Golden reference, read_golden(files, name, session.info().vocab_size));
    TKM_ASSIGN(PromptCheck check, check_prompt(session, name, reference));
    report.prompts.push_back(std::move(check));
  }
  if (report.prompts.empty())
    return base::corrupt(fmt::format("{} holds no prompt0.input_ids", golden.string()));
  return report;
}

Result<WeightsReport> verify_weights(const engine::Engine& engine,
                                     base::ThreadPool& pool,
                                     const base::Progress& progress) {
  if (engine.weight_hashes.empty()) {
    return base::unsupported(
        fmt::format("{} has no hashes of its weights", engine.folder.string()),
        "tokamak build takes them, unless --no-hash-weights or --dummy-weights is given");
  }
  auto begin = std::chrono::steady_clock::now();
  TKM_ASSIGN(tensor::TensorFiles files, engine::open_weights(engine));
  WeightsReport report;
  for (const auto& [name, hash] : engine.weight_hashes) {
    auto checked = engine::check_weight(files, name, engine.weight_hashes, pool);
    if (!checked.ok()) report.problems.push_back(checked.error().message);
    if (auto view = files.find(name); view.ok()) report.bytes += view->bytes();
    files.drop(name);
    ++report.tensors;
    base::report(progress, "comparing weights", report.bytes, files.total_bytes());
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

}  // namespace tokamak::api
