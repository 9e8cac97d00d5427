// SPDX-License-Identifier: Apache-2.0
#include "tokamak/device/cuda/compile.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tokamak/base/file.h"
#include "tokamak/base/hash.h"
#include "tokamak/base/json.h"
#include "tokamak/base/log.h"
#include "tokamak/device/cuda/libraries.h"

namespace tokamak::device::cuda {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> code_options(const KernelSource& source, std::string_view architecture) {
  std::vector<std::string> out = {fmt::format("--gpu-architecture={}", architecture),
                                  "--std=c++20",
                                  "-default-device",
                                  "-DNDEBUG",
                                  "--ptxas-options=-v"};
  out.insert(out.end(), source.options.begin(), source.options.end());
  return out;
}

/// The embedded files that `text` includes, directly or not, by their index in `headers`.
void add_included(std::string_view text,
                  std::span<const EmbeddedFile> headers,
                  std::set<size_t>& out) {
  constexpr std::string_view kInclude = "#include \"";
  for (size_t at = text.find(kInclude); at != std::string_view::npos;
       at = text.find(kInclude, at + 1)) {
    size_t begin = at + kInclude.size(), end = text.find('"', begin);
    if (end == std::string_view::npos) return;
    std::string_view path = text.substr(begin, end - begin);
    for (size_t i = 0; i < headers.size(); ++i) {
      if (headers[i].path == path && out.insert(i).second)
        add_included(headers[i].text, headers, out);
    }
  }
}
std::set<size_t> included(const KernelSource& source) {
  std::set<size_t> out;
  add_included(source.text, source.headers, out);
  return out;
}

class Compilation {
 public:
  Compilation(const abi::Nvrtc& nvrtc, const KernelSource& source)
      : nvrtc_(nvrtc), source_(source) {}
  ~Compilation() {
    if (program_) nvrtc_.nvrtcDestroyProgram(&program_);
  }
  Compilation(const Compilation&) = delete;
  Compilation& operator=(const Compilation&) = delete;

  Result<Cubin> run(std::string_view architecture) {
    TKM_RETURN_IF_ERROR(create());
    std::vector<std::string> options = code_options(source_, architecture);
    // NVRTC's own cache, of 12.9 and later, leaves ptxas's words out of the log.
    if (nvrtc_version() >= 12090) options.push_back("--no-cache");
    std::vector<const char*> pointers;
    for (const std::string& option : options) pointers.push_back(option.c_str());
    int status =
        nvrtc_.nvrtcCompileProgram(program_, static_cast<int>(pointers.size()), pointers.data());
    TKM_ASSIGN(std::string log, read_log());
    if (status != abi::kNvrtcSuccess) {
      if (log.find("invalid value for --gpu-architecture") != std::string::npos)
        return base::unsupported(
            fmt::format("NVRTC {} does not know {}", version_text(nvrtc_version()), architecture));
      return base::internal_error(fmt::format("{}: NVRTC {} does not compile it for {} ({}):\n{}",
                                              source_.name,
                                              version_text(nvrtc_version()),
                                              architecture,
                                              nvrtc_.nvrtcGetErrorString(status),
                                              log));
    }
    Cubin out{.log = parse_compile_log(log)};
    if (out.log.kernels.size() < source_.kernels.size())
      return base::internal_error(fmt::format("{}: the log tells of {} kernels, not {}",
                                              source_.name,
                                              out.log.kernels.size(),
                                              source_.kernels.size()));
    TKM_RETURN_IF_ERROR(check_compile_log(source_, out.log));
    for (const std::string& kernel : source_.kernels) {
      const char* name = nullptr;
      TKM_RETURN_IF_ERROR(check(nvrtc_.nvrtcGetLoweredName(program_, kernel.c_str(), &name),
                                "nvrtcGetLoweredName"));
      out.lowered_names.emplace_back(name);
    }
    size_t bytes = 0;
    TKM_RETURN_IF_ERROR(check(nvrtc_.nvrtcGetCUBINSize(program_, &bytes), "nvrtcGetCUBINSize"));
    out.code.resize(bytes);
    TKM_RETURN_IF_ERROR(check(nvrtc_.nvrtcGetCUBIN(program_, out.code.data()), "nvrtcGetCUBIN"));
    return out;
  }

 private:
  Result<void> create() {
    std::vector<std::string> texts, paths;
    for (size_t i : included(source_)) {
      texts.emplace_back(source_.headers[i].text);
      paths.emplace_back(source_.headers[i].path);
    }
    std::vector<const char*> text_pointers, path_pointers;
    for (size_t i = 0; i < texts.size(); ++i) {
      text_pointers.push_back(texts[i].c_str());
      path_pointers.push_back(paths[i].c_str());
    }
    TKM_RETURN_IF_ERROR(check(nvrtc_.nvrtcCreateProgram(&program_,
                                                        source_.text.c_str(),
                                                        (source_.name + ".cu").c_str(),
                                                        static_cast<int>(texts.size()),
                                                        text_pointers.data(),
                                                        path_pointers.data()),
                              "nvrtcCreateProgram"));
    for (const std::string& kernel : source_.kernels) {
      TKM_RETURN_IF_ERROR(
          check(nvrtc_.nvrtcAddNameExpression(program_, kernel.c_str()), "nvrtcAddNameExpression"));
    }
    return {};
  }

  Result<std::string> read_log() {
    size_t bytes = 0;
    TKM_RETURN_IF_ERROR(
        check(nvrtc_.nvrtcGetProgramLogSize(program_, &bytes), "nvrtcGetProgramLogSize"));
    std::string log(bytes, '\0');
    if (bytes)
      TKM_RETURN_IF_ERROR(
          check(nvrtc_.nvrtcGetProgramLog(program_, log.data()), "nvrtcGetProgramLog"));
    return log;
  }

  Result<void> check(int status, const char* call) const {
    if (status == abi::kNvrtcSuccess) return {};
    return base::internal_error(
        fmt::format("{}: {}: {}", source_.name, call, nvrtc_.nvrtcGetErrorString(status)));
  }

  const abi::Nvrtc& nvrtc_;
  const KernelSource& source_;
  abi::Program program_ = nullptr;
};

Result<Cubin> read_cubin(const fs::path& path) {
  TKM_ASSIGN(std::string content, base::read_file(path, 256 << 20));
  return decode_cubin(content, path.string());
}

}  // namespace

std::string encode_cubin(const Cubin& cubin) {
  Json usage = Json::array();
  for (const KernelUsage& u : cubin.log.kernels)
    usage.push_back({u.kernel, u.registers, u.stack_bytes, u.spill_bytes, u.shared_bytes});
  Json header = {{"names", cubin.lowered_names},
                 {"usage", usage},
                 {"hash", base::hash_text(cubin.code).hex()}};
  return header.dump() + "\n" + cubin.code;
}

Result<Cubin> decode_cubin(std::string_view content, const std::string& origin) {
  auto damaged = [&] { return base::corrupt(fmt::format("{} is damaged", origin)); };
  size_t line = content.find('\n');
  if (line == std::string_view::npos) return damaged();
  TKM_ASSIGN(Json header, base::parse_json(content.substr(0, line), origin));
  Cubin out{.code = std::string(content.substr(line + 1))};
  try {
    if (header.at("hash") != base::hash_text(out.code).hex()) return damaged();
    out.lowered_names = header.at("names").get<std::vector<std::string>>();
    for (const Json& u : header.at("usage"))
      out.log.kernels.push_back({u.at(0).get<std::string>(), u.at(1), u.at(2), u.at(3), u.at(4)});
  } catch (const Json::exception&) {
    return damaged();
  }
  return out;
}

std::string kernel_key(const KernelSource& source, std::string_view architecture) {
  std::string text = fmt::format("{}\n{}\n{}\n{}\n",
                                 fmt::join(code_options(source, architecture), " "),
                                 fmt::join(source.kernels, "\n"),
                                 source.allow_spills,
                                 source.text);
  for (size_t i : included(source))
    text += fmt::format("{}\n{}\n", source.headers[i].path, source.headers[i].text);
  return base::hash_text(text).hex();
}

std::string cubin_key(const KernelSource& source, std::string_view architecture, int version) {
  return base::hash_text(fmt::format("{} {}", version, kernel_key(source, architecture))).hex();
}

Result<Cubin> compile(const KernelSource& source,
                      std::string_view architecture,
                      const fs::path& cache_folder) {
  TKM_ASSIGN(const abi::Nvrtc* calls, nvrtc());
  fs::path file;
  if (!cache_folder.empty()) {
    file =
        cache_folder /
        fmt::format("{}.{}.cubin", source.name, cubin_key(source, architecture, nvrtc_version()));
    std::error_code ignored;
    if (fs::exists(file, ignored)) {
      auto cached = read_cubin(file);
      if (cached.ok() && cached->lowered_names.size() == source.kernels.size()) return cached;
      base::log_warn("{} cannot be used and is made anew", file.string());
    }
  }
  TKM_ASSIGN(Cubin cubin, Compilation(*calls, source).run(architecture));
  if (!file.empty()) {
    auto written = base::make_folders(cache_folder);
    if (written.ok()) written = base::write_file_atomic(file, encode_cubin(cubin));
    if (!written.ok()) base::log_debug("a kernel is not cached: {}", written.error().message);
  }
  return cubin;
}

}  // namespace tokamak::device::cuda
