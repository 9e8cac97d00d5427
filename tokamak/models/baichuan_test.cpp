// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/golden_test.h"

namespace tokamak::models {
namespace {

/// Rows of several tensors, one below the other.
Tensor stack(const std::vector<Tensor>& parts) {
  int64_t rows = 0, columns = parts[0].shape()[1];
  for (const Tensor& part : parts) rows += part.shape()[0];
  Tensor out(DType::kF32, {rows, columns});
  auto to = out.floats().begin();
  for (const Tensor& part : parts) to = std::copy(part.floats().begin(), part.floats().end(), to);
  return out;
}

/// The head that, once its rows are normalized, gives the logits of `head`: impossible in general,
/// so the reference's logits are divided by the norms of the rows instead.
std::vector<double> row_norms(const Tensor& head) {
  std::vector<double> norms;
  size_t columns = static_cast<size_t>(head.shape()[1]);
  for (size_t begin = 0; begin < head.floats().size(); begin += columns) {
    double sum = 0;
    for (float value : head.floats().subspan(begin, columns))
      sum += static_cast<double>(value) * value;
    norms.push_back(std::sqrt(sum));
  }
  return norms;
}

TEST(Baichuan, a_llama_in_its_layout_gives_llamas_logits_over_the_norms_of_the_heads_rows) {
  TKM_NEED_TEST_DATA();
  std::filesystem::path folder = test_data() / "goldens" / "llama2";
  ModelInfo info = read_model(Json{{"architectures", {"BaichuanForCausalLM"}},
                                   {"hidden_size", 64},
                                   {"intermediate_size", 160},
                                   {"max_position_embeddings", 512},
                                   {"model_max_length", 512},
                                   {"num_attention_heads", 4},
                                   {"num_hidden_layers", 2},
                                   {"rms_norm_eps", 1e-6},
                                   {"vocab_size", 512},
                                   {"z_loss_weight", 0},
                                   {"hidden_act", "silu"}})
                       .value();
  EXPECT_EQ(info.spec.num_kv_heads, 4);
  ir::TensorMap weights =
      load_floats(tensor::TensorFiles::open(folder / "model.safetensors").value());
  for (int layer = 0; layer < 2; ++layer) {
    std::string prefix = fmt::format("model.layers.{}.self_attn.", layer);
    weights[prefix + "W_pack.weight"] = stack({weights.at(prefix + "q_proj.weight"),
                                               weights.at(prefix + "k_proj.weight"),
                                               weights.at(prefix + "v_proj.weight")});
    for (const char* name : {"q_proj.weight", "k_proj.weight", "v_proj.weight"})
      weights.erase(prefix + name);
  }
  auto golden = tensor::TensorFiles::open(folder / "golden.safetensors").value();
  std::vector<double> norms = row_norms(weights.at("lm_head.weight"));
  TensorView logits = golden.find("prompt1.logits").value();
  Tensor scaled(DType::kF32, logits.shape);
  for (size_t i = 0; i < scaled.floats().size(); ++i)
    scaled.floats()[i] = static_cast<float>(logits.as<float>()[i] / norms[i % norms.size()]);
  std::filesystem::path file =
      std::filesystem::temp_directory_path() / "tokamak_baichuan_golden.safetensors";
  std::vector<tensor::NamedTensor> tensors = {
      {"p.input_ids", golden.find("prompt1.input_ids").value()}, {"p.logits", scaled.view()}};
  ASSERT_TRUE(tensor::write_safetensors(file, tensors).ok());
  EXPECT_LT(golden_error(info, weights, tensor::TensorFiles::open(file).value(), "p"), 1e-5);
  std::filesystem::remove(file);
}

TEST(Baichuan, the_13b_model_is_refused_by_name) {
  Json config = {{"architectures", {"BaichuanForCausalLM"}},
                 {"hidden_size", 5120},
                 {"intermediate_size", 13696},
                 {"num_attention_heads", 40},
                 {"num_hidden_layers", 40},
                 {"max_position_embeddings", 4096},
                 {"vocab_size", 125696}};
  EXPECT_EQ(read_model(config).error().message,
            "config.json: Baichuan 13B uses ALiBi positions, which are not supported");
}

}  // namespace
}  // namespace tokamak::models
