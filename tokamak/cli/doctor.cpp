// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include <sys/statvfs.h>
#include <unistd.h>

#include "tokamak/api/bench.h"
#include "tokamak/base/file.h"
#include "tokamak/cli/command.h"
#include "tokamak/cli/finding.h"
#include "tokamak/cli/version.h"
#include "tokamak/device/cpu/isa.h"
#include "tokamak/device/cuda/libraries.h"

namespace tokamak::cli {
namespace {

struct DoctorFlags {
  bool json = false;
  bool skip_measuring = false;
};

Finding check_processor() {
  const device::CpuInfo& cpu = device::cpu_info();
  std::string what = fmt::format("processor: {}, {} usable, best instructions {}",
                                 cpu.model,
                                 base::available_processors(),
                                 cpu.isa());
  if (!cpu.avx2)
    return {
        Finding::kProblem, what, "without AVX2 and FMA everything runs, but several times slower"};
  if (!cpu.avx512_bf16)
    return {Finding::kNote,
            what,
            "no bfloat16 instructions: bfloat16 weights save memory and bandwidth, prompts are "
            "computed at the speed of float32"};
  return {Finding::kOk, what, ""};
}

Finding check_load() {
  double load = 0;
  if (::getloadavg(&load, 1) != 1) return {Finding::kOk, "machine: its load is not known", ""};
  return processors_in_use(load, static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)));
}

Finding check_memory(device::Device& device) {
  return {device.free_bytes() < (int64_t{2} << 30) ? Finding::kNote : Finding::kOk,
          fmt::format("memory: {} free", engine::bytes_text(device.free_bytes())),
          device.free_bytes() < (int64_t{2} << 30)
              ? "models of more than a billion parameters will not fit"
              : ""};
}

Finding check_huge_pages() {
  auto setting = base::read_file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string text = setting.ok() ? *setting : "unknown";
  bool off = text.find("[never]") != std::string::npos;
  size_t open = text.find('['), close = text.find(']');
  if (open != std::string::npos && close != std::string::npos)
    text = text.substr(open + 1, close - open - 1);
  return {off ? Finding::kNote : Finding::kOk,
          "transparent huge pages: " + text,
          off ? "decoding is faster with them: echo madvise > "
                "/sys/kernel/mm/transparent_hugepage/enabled"
              : ""};
}

Finding check_cache() {
  std::filesystem::path folder = api::cache_folder();
  std::string what = fmt::format("cache: {}", folder.string());
  auto made = base::make_folders(folder);
  if (made.ok()) made = base::write_file_atomic(folder / ".probe", "probe");
  if (!made.ok())
    return {Finding::kProblem,
            what,
            made.error().message + "; set TOKAMAK_CACHE_DIR to a folder that can be written"};
  std::filesystem::remove(folder / ".probe");
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) == 0) {
    int64_t free = static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
    what += fmt::format(" ({} free)", engine::bytes_text(free));
    if (free < (int64_t{100} << 20)) return {Finding::kNote, what, "little space is left"};
  }
  return {Finding::kOk, what, ""};
}

Finding missing(Finding::Level level, const Error& error) {
  return {level, error.message, error.hint};
}

/// What the cuda target needs, in the order in which it is needed. Without a GPU that is no
/// problem.
std::vector<Finding> check_gpu() {
  namespace cuda = device::cuda;
  auto load = cuda::gpu_load();  // Before this process uses it, too.
  auto gpu = device::open_device(Target::kCuda);
  if (!gpu.ok()) return {missing(Finding::kNote, gpu.error())};
  std::vector<Finding> findings = {
      load.ok() ? gpu_in_use(*load) : missing(Finding::kOk, load.error()),
      {Finding::kOk,
       fmt::format("GPU: {}, {} free, driver for CUDA {}",
                   (*gpu)->fingerprint(),
                   engine::bytes_text((*gpu)->free_bytes()),
                   cuda::version_text(cuda::driver_version())),
       ""}};
  if (auto nvrtc = cuda::nvrtc(); nvrtc.ok())
    findings.push_back(
        {Finding::kOk,
         fmt::format("kernel compiler: NVRTC {}", cuda::version_text(cuda::nvrtc_version())),
         ""});
  else
    findings.push_back(missing(Finding::kProblem, nvrtc.error()));
  if (auto blas = cuda::cublas_lt(); blas.ok())
    findings.push_back(
        {Finding::kOk, fmt::format("cuBLASLt {}", (*blas)->cublasLtGetVersion()), ""});
  else
    findings.push_back(missing(Finding::kNote, blas.error()));
  return findings;
}

Result<int> run_doctor(const DoctorFlags& flags) {
  TKM_ASSIGN(auto device, device::open_device(Target::kCpu));
  std::vector<Finding> findings = {{Finding::kOk, version_text(), ""},
                                   check_processor(),
                                   check_load(),
                                   check_memory(*device),
                                   check_huge_pages(),
                                   check_cache()};
  std::vector<Finding> of_gpu = check_gpu();
  findings.insert(findings.end(), of_gpu.begin(), of_gpu.end());
  if (!flags.skip_measuring) {
    const double bandwidth = api::measure_read_bandwidth(*device);
    findings.push_back(
        {Finding::kOk,
         fmt::format("memory bandwidth: {:.1f} GB/s read by {} threads (a bfloat16 model of n "
                     "billion parameters decodes at most {:.0f}/n tokens/s)",
                     bandwidth / 1e9,
                     device->pool().num_threads(),
                     bandwidth / 2e9),
         ""});
  }
  bool problem = false;
  Json json = Json::array();
  for (const Finding& finding : findings) {
    constexpr const char* kMarks[] = {"ok     ", "note   ", "problem"};
    problem = problem || finding.level == Finding::kProblem;
    json.push_back({{"level",
                     std::string(kMarks[finding.level])
                         .substr(0, std::string(kMarks[finding.level]).find(' '))},
                    {"what", finding.what},
                    {"advice", finding.advice}});
    if (!flags.json)
      print(fmt::format("{}  {}\n{}",
                        kMarks[finding.level],
                        finding.what,
                        finding.advice.empty() ? "" : "         -> " + finding.advice + "\n"));
  }
  if (flags.json) print(json.dump(1) + "\n");
  return problem ? 1 : 0;
}

}  // namespace

void add_doctor(CLI::App& app) {
  auto flags = std::make_shared<DoctorFlags>();
  CLI::App* verb =
      add_verb(app, "doctor", "Say what machine this is, what is missing and what to do", [flags] {
        return run_doctor(*flags);
      });
  verb->add_flag("--no-measure",
                 flags->skip_measuring,
                 "Do not measure the memory bandwidth (takes a second)");
  verb->add_flag("--json", flags->json, "Print the findings as JSON");
  verb->footer("Exit status 1 if there is a problem that keeps models from running well.");
  add_examples(*verb, {"tokamak doctor"});
}

}  // namespace tokamak::cli
