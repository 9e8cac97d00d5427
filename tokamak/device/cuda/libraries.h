// SPDX-License-Identifier: Apache-2.0
// The libraries of CUDA, opened when first asked for: none is linked, so one program runs on
// machines with and without them. What is missing is an error that says what to install.
#pragma once

#include <string>
#include <vector>

#include "tokamak/base/result.h"
#include "tokamak/device/cuda/abi.h"

namespace tokamak::device::cuda {

/// The oldest driver that we run on: CUDA 12.4 (550).
inline constexpr int kMinDriverVersion = 12040;
/// The oldest NVRTC that compiles our kernels.
inline constexpr int kMinNvrtcVersion = 12040;

/// libcuda.so.1, initialised. Errors: unsupported (no driver, one that is too old, no device
/// visible), saying what to do.
Result<const abi::Driver*> driver();
/// libnvrtc.so.13 or .12: from $TOKAMAK_NVRTC (a file), the loader's paths, or a CUDA toolkit in
/// /usr/local/cuda. Errors: unsupported, naming what was tried.
Result<const abi::Nvrtc*> nvrtc();
/// libcublasLt.so.13 or .12, likewise ($TOKAMAK_CUBLASLT).
Result<const abi::CublasLt*> cublas_lt();

/// major * 1000 + minor * 10, as the driver counts: 13000. 0 if the library is not here.
int driver_version();
int nvrtc_version();

/// Text of a version: "13.0".
std::string version_text(int version);

/// An error for a call of the driver that did not return success: its name, the driver's text, what
/// it was for. device, where the GPU is lost for this process (Xid, sticky error: every later call
/// fails too); out_of_memory; else internal.
Error driver_error(abi::Status status, const char* call, const std::string& what = {});
/// The process cannot use the device any more.
bool is_lost(abi::Status status);

/// Success, or the error of driver_error().
Result<void> check(abi::Status status, const char* call, const std::string& what = {});

}  // namespace tokamak::device::cuda
