// SPDX-License-Identifier: Apache-2.0
// From device source to machine code: NVRTC in this process, its log held against our rules, its
// results cached on disk by content.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/result.h"

namespace tokamak::device::cuda {

/// A file of device code that is built into the program; `path` is what #include names.
struct EmbeddedFile {
  std::string_view path, text;
};

/// What to compile: a few lines that include embedded files, and the kernels wanted from them.
struct KernelSource {
  std::string name;                  ///< In errors and in the cache: "matmul_cuda_stream".
  std::string text;                  ///< The main file: `#include "gemm/matmul_cuda_stream.cuh"`.
  std::vector<std::string> kernels;  ///< Name expressions: "tkm::stream<tkm::StreamConfig{4, 2}>".
  std::vector<std::string> options;  ///< Beyond the standard ones: "--use_fast_math".
  std::span<const EmbeddedFile> headers;
  /// Registers go to memory where the kernel's author measured that it pays; else a spill is an
  /// error.
  bool allow_spills = false;
  /// The module stays loaded as long as its device, for kernels that are asked for again and again.
  bool keep_loaded = false;
};

/// What ptxas said of one kernel.
struct KernelUsage {
  std::string kernel;  ///< Its lowered name.
  int registers = 0, stack_bytes = 0, spill_bytes = 0, shared_bytes = 0;
};

/// The log of a compilation, parsed.
struct CompileLog {
  std::vector<KernelUsage> kernels;
  std::vector<std::string> serialized;  ///< Warnings that wgmma lost its asynchrony (C7508..).
  std::vector<std::string> warnings;    ///< Others.
};
CompileLog parse_compile_log(std::string_view log);
/// Errors: unsupported, naming the kernel and its spills, stack frame or serialised instructions.
Result<void> check_compile_log(const KernelSource& source, const CompileLog& log);

/// Machine code for one architecture.
struct Cubin {
  std::string code;
  std::vector<std::string> lowered_names;  ///< Of KernelSource::kernels, in order.
  CompileLog log;
};

/// Compiles for `architecture` ("sm_90a") with NVRTC, or takes the result from `cache_folder`
/// (empty: no cache). Any thread. Errors: unsupported (no NVRTC here; a log that breaks the rules),
/// internal (the compiler's message: a mistake in our source).
Result<Cubin> compile(const KernelSource& source,
                      std::string_view architecture,
                      const std::filesystem::path& cache_folder);

/// Hash of what is asked: source, those headers that it includes, options, architecture.
std::string kernel_key(const KernelSource& source, std::string_view architecture);
/// Hash of everything that the machine code depends on: what is asked, and the compiler's version.
std::string cubin_key(const KernelSource& source, std::string_view architecture, int nvrtc_version);

/// A cubin as a file of the cache and an engine hold it: a line of JSON with names, usage and the
/// code's hash, then the code.
std::string encode_cubin(const Cubin& cubin);
/// Errors: corrupt, naming `origin`.
Result<Cubin> decode_cubin(std::string_view content, const std::string& origin);

}  // namespace tokamak::device::cuda
