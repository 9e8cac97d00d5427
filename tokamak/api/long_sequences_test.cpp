// SPDX-License-Identifier: Apache-2.0
// LongRoPE through a whole engine: the factors follow the length of the sequence, whatever the
// chunks, also where it grows. The oracle is the graph with one list of factors only.
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "tokamak/api/build.h"
#include "tokamak/api/sequence_runner.h"
#include "tokamak/base/file.h"
#include "tokamak/ir/reference.h"
#include "tokamak/models/families.h"
#include "tokamak/runtime/engine_session.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kOriginal = 64, kVocab = 512;

class LongSequences : public testing::Test {
 protected:
  void SetUp() override {
    const char* data = std::getenv("TOKAMAK_TEST_DATA");
    const fs::path golden = fs::path(data && *data ? data : "../shared") / "goldens/phi3";
    if (!fs::exists(golden)) GTEST_SKIP() << "SKIPPED: no " << golden << "; set TOKAMAK_TEST_DATA";
    folder_ = fs::temp_directory_path() / fmt::format("tokamak_long_sequences_{}", ::getpid());
    ASSERT_TRUE(base::make_folders(folder_).ok());
    ::setenv("TOKAMAK_CACHE_DIR", (folder_ / "cache").c_str(), 1);
    fs::create_symlink(fs::absolute(golden / "model.safetensors"), folder_ / "model.safetensors");
    Json config =
        base::parse_json(base::read_file(golden / "config.json").value(), "config.json").value();
    config.erase("rope_parameters");
    config["original_max_position_embeddings"] = kOriginal;
    config["rope_scaling"] = {{"type", "longrope"}};
    const int pairs = 64 / 4 / 2;
    for (int i = 0; i < pairs; ++i) {
      config["rope_scaling"]["short_factor"].push_back(1 + 0.1 * i);
      config["rope_scaling"]["long_factor"].push_back(2 + 1.5 * i);
    }
    ASSERT_TRUE(base::write_file_atomic(folder_ / "config.json", config.dump()).ok());
    for (int64_t i = 0; i < 120; ++i)
      tokens_.push_back(static_cast<int32_t>((i * i * 31 + i * 17 + 5) % kVocab));
    device_ = device::open_device(Target::kCpu).value();
    auto engine = build_engine(folder_, *device_, {.dtype = "float32", .tune = false});
    ASSERT_TRUE(engine.ok()) << engine.error().text();
    auto session = runtime::open_session(
        *engine, device_, {.max_step_tokens = 16, .max_sequences = 2, .kv_tokens = 512});
    ASSERT_TRUE(session.ok()) << session.error().text();
    session_ = std::move(*session);
  }
  void TearDown() override {
    session_.reset();
    if (!folder_.empty()) fs::remove_all(folder_);
    ::unsetenv("TOKAMAK_CACHE_DIR");
  }

  /// Logits of the last of the first `count` tokens, all rotated alike.
  std::vector<float> expected(int64_t count, bool as_long) {
    models::ModelInfo info = models::read_model(folder_).value();
    for (models::LayerSpec& layer : info.spec.layers) {
      if (as_long) layer.rotary.factors = layer.rotary.long_factors;
      layer.rotary.long_factors.clear();
    }
    auto graph = models::decoder_graph(info.spec, DType::kF32).value();
    auto files = tensor::TensorFiles::open(folder_).value();
    ir::TensorMap weights;
    for (const std::string& name : files.names()) {
      TensorView view = files.find(name).value();
      Tensor copy(DType::kF32, view.shape);
      tensor::convert(view.dtype, view.data, DType::kF32, copy.view().data, view.count());
      weights.emplace(name, std::move(copy));
    }
    std::vector<int32_t> ids(tokens_.begin(), tokens_.begin() + count), positions;
    for (int64_t i = 0; i < count; ++i) positions.push_back(static_cast<int32_t>(i));
    const std::vector<int32_t> last = {static_cast<int32_t>(count - 1)};
    Tensor logits = ir::run_reference(*graph,
                                      {{"token_ids", Tensor::from_ints(ids)},
                                       {"positions", Tensor::from_ints(positions)},
                                       {"rows", Tensor::from_ints(last)}},
                                      weights,
                                      count)
                        .value()[0];
    return {logits.floats().begin(), logits.floats().end()};
  }
  static double error(std::span<const float> got, std::span<const float> right) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < right.size(); ++i) {
      difference += std::pow(static_cast<double>(got[i]) - right[i], 2);
      norm += std::pow(static_cast<double>(right[i]), 2);
    }
    return std::sqrt(difference / norm);
  }

  fs::path folder_;
  std::vector<int32_t> tokens_;
  std::shared_ptr<device::Device> device_;
  std::unique_ptr<runtime::Session> session_;
};

TEST_F(LongSequences, a_sequence_is_rotated_by_the_factors_of_its_length) {
  EXPECT_EQ(session_->info().long_sequence_after, kOriginal);
  EXPECT_GT(error(expected(120, false), expected(120, true)), 1e-3) << "the lists must tell";
  for (int64_t count : {int64_t{20}, kOriginal, kOriginal + 1, int64_t{120}}) {
    auto runner = SequenceRunner::make(*session_, 1, 120).value();
    std::vector<float> last;
    auto appended = runner.append(std::span(tokens_).first(static_cast<size_t>(count)),
                                  false,
                                  [&](int64_t, int64_t, std::span<const float> logits) {
                                    last.assign(logits.begin(), logits.end());
                                  });
    ASSERT_TRUE(appended.ok()) << appended.error().text();
    EXPECT_LT(error(last, expected(count, count > kOriginal)), 3e-5) << count;
  }
}

TEST_F(LongSequences, one_that_grows_beyond_the_length_is_rotated_anew) {
  auto runner = SequenceRunner::make(*session_, 1, 120).value();
  std::vector<float> last;
  auto keep = [&](int64_t, int64_t, std::span<const float> logits) {
    last.assign(logits.begin(), logits.end());
  };
  ASSERT_TRUE(runner.append(std::span(tokens_).first(60), false, keep).ok());
  for (size_t i = 60; i < 70; ++i) {
    ASSERT_TRUE(runner.append(std::span(tokens_).subspan(i, 1), false, keep).ok());
    const auto count = static_cast<int64_t>(i) + 1;
    EXPECT_LT(error(last, expected(count, count > kOriginal)), 3e-5) << count;
  }
}

TEST_F(LongSequences, greedy_decoding_across_the_length_is_as_if_step_by_step) {
  const std::span<const int32_t> prompts = std::span(tokens_).first(2 * 50);
  auto step_by_step = SequenceRunner::make(*session_, 2, 100).value();
  std::vector<int32_t> one(2), many(2);
  ASSERT_TRUE(step_by_step.append_greedy(prompts, one).ok());
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(step_by_step.append_greedy(one, one).ok());
  auto at_once = SequenceRunner::make(*session_, 2, 100).value();
  ASSERT_TRUE(at_once.append_greedy(prompts, many).ok());
  ASSERT_TRUE(at_once.decode_greedy(30, many).ok());
  EXPECT_EQ(one, many);
}

}  // namespace
}  // namespace tokamak::api
