// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/floors.h"
#include "tokamak/api/model_folder.h"
#include "tokamak/base/file.h"
#include "tokamak/cli/command.h"
#include "tokamak/cli/plan_text.h"
#include "tokamak/compiler/pipeline.h"

namespace tokamak::cli {
namespace {

struct InspectFlags {
  ModelOptions model;
  SessionFlags session;
  std::string stage = "plan";
  std::string html;
  bool json = false;
};

constexpr std::string_view kAfter = "after:";

bool has_weights(const std::filesystem::path& checkpoint) {
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"}) {
    if (std::filesystem::exists(checkpoint / name)) return true;
  }
  return false;
}

/// Processors do not say their rates; what was timed elsewhere is not held against those here.
Result<void> add_missing_floors(engine::Engine& engine, device::Device& device) {
  if (!device.host_accessible() || engine.manifest.fingerprint != device.fingerprint()) return {};
  return api::add_floors(engine.plan, api::measure_rates(device, engine.manifest.dtype), device);
}

Result<std::string> stage_text(const InspectFlags& flags,
                               api::BuildOptions build,
                               device::Device& device,
                               engine::Engine& engine) {
  bool of_plan = flags.stage == "plan" || flags.stage == "kernels";
  TKM_ASSIGN(const std::filesystem::path model, api::find_model(flags.model.model));
  if (engine::is_engine_folder(model) && of_plan) {
    TKM_ASSIGN(engine, engine::read_engine(model));
  } else if (engine::is_engine_folder(model)) {
    return base::invalid(
        fmt::format("stage '{}' is made while building; an engine folder has plan and kernels",
                    flags.stage),
        "give the checkpoint folder");
  } else {
    if (flags.stage.starts_with(kAfter)) build.record_passes = {flags.stage.substr(kAfter.size())};
    build.tune = build.tune && of_plan;
    build.machine_code = of_plan;
    // A plan can be looked at without weights, but those that are here must be the right ones.
    build.dummy_weights = build.dummy_weights || !of_plan || !has_weights(model);
    api::BuildReport report;
    TKM_ASSIGN(engine, api::build_engine(model, device, build, &report));
    if (flags.stage == "spec") return report.spec;
    if (flags.stage == "graph") return report.graph;
    if (flags.stage == "passes") return report.passes.summary();
    if (flags.stage.starts_with(kAfter))
      return report.passes.find(flags.stage.substr(kAfter.size()))->text;
  }
  TKM_ASSIGN(runtime::SessionPlan planned,
             runtime::plan_session(engine, device, flags.session.options));
  if (!flags.html.empty() || flags.stage == "kernels")
    TKM_RETURN_IF_ERROR(add_missing_floors(engine, device));
  if (!flags.html.empty())
    TKM_RETURN_IF_ERROR(base::write_file_atomic(flags.html, plan_html(engine, planned)));
  if (flags.json) return engine.plan.to_json().dump(1) + "\n";
  return flags.stage == "kernels" ? kernels_text(engine.plan) : plan_text(engine, planned);
}

Result<int> run_inspect(const InspectFlags& flags) {
  bool known = flags.stage.starts_with(kAfter);
  for (std::string_view stage : {"spec", "graph", "passes", "plan", "kernels"})
    known = known || flags.stage == stage;
  if (!known)
    return base::invalid(fmt::format(
        "stage '{}' is not one of spec, graph, passes, after:<pass>, plan, kernels", flags.stage));
  TKM_ASSIGN(api::BuildOptions build, flags.model.build_options());
  TKM_ASSIGN(const std::filesystem::path model, api::find_model(flags.model.model));
  // An engine is read, not run: a machine that lacks its device shows it, too.
  if (engine::is_engine_folder(model) && !flags.model.without_gpu &&
      !device::open_device(build.target, 1).ok())
    build.target = Target::kCpu;
  TKM_ASSIGN(auto device, flags.model.open_device(build));
  engine::Engine engine;
  TKM_ASSIGN(std::string text, stage_text(flags, std::move(build), *device, engine));
  print(text);
  return 0;
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* verb =
      add_verb(app, "inspect", "Print what a model becomes on its way to an engine", [flags] {
        return run_inspect(*flags);
      });
  flags->model.add_to(*verb);
  flags->model.add_without_gpu(*verb);
  flags->session.add_to(*verb);
  verb->add_option("--stage",
                   flags->stage,
                   "spec, graph, passes, after:<pass>, plan (steps, tactics, byte table) or "
                   "kernels (tactics by token bucket)")
      ->capture_default_str();
  verb->add_option(
      "--html", flags->html, "Also draw the plan into this file (stages plan and kernels)");
  verb->add_flag("--json", flags->json, "Print the plan as JSON");
  add_examples(*verb,
               {"tokamak inspect models/storyteller --stage kernels",
                "tokamak inspect models/storyteller --html plan.html"});
}

}  // namespace tokamak::cli
