// SPDX-License-Identifier: Apache-2.0
// A config.json and tensors that do not belong together, or do not say everything.
#include "tokamak/api/checkpoint_fit.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tokamak/api/build.h"
#include "tokamak/base/file.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// A checkpoint of one layer, in a folder of its own.
class CheckpointFit : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("tokamak_checkpoint_fit_{}", ::getpid());
    fs::remove_all(folder_);
    ASSERT_TRUE(base::make_folders(folder_ / "model").ok());
    ::setenv("TOKAMAK_CACHE_DIR", (folder_ / "cache").c_str(), 1);
    const std::string layer = "model.layers.0.";
    add("model.embed_tokens.weight", {20, 8});
    add("model.norm.weight", {8});
    add("lm_head.weight", {20, 8});
    for (const char* name : {"input_layernorm.weight", "post_attention_layernorm.weight"})
      add(layer + name, {8});
    for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"})
      add(layer + "self_attn." + name + ".weight", {8, 8});
    add(layer + "mlp.gate_proj.weight", {12, 8});
    add(layer + "mlp.up_proj.weight", {12, 8});
    add(layer + "mlp.down_proj.weight", {8, 12});
  }
  void TearDown() override {
    fs::remove_all(folder_);
    ::unsetenv("TOKAMAK_CACHE_DIR");
  }

  void add(const std::string& name, Shape shape) {
    Tensor tensor(DType::kF32, std::move(shape));
    for (size_t i = 0; i < tensor.floats().size(); ++i)
      tensor.floats()[i] = 0.01f * static_cast<float>((i * 7 + name.size() * 3) % 31) - 0.1f;
    tensors_.insert_or_assign(name, std::move(tensor));
  }
  void write() {
    std::vector<tensor::NamedTensor> named;
    for (const auto& [name, tensor] : tensors_) named.push_back({name, tensor.view()});
    ASSERT_TRUE(tensor::write_safetensors(model() / "model.safetensors", named).ok());
    ASSERT_TRUE(base::write_file_atomic(model() / "config.json", config_.dump()).ok());
  }
  fs::path model() const { return folder_ / "model"; }
  Result<engine::Engine> build(BuildReport* report = nullptr, bool dummy = false) {
    write();
    auto device = device::open_device(Target::kCpu).value();
    return build_engine(model(), *device, {.dummy_weights = dummy, .tune = false}, report);
  }
  std::string error() {
    auto engine = build();
    return engine.ok() ? "no error" : engine.error().text();
  }

  Json config_ = {{"architectures", {"LlamaForCausalLM"}},
                  {"hidden_size", 8},
                  {"intermediate_size", 12},
                  {"num_attention_heads", 2},
                  {"num_hidden_layers", 1},
                  {"vocab_size", 20},
                  {"max_position_embeddings", 64}};
  std::map<std::string, Tensor> tensors_;
  fs::path folder_;
};

TEST_F(CheckpointFit, shapes_are_compared_dimension_by_dimension) {
  EXPECT_EQ(error(), "no error");
  for (const Shape& shape : {Shape{12, 8}, Shape{96}, Shape{8, 12, 1}, Shape{4, 24}}) {
    add("model.layers.0.mlp.down_proj.weight", shape);
    EXPECT_THAT(error(),
                HasSubstr(fmt::format("tensor 'model.layers.0.mlp.down_proj.weight' is {}, but "
                                      "config.json makes it [8, 12]",
                                      tensor::shape_text(shape))));
  }
  add("model.layers.0.mlp.down_proj.weight", {12, 8});
  EXPECT_THAT(error(), HasSubstr("it is stored transposed"));
  add("model.layers.0.mlp.down_proj.weight", {8, 12});
  add("model.norm.weight", {1, 8});
  EXPECT_THAT(error(), HasSubstr("tensor 'model.norm.weight' is [1, 8]"));
}

TEST_F(CheckpointFit, gpt2_is_stored_transposed_and_the_other_way_round_is_refused) {
  tensors_.clear();
  config_ = {{"architectures", {"GPT2LMHeadModel"}},
             {"n_embd", 8},
             {"n_layer", 1},
             {"n_head", 2},
             {"n_positions", 16},
             {"vocab_size", 20}};
  add("wte.weight", {20, 8});
  add("wpe.weight", {16, 8});
  for (const char* name : {"h.0.ln_1", "h.0.ln_2", "ln_f"}) {
    add(std::string(name) + ".weight", {8});
    add(std::string(name) + ".bias", {8});
  }
  auto linear = [&](const std::string& name, int64_t in, int64_t out) {
    add(name + ".weight", {in, out});
    add(name + ".bias", {out});
  };
  linear("h.0.attn.c_attn", 8, 24);
  linear("h.0.attn.c_proj", 8, 8);
  linear("h.0.mlp.c_fc", 8, 32);
  linear("h.0.mlp.c_proj", 32, 8);
  EXPECT_EQ(error(), "no error");
  add("h.0.attn.c_attn.weight", {24, 8});
  EXPECT_THAT(error(), HasSubstr("is [24, 8], but config.json makes it [8, 24]"));
}

TEST_F(CheckpointFit, a_head_of_its_own_is_used_although_the_embeddings_are_tied) {
  config_["tie_word_embeddings"] = true;
  auto tied = [&] {
    write();
    models::ModelInfo info = models::read_model(model()).value();
    auto files = tensor::TensorFiles::open(model()).value();
    EXPECT_TRUE(fit_to_tensors(files, info).ok());
    return info.spec.tied_embeddings;
  };
  EXPECT_FALSE(tied());
  tensors_.insert_or_assign("lm_head.weight", tensors_.at("model.embed_tokens.weight"));
  EXPECT_TRUE(tied()) << "a copy";
  // The table in bf16: the same values in another type are a copy, too.
  Tensor rounded = tensors_.at("model.embed_tokens.weight").to(DType::kBF16);
  tensors_.insert_or_assign("model.embed_tokens.weight", rounded);
  tensors_.insert_or_assign("lm_head.weight", rounded.to(DType::kF32));
  EXPECT_TRUE(tied());
  tensors_.at("lm_head.weight").floats()[159] += 1;
  EXPECT_FALSE(tied()) << "one element";
  EXPECT_EQ(error(), "no error");
  tensors_.erase("lm_head.weight");
  EXPECT_TRUE(tied());
  config_["tie_word_embeddings"] = false;
  EXPECT_THAT(error(), HasSubstr("tensor 'lm_head.weight' is not in"));
}

TEST_F(CheckpointFit, tensors_that_nobody_uses_are_counted_and_named) {
  BuildReport report;
  ASSERT_TRUE(build(&report).ok());
  EXPECT_EQ(report.unused_tensors, "");
  add("model.extra", {3});
  ASSERT_TRUE(build(&report).ok());
  EXPECT_EQ(report.unused_tensors, "1 of the checkpoint's tensors are not used: model.extra");
  for (int i = 1; i < 8; ++i) add(fmt::format("model.layers.{}.input_layernorm.weight", i), {8});
  ASSERT_TRUE(build(&report).ok());
  EXPECT_EQ(report.unused_tensors,
            "8 of the checkpoint's tensors are not used: model.extra, "
            "model.layers.1.input_layernorm.weight, model.layers.2.input_layernorm.weight, "
            "model.layers.3.input_layernorm.weight, ...");
}

TEST_F(CheckpointFit, a_weight_of_integers_is_refused_when_the_engine_is_built) {
  tensors_.insert_or_assign("model.norm.weight", Tensor(DType::kI32, {8}));
  EXPECT_THAT(error(), HasSubstr("tensor 'model.norm.weight' is i32"));
}

TEST_F(CheckpointFit, without_a_dtype_in_the_config_it_is_that_of_the_tensors) {
  EXPECT_EQ(build().value().manifest.dtype, DType::kF32);
  for (auto& [name, tensor] : tensors_) tensor = tensor.to(DType::kBF16);
  EXPECT_EQ(build().value().manifest.dtype, DType::kBF16);
  config_["torch_dtype"] = "float32";
  EXPECT_EQ(build().value().manifest.dtype, DType::kF32);
}

TEST_F(CheckpointFit, sizes_that_the_tensors_do_not_have_are_refused_before_anything_is_timed) {
  for (const auto& [key, value] : std::vector<std::pair<const char*, int64_t>>{
           {"num_hidden_layers", 2000},
           {"num_hidden_layers", 1'000'000'000},
           {"head_dim", 65536},
           {"head_dim", (int64_t{1} << 31) - 1},
           {"vocab_size", 1'000'000'000},
           {"hidden_size", (int64_t{1} << 31) - 2},
           {"intermediate_size", (int64_t{1} << 31) - 1}}) {
    const Json config = config_;
    config_[key] = value;
    BuildReport report;
    auto engine = build(&report);
    EXPECT_FALSE(engine.ok()) << key;
    EXPECT_EQ(report.graph, "") << key << ": the passes ran";
    config_ = config;
  }
  EXPECT_EQ(error(), "no error");
}

TEST_F(CheckpointFit, without_tensors_a_weight_must_fit_the_device) {
  config_["vocab_size"] = 2'000'000'000;
  config_["hidden_size"] = 512;
  auto engine = build(nullptr, /*dummy=*/true);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().code, ErrorCode::kOutOfMemory) << engine.error().text();
}

}  // namespace
}  // namespace tokamak::api
