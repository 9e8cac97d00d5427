// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/build.h"

#include <chrono>

#include "tokamak/base/fields.h"
#include "tokamak/base/file.h"
#include "tokamak/base/hash.h"
#include "tokamak/base/log.h"
#include "tokamak/compiler/emit.h"
#include "tokamak/models/families.h"
#include "tokamak/runtime/engine_session.h"
#include "tokamak/text/files.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;

constexpr int kBuildVersion =
    2;  // Counts changes of passes or emission that make cached engines stale.

Result<DType> engine_dtype(const std::string& asked, DType stored) {
  if (asked == "auto") return stored == DType::kF16 ? DType::kBF16 : stored;
  auto dtype = tensor::dtype_from_name(asked);
  if (dtype.ok() && (*dtype == DType::kF32 || *dtype == DType::kBF16)) return dtype;
  return base::unsupported(fmt::format("dtype '{}' is not one of auto, bfloat16, float32", asked));
}

/// Each part of each weight is in the checkpoint with the size that the plan wants.
Result<void> check_tensors(const engine::Plan& plan, const tensor::TensorFiles& files) {
  for (const engine::PlanWeight& weight : plan.weights) {
    const TensorType& type = plan.values[static_cast<size_t>(weight.value)].type;
    int64_t columns = type.rank() == 2 ? type.columns() : 1;
    for (const engine::PlanWeightPart& part : weight.parts) {
      std::string name = part.tensor;
      if (size_t dot = name.find('.');
          !files.contains(name) && dot != std::string::npos && files.contains(name.substr(dot + 1)))
        name = name.substr(dot + 1);
      TKM_ASSIGN(TensorView view, files.find(name));
      if (view.count() != part.rows * columns) {
        return base::corrupt(fmt::format("{}: tensor '{}' is {}, but config.json makes it {} by {}",
                                         files.file_of(name),
                                         part.tensor,
                                         tensor::shape_text(view.shape),
                                         part.rows,
                                         columns));
      }
    }
  }
  return {};
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

Result<void> copy_whole_file(const fs::path& from, const fs::path& to) {
  TKM_ASSIGN(base::MappedFile file, base::MappedFile::open(from));
  return base::write_file_atomic(
      to, {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
}

std::string cache_key(const fs::path& checkpoint,
                      const std::string& config,
                      const device::Device& device,
                      const BuildOptions& options) {
  std::string text = fmt::format("{} {} {} {} {} {} {}",
                                 kBuildVersion,
                                 engine::kFormatVersion,
                                 device.fingerprint(),
                                 options.dtype,
                                 options.dummy_weights,
                                 options.tune,
                                 fs::absolute(checkpoint).string());
  for (const std::string& pass : options.disabled_passes) text += " -" + pass;
  for (const kernels::Tactic* tactic : kernels::all_tactics())
    text += fmt::format(" {}{}", tactic->name, tactic->version);
  return base::hash_text(text + config).hex();
}

/// A cached engine is of use if its checkpoint is still the one it was built from.
bool is_current(const engine::Engine& engine) {
  return engine.manifest.dummy_weights || engine::open_weights(engine).ok();
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
  TKM_ASSIGN(DType dtype, engine_dtype(options.dtype, info.stored_dtype));
  TKM_ASSIGN(auto graph, models::decoder_graph(info.spec, dtype));
  engine::Engine engine;
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

  engine::Manifest& m = engine.manifest;
  m.family = info.spec.family;
  m.model_name = fs::absolute(checkpoint).lexically_normal().filename().string();
  if (m.model_name.empty())
    m.model_name = fs::absolute(checkpoint).lexically_normal().parent_path().filename().string();
  m.dtype = dtype;
  m.target = base::enum_name(device.target());
  m.fingerprint = device.fingerprint();
  m.checkpoint = fs::absolute(checkpoint).lexically_normal();
  m.dummy_weights = options.dummy_weights;
  m.eos_ids = info.eos_ids;
  m.bos_id = info.bos_id;
  if (!options.dummy_weights) {
    TKM_ASSIGN(tensor::TensorFiles files, tensor::TensorFiles::open(checkpoint));
    TKM_RETURN_IF_ERROR(check_tensors(engine.plan, files));
    m.checkpoint_fingerprint = files.fingerprint();
  }
  out.seconds = m.build_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return engine;
}

Result<void> save_engine(engine::Engine& engine,
                         const fs::path& output,
                         bool bundle,
                         const base::Progress& progress) {
  TKM_RETURN_IF_ERROR(base::make_folders(output));
  for (const fs::path& name : text::text_files(engine.manifest.checkpoint)) {
    TKM_RETURN_IF_ERROR(base::make_folders((output / name).parent_path()));
    TKM_RETURN_IF_ERROR(copy_whole_file(engine.manifest.checkpoint / name, output / name));
  }
  if (bundle && !engine.manifest.dummy_weights) {
    TKM_ASSIGN(tensor::TensorFiles files, engine::open_weights(engine));
    TKM_RETURN_IF_ERROR(base::make_folders(output / "weights"));
    std::vector<fs::path> names;
    for (const base::MappedFile& file : files.files()) names.push_back(file.path());
    if (fs::path index = engine.manifest.checkpoint / "model.safetensors.index.json";
        fs::exists(index))
      names.push_back(index);
    for (size_t i = 0; i < names.size(); ++i) {
      TKM_RETURN_IF_ERROR(copy_whole_file(names[i], output / "weights" / names[i].filename()));
      base::report(progress,
                   "bundling weights",
                   static_cast<int64_t>(i) + 1,
                   static_cast<int64_t>(names.size()));
    }
    engine.manifest.checkpoint = "weights";
    engine.manifest.bundled = true;
  }
  engine.folder = output;
  return engine::write_engine(engine);
}

Result<engine::Engine> open_engine(const fs::path& model,
                                   device::Device& device,
                                   const BuildOptions& options,
                                   BuildReport* report) {
  if (!fs::exists(model))
    return base::not_found(fmt::format("{} does not exist", model.string()),
                           "give a checkpoint folder (with config.json) or an engine folder");
  if (engine::is_engine_folder(model)) {
    TKM_ASSIGN(engine::Engine engine, engine::read_engine(model));
    if (engine.manifest.target != base::enum_name(device.target())) {
      return base::unsupported(fmt::format("{} was built for the {} target, not {}",
                                           model.string(),
                                           engine.manifest.target,
                                           base::enum_name(device.target())));
    }
    if (engine.manifest.fingerprint != device.fingerprint()) {
      base::log_warn("{} was tuned on '{}', this is '{}': build it again for best speed",
                     model.string(),
                     engine.manifest.fingerprint,
                     device.fingerprint());
    }
    return engine;
  }
  TKM_ASSIGN(std::string config, base::read_file(model / "config.json", 16 << 20));
  if (fs::exists(model / "generation_config.json")) {
    TKM_ASSIGN(std::string generation, base::read_file(model / "generation_config.json", 16 << 20));
    config += generation;
  }
  fs::path folder = cache_folder() / "engines" / cache_key(model, config, device, options);
  if (engine::is_engine_folder(folder)) {
    auto cached = engine::read_engine(folder);
    if (cached.ok() && is_current(*cached)) return cached;
    base::log_info("the cached engine {} is stale and is built anew", folder.string());
  }
  TKM_ASSIGN(engine::Engine engine, build_engine(model, device, options, report));
  // A cache that cannot be written costs the next start some seconds, not this one its answer.
  if (auto saved = save_engine(engine, folder, false); !saved.ok()) {
    base::log_warn("the engine is not cached: {}", saved.error().message);
    engine.folder.clear();
  }
  return engine;
}

fs::path tokenizer_folder(const engine::Engine& engine) {
  return engine.folder.empty() ? engine.manifest.checkpoint : engine.folder;
}

}  // namespace tokamak::api
