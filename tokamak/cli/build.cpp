// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/model_folder.h"
#include "tokamak/cli/command.h"

namespace tokamak::cli {
namespace {

struct BuildFlags {
  ModelOptions model;
  std::string output;
  bool bundle = false;
  bool hash_weights = true;
  bool json = false;
};

Result<int> run_build(const BuildFlags& flags) {
  TKM_ASSIGN(api::BuildOptions build, flags.model.build_options());
  TKM_ASSIGN(std::shared_ptr<device::Device> device, flags.model.open_device(build));
  api::BuildReport report;
  TKM_ASSIGN(const std::filesystem::path model, api::find_model(flags.model.model));
  TKM_ASSIGN(engine::Engine engine, api::build_engine(model, *device, build, &report));
  TKM_RETURN_IF_ERROR(
      api::save_engine(engine, flags.output, flags.bundle, build.progress, flags.hash_weights));
  if (flags.json) {
    Json json = {{"engine", flags.output},
                 {"family", engine.manifest.family},
                 {"dtype", tensor::dtype_name(engine.manifest.dtype)},
                 {"parameters", engine.manifest.num_parameters},
                 {"steps", engine.plan.steps.size()},
                 {"tactics_timed", report.tactics_timed},
                 {"tactics_from_cache", report.tactics_from_cache},
                 {"tactics_unsteady", report.tactics_unsteady},
                 {"kernels", engine.code.size()},
                 {"kernel_bytes", engine.code_bytes()},
                 {"unused_tensors", report.unused_tensors},
                 {"seconds", report.seconds}};
    print(json.dump(1) + "\n");
    return 0;
  }
  print(fmt::format(
      "{}: {} with {:.1f} M parameters in {}, {} steps, {} tactics timed ({} known), {:.2f} s\n",
      flags.output,
      engine.manifest.family,
      static_cast<double>(engine.manifest.num_parameters) / 1e6,
      tensor::dtype_name(engine.manifest.dtype),
      engine.plan.steps.size(),
      report.tactics_timed,
      report.tactics_from_cache,
      report.seconds));
  if (report.tactics_unsteady > 0)
    print(
        fmt::format("{} timings differed by more than 20 %, also when taken again: the machine is "
                    "busy (`tokamak doctor`); the next build takes them anew\n",
                    report.tactics_unsteady));
  if (!report.unused_tensors.empty()) print(report.unused_tensors + "\n");
  if (!engine.code.empty())
    print(fmt::format(
        "{} kernels compiled, {}\n", engine.code.size(), engine::bytes_text(engine.code_bytes())));
  if (!device->can_run())
    print(
        "No GPU timed the tactics: each is the first guess for an H200. Build again where the GPU "
        "is for best speed.\n");
  return 0;
}

}  // namespace

void add_build(CLI::App& app) {
  auto flags = std::make_shared<BuildFlags>();
  CLI::App* verb = add_verb(app, "build", "Build an engine folder from a checkpoint", [flags] {
    return run_build(*flags);
  });
  verb->add_option(
          "-o,--output", flags->output, "Folder of the engine; created, or replaced file by file")
      ->required();
  verb->add_flag(
      "--bundle", flags->bundle, "Copy the weights into the engine, so that the folder can move");
  verb->add_flag("!--no-hash-weights",
                 flags->hash_weights,
                 "Do not read the weights to keep hashes of their content, which loading compares");
  verb->add_flag("--json", flags->json, "Print the report as JSON");
  flags->model.add_to(*verb);
  flags->model.add_without_gpu(*verb);
  verb->footer(
      "Batching, sequence limits, sampling and the size of the cache are not fixed here: they are "
      "run-time settings.");
  add_examples(*verb, {"tokamak build models/storyteller -o storyteller.engine --bundle"});
}

}  // namespace tokamak::cli
