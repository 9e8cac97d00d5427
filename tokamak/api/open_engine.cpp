// SPDX-License-Identifier: Apache-2.0
// From the name of a model to its engine: a folder that was built, or the cache.
#include <random>

#include <fcntl.h>
#include <stdio.h>

#include "tokamak/api/build.h"
#include "tokamak/api/checkpoint_text.h"
#include "tokamak/api/model_folder.h"
#include "tokamak/base/fields.h"
#include "tokamak/base/file.h"
#include "tokamak/base/hash.h"
#include "tokamak/base/log.h"
#include "tokamak/kernels/kernel.h"

namespace tokamak::api {
namespace {

namespace fs = std::filesystem;

constexpr int kBuildVersion =
    3;  // Counts changes of passes or emission that make cached engines stale.

/// Of a folder in the making, which no key is like.
constexpr std::string_view kUnfinished = "unfinished-";
constexpr auto kAbandoned = std::chrono::hours(1);

/// What asks for another engine than the folder holds.
Result<void> check_options(const engine::Manifest& manifest,
                           const std::string& folder,
                           const BuildOptions& options) {
  std::string asked;
  if (options.dtype != "auto") {
    TKM_ASSIGN(const DType dtype, tensor::dtype_from_name(options.dtype));
    if (dtype != manifest.dtype) asked = fmt::format("dtype {}", options.dtype);
  }
  if (options.dummy_weights && !manifest.dummy_weights) asked = "dummy weights";
  if (!options.disabled_passes.empty()) asked = "passes left out";
  if (asked.empty()) return {};
  return base::unsupported(fmt::format("{} is an engine, built as {}{}; {} cannot be had from it",
                                       folder,
                                       tensor::dtype_name(manifest.dtype),
                                       manifest.dummy_weights ? " with dummy weights" : "",
                                       asked),
                           "give the checkpoint folder");
}

/// The checkpoint that an engine takes its weights from may have become another model.
void warn_of_changes(const engine::Manifest& manifest, const std::string& folder) {
  const auto config = base::read_file(manifest.checkpoint / "config.json", 16 << 20);
  if (config.ok() && base::hash_text(*config).hex() != manifest.config_hash)
    base::log_warn(
        "{} was changed since the engine {} was built from it: the engine is what it was then",
        (manifest.checkpoint / "config.json").string(),
        folder);
}

Result<engine::Engine> open_folder(const fs::path& folder,
                                   const device::Device& device,
                                   const BuildOptions& options) {
  TKM_ASSIGN(engine::Engine engine, engine::read_engine(folder));
  TKM_RETURN_IF_ERROR(check_text_files(engine));
  const engine::Manifest& m = engine.manifest;
  TKM_RETURN_IF_ERROR(check_options(m, folder.string(), options));
  if (m.dummy_weights)
    base::log_warn("{} was built with dummy weights: its answers mean nothing", folder.string());
  if (m.target != base::enum_name(device.target())) {
    return base::unsupported(fmt::format("{} was built for the {} target, not {}",
                                         folder.string(),
                                         m.target,
                                         base::enum_name(device.target())));
  }
  if (m.fingerprint != device.fingerprint()) {
    base::log_warn("{} was tuned on '{}', this is '{}': build it again for best speed",
                   folder.string(),
                   m.fingerprint,
                   device.fingerprint());
  }
  bool by_reference = !m.bundled && !m.dummy_weights;
  if (by_reference) warn_of_changes(m, folder.string());
  if (by_reference && engine.weight_hashes.empty() &&
      m.weights_stamp != engine::weights_stamp(m.checkpoint)) {
    base::log_warn(
        "the weights in {} were written or exchanged since {} was built, which has no hashes of "
        "them: what is in them is not compared",
        m.checkpoint.string(),
        folder.string());
  }
  return engine;
}

/// What a checkpoint is when its engine is looked for.
struct Identity {
  CheckpointText text;
  std::string weights_stamp;
  std::string key;
};

Result<Identity> identity_of(const fs::path& checkpoint,
                             const device::Device& device,
                             const BuildOptions& options) {
  Identity out;
  TKM_ASSIGN(out.text, checkpoint_text(checkpoint));
  if (!options.dummy_weights) out.weights_stamp = engine::weights_stamp(checkpoint);
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
  out.key = base::hash_text(text + "\n" + out.text.text()).hex();
  return out;
}

/// A cached engine is of use if it was built for this key, and its checkpoint is still the one that
/// it was built from.
bool is_current(const engine::Engine& engine, const Identity& identity) {
  const engine::Manifest& m = engine.manifest;
  return m.cache_key == identity.key && has_text(m, identity.text) &&
         check_text_files(engine).ok() && m.weights_stamp == identity.weights_stamp &&
         (m.dummy_weights || engine::open_weights(engine).ok());
}

/// What was killed while it wrote; nobody else's is that old.
void remove_abandoned(const fs::path& engines) {
  std::error_code ignored;
  const auto now = fs::file_time_type::clock::now();
  for (fs::directory_iterator it(engines, ignored), end; it != end; it.increment(ignored)) {
    if (!it->path().filename().string().starts_with(kUnfinished)) continue;
    auto written = fs::last_write_time(it->path(), ignored);
    if (!ignored && now - written > kAbandoned) fs::remove_all(it->path(), ignored);
  }
}

fs::path unfinished_folder(const fs::path& engines) {
  std::random_device random;
  return engines / fmt::format("{}{:08x}{:08x}", kUnfinished, random(), random());
}

/// Gives a finished folder its name, in one step also where there is another: who reads sees one or
/// the other. The folder of that name is then at `finished`, if there was one.
Result<void> put_in_place(const fs::path& finished, const fs::path& folder) {
  if (::rename(finished.c_str(), folder.c_str()) == 0) return {};
  if (::renameat2(AT_FDCWD, finished.c_str(), AT_FDCWD, folder.c_str(), RENAME_EXCHANGE) == 0)
    return {};
  // File systems that cannot exchange.
  fs::path aside = unfinished_folder(folder.parent_path());
  if (::rename(folder.c_str(), aside.c_str()) == 0 &&
      ::rename(finished.c_str(), folder.c_str()) == 0 &&
      ::rename(aside.c_str(), finished.c_str()) == 0)
    return {};
  return base::io_error(fmt::format(
      "cannot rename {} to {}: {}", finished.string(), folder.string(), std::strerror(errno)));
}

/// Writes the engine into the cache. Of two processes that build the same one the first to be done
/// is kept: the other may be reading it already.
Result<void> cache_engine(engine::Engine& engine,
                          const fs::path& folder,
                          const Identity& identity) {
  const fs::path engines = folder.parent_path(), unfinished = unfinished_folder(engines);
  TKM_RETURN_IF_ERROR(base::make_folders(engines));
  remove_abandoned(engines);
  engine.manifest.cache_key = identity.key;
  engine.manifest.weights_stamp = identity.weights_stamp;
  auto saved = save_engine(engine, unfinished, /*bundle=*/false, {}, /*hash_weights=*/false);
  if (saved.ok()) {
    auto other = engine::read_engine(folder);
    if (!other.ok() || !is_current(*other, identity)) saved = put_in_place(unfinished, folder);
  }
  std::error_code ignored;
  fs::remove_all(unfinished, ignored);
  engine.folder = folder;
  return saved;
}

}  // namespace

Result<device::TargetChoice> choose_target(const fs::path& named) {
  TKM_ASSIGN(const fs::path model, find_model(named));
  if (!engine::is_engine_folder(model)) return device::choose_target();
  TKM_ASSIGN(const engine::Manifest manifest, engine::read_manifest(model));
  TKM_ASSIGN(const Target target, base::enum_from_name<Target>(manifest.target, "target"));
  return device::TargetChoice{target, "the engine was built for it"};
}

Result<engine::Engine> open_engine(const fs::path& named,
                                   device::Device& device,
                                   const BuildOptions& options,
                                   BuildReport* report) {
  TKM_ASSIGN(const fs::path model, find_model(named));
  if (engine::is_engine_folder(model)) return open_folder(model, device, options);
  TKM_ASSIGN(Identity identity, identity_of(model, device, options));
  fs::path folder = cache_folder() / "engines" / identity.key;
  if (engine::is_engine_folder(folder)) {
    auto cached = engine::read_engine(folder);
    if (cached.ok() && is_current(*cached, identity)) return cached;
    base::log_info("the cached engine {} is stale and is built anew", folder.string());
  }
  TKM_ASSIGN(engine::Engine engine, build_engine(model, device, options, report));
  // A cache that cannot be written costs the next start some seconds, not this one its answer.
  if (auto saved = cache_engine(engine, folder, identity); !saved.ok()) {
    base::log_warn("the engine is not cached: {}", saved.error().message);
    engine.folder.clear();
  }
  return engine;
}

}  // namespace tokamak::api
