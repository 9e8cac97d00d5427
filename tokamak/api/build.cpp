// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/build.h"

#include <chrono>
#include <optional>

#include "tokamak/api/checkpoint_fit.h"
#include "tokamak/api/model_folder.h"
#include "tokamak/base/fields.h"
#include "tokamak/base/file.h"
#include "tokamak/base/hash.h"
#include "tokamak/base/log.h"
#include "tokamak/compiler/emit.h"
#include "tokamak/models/families.h"
#include "tokamak/runtime/engine_session.h"
#include "tokamak/runtime/weights.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;

/// `stored` is nothing only where there are no tensors.
Result<DType> engine_dtype(const std::string& asked, std::optional<DType> stored) {
  if (asked == "auto") return stored == DType::kF32 ? DType::kF32 : DType::kBF16;
  auto dtype = tensor::dtype_from_name(asked);
  if (dtype.ok() && (*dtype == DType::kF32 || *dtype == DType::kBF16)) return dtype;
  return base::unsupported(fmt::format("dtype '{}' is not one of auto, bfloat16, float32", asked));
}

std::string spec_text(const models::ModelInfo& info, int64_t num_parameters) {
  const models::DecoderSpec& s = info.spec;
  return fmt::format(
      "family = {}\nparameters = {}\nlayers = {}\nhidden_size = {}\nintermediate_size = "
      "{}\nnum_heads = {}\nnum_kv_heads = {}\nhead_dim = {}\nvocab_size = {}\nmax_positions = "
      "{}\ntied_embeddings = {}\n",
      s.family,
      num_parameters,
      s.layers.size(),
      s.hidden_size,
      s.intermediate_size,
      s.num_heads,
      s.num_kv_heads,
      s.head_dim,
      s.vocab_size,
      s.max_positions,
      s.tied_embeddings);
}

int64_t count_parameters(const ir::Graph& graph) {
  int64_t count = 0;
  for (ir::Value weight : graph.weights())
    count += tensor::num_elements(weight.type().resolve(0, 0));
  return count;
}

}  // namespace

fs::path cache_folder() {
  return base::cache_folder();
}

Result<engine::Engine> build_engine(const fs::path& checkpoint,
                                    device::Device& device,
                                    const BuildOptions& options,
                                    BuildReport* report) {
  auto begin = std::chrono::steady_clock::now();
  BuildReport unused;
  BuildReport& out = report ? *report : unused;
  TKM_ASSIGN(models::ModelInfo info, models::read_model(checkpoint));
  engine::Engine engine;
  std::optional<tensor::TensorFiles> files;
  if (!options.dummy_weights) {
    TKM_ASSIGN(files, tensor::TensorFiles::open(checkpoint));
    TKM_RETURN_IF_ERROR(fit_to_tensors(*files, info));
    engine.manifest.checkpoint_fingerprint = files->fingerprint();
  }
  TKM_ASSIGN(DType dtype, engine_dtype(options.dtype, info.stored_dtype));
  TKM_ASSIGN(auto graph, models::decoder_graph(info.spec, dtype));
  TKM_RETURN_IF_ERROR(files ? check_tensors(*graph, *files) : check_dummy_sizes(*graph, device));
  engine.manifest.num_parameters = count_parameters(*graph);
  out.spec = spec_text(info, engine.manifest.num_parameters);
  out.graph = graph->text();
  TKM_ASSIGN(out.passes,
             compiler::run_pipeline(*graph,
                                    {.target = device.target(),
                                     .disabled = options.disabled_passes,
                                     .record = options.record_passes}));
  fs::path tactic_cache = options.tune ? cache_folder() / "tactics" /
                                             (base::hash_text(device.fingerprint()).hex() + ".json")
                                       : fs::path();
  compiler::Tuner tuner(device, tactic_cache, options.tune);
  TKM_ASSIGN(engine.plan,
             compiler::emit(*graph, info.spec.max_positions, device, tuner, options.progress));
  if (auto saved = tuner.save(); !saved.ok())
    base::log_warn("timings are not kept: {}", saved.error().message);
  if (options.machine_code) {
    TKM_ASSIGN(engine.code, runtime::session_code(engine, device));
  }
  out.tactics_timed = tuner.num_timed();
  out.tactics_from_cache = tuner.num_from_cache();
  out.tactics_unsteady = tuner.num_unsteady();

  engine::Manifest& m = engine.manifest;
  m.family = info.spec.family;
  m.model_name = model_name(checkpoint);
  m.dtype = dtype;
  m.target = base::enum_name(device.target());
  m.fingerprint = device.fingerprint();
  m.checkpoint = fs::absolute(checkpoint).lexically_normal();
  m.dummy_weights = options.dummy_weights;
  m.eos_ids = info.eos_ids;
  m.bos_id = info.bos_id;
  if (files) out.unused_tensors = runtime::unused_tensors(engine.plan, *files);
  out.seconds = m.build_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return engine;
}

fs::path tokenizer_folder(const engine::Engine& engine) {
  return engine.folder.empty() ? engine.manifest.checkpoint : engine.folder;
}

}  // namespace tokamak::api
