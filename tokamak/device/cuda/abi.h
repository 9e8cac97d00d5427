// SPDX-License-Identifier: Apache-2.0
// The parts of the binary interfaces of the CUDA driver, NVRTC and cuBLASLt that we call, declared
// here so that the project builds where no CUDA toolkit is. Values and layouts as in cuda.h,
// nvrtc.h and cublasLt.h of CUDA 12 and 13, which are stable within a library's major version;
// abi_test.cpp compares them where a toolkit is at hand.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tokamak::device::cuda::abi {

// ---- driver ----

using DeviceHandle = int;
using DevicePointer = uint64_t;
using Context = struct ContextTag*;
using Stream = struct StreamTag*;
using Event = struct EventTag*;
using Graph = struct GraphTag*;
using GraphExec = struct GraphExecTag*;
using LibraryHandle = struct LibraryTag*;
using KernelHandle = struct KernelTag*;
using FunctionHandle = struct FunctionTag*;

using Status = int;  ///< CUresult
inline constexpr Status kSuccess = 0, kOutOfMemory = 2, kNotInitialized = 3, kDeinitialized = 4,
                        kNotReady = 600, kDeviceUnavailable = 46, kNoDevice = 100,
                        kEccUncorrectable = 214, kNvlinkUncorrectable = 220, kContained = 226,
                        kIllegalAddress = 700, kLaunchTimeout = 702, kContextIsDestroyed = 709,
                        kAssert = 710, kHardwareStackError = 714, kInvalidPc = 718,
                        kLaunchFailed = 719, kExternalDevice = 911, kUnknown = 999;

/// CUdevice_attribute
enum DeviceAttribute {
  kClockRateKhz = 13,
  kMultiprocessorCount = 16,
  kMemoryClockRateKhz = 36,
  kMemoryBusWidth = 37,
  kL2CacheSize = 38,
  kComputeCapabilityMajor = 75,
  kComputeCapabilityMinor = 76,
  kMaxSharedPerMultiprocessor = 81,
  kMaxSharedPerBlockOptin = 97,
};
/// CUfunction_attribute
enum FunctionAttribute {
  kStaticSharedBytes = 1,
  kLocalBytes = 3,
  kRegisters = 4,
  kMaxDynamicSharedBytes = 8,
  kPreferredSharedCarveout = 9,
};

inline constexpr unsigned kStreamNonBlocking = 1;
inline constexpr unsigned kEventWithoutTime = 2;
inline constexpr int kCaptureThreadLocal = 1;
inline constexpr unsigned kHostPortable = 1;

inline constexpr int kAttributeClusterDimension = 4, kAttributeProgrammaticStreamSerialization = 6;

/// CUlaunchAttribute
struct LaunchAttribute {
  int id;
  int padding;
  union {
    char bytes[64];
    struct {
      unsigned x, y, z;
    } cluster;
    int programmatic_stream_serialization;
  } value;
};
/// CUlaunchConfig
struct LaunchConfig {
  unsigned grid_x, grid_y, grid_z;
  unsigned block_x, block_y, block_z;
  unsigned shared_bytes;
  Stream stream;
  LaunchAttribute* attributes;
  unsigned num_attributes;
};

/// CUtensorMap
struct TensorMap {
  uint64_t words[16];
};
inline constexpr int kTensorMapFloat32 = 7, kTensorMapBfloat16 = 9, kTensorMapUint8 = 0;

// Every entry point of the driver that is used: name in libcuda.so.1, parameters.
#define TKM_CUDA_DRIVER_CALLS(CALL)                                                               \
  CALL(cuInit, (unsigned flags))                                                                  \
  CALL(cuDriverGetVersion, (int* version))                                                        \
  CALL(cuGetErrorName, (Status status, const char** text))                                        \
  CALL(cuGetErrorString, (Status status, const char** text))                                      \
  CALL(cuDeviceGetCount, (int* count))                                                            \
  CALL(cuDeviceGet, (DeviceHandle * device, int ordinal))                                         \
  CALL(cuDeviceGetName, (char* name, int length, DeviceHandle device))                            \
  CALL(cuDeviceGetAttribute, (int* value, int attribute, DeviceHandle device))                    \
  CALL(cuDeviceTotalMem_v2, (size_t * bytes, DeviceHandle device))                                \
  CALL(cuDevicePrimaryCtxRetain, (Context * context, DeviceHandle device))                        \
  CALL(cuDevicePrimaryCtxRelease_v2, (DeviceHandle device))                                       \
  CALL(cuCtxSetCurrent, (Context context))                                                        \
  CALL(cuMemGetInfo_v2, (size_t * free, size_t * total))                                          \
  CALL(cuMemAlloc_v2, (DevicePointer * pointer, size_t bytes))                                    \
  CALL(cuMemFree_v2, (DevicePointer pointer))                                                     \
  CALL(cuMemHostAlloc, (void** pointer, size_t bytes, unsigned flags))                            \
  CALL(cuMemFreeHost, (void* pointer))                                                            \
  CALL(cuMemcpyHtoDAsync_v2, (DevicePointer to, const void* from, size_t bytes, Stream stream))   \
  CALL(cuMemcpyDtoHAsync_v2, (void* to, DevicePointer from, size_t bytes, Stream stream))         \
  CALL(cuMemcpyDtoDAsync_v2, (DevicePointer to, DevicePointer from, size_t bytes, Stream stream)) \
  CALL(cuMemsetD8Async, (DevicePointer to, unsigned char value, size_t bytes, Stream stream))     \
  CALL(cuStreamCreate, (Stream * stream, unsigned flags))                                         \
  CALL(cuStreamDestroy_v2, (Stream stream))                                                       \
  CALL(cuStreamSynchronize, (Stream stream))                                                      \
  CALL(cuStreamQuery, (Stream stream))                                                            \
  CALL(cuStreamBeginCapture_v2, (Stream stream, int mode))                                        \
  CALL(cuStreamEndCapture, (Stream stream, Graph * graph))                                        \
  CALL(cuGraphInstantiateWithFlags, (GraphExec * exec, Graph graph, unsigned long long flags))    \
  CALL(cuGraphUpload, (GraphExec exec, Stream stream))                                            \
  CALL(cuGraphLaunch, (GraphExec exec, Stream stream))                                            \
  CALL(cuGraphExecDestroy, (GraphExec exec))                                                      \
  CALL(cuGraphDestroy, (Graph graph))                                                             \
  CALL(cuEventCreate, (Event * event, unsigned flags))                                            \
  CALL(cuEventDestroy_v2, (Event event))                                                          \
  CALL(cuEventRecord, (Event event, Stream stream))                                               \
  CALL(cuEventSynchronize, (Event event))                                                         \
  CALL(cuEventElapsedTime, (float* milliseconds, Event begin, Event end))                         \
  CALL(cuLibraryLoadData,                                                                         \
       (LibraryHandle * library,                                                                  \
        const void* code,                                                                         \
        int* jit_options,                                                                         \
        void** jit_values,                                                                        \
        unsigned num_jit_options,                                                                 \
        int* library_options,                                                                     \
        void** library_values,                                                                    \
        unsigned num_library_options))                                                            \
  CALL(cuLibraryUnload, (LibraryHandle library))                                                  \
  CALL(cuLibraryGetKernel, (KernelHandle * kernel, LibraryHandle library, const char* name))      \
  CALL(cuLibraryGetGlobal,                                                                        \
       (DevicePointer * pointer, size_t * bytes, LibraryHandle library, const char* name))        \
  CALL(cuKernelGetFunction, (FunctionHandle * function, KernelHandle kernel))                     \
  CALL(cuFuncGetAttribute, (int* value, int attribute, FunctionHandle function))                  \
  CALL(cuFuncSetAttribute, (FunctionHandle function, int attribute, int value))                   \
  CALL(cuOccupancyMaxActiveBlocksPerMultiprocessor,                                               \
       (int* blocks, FunctionHandle function, int threads, size_t shared_bytes))                  \
  CALL(cuOccupancyMaxActiveClusters,                                                              \
       (int* clusters, FunctionHandle function, const LaunchConfig* config))                      \
  CALL(cuLaunchKernelEx,                                                                          \
       (const LaunchConfig* config, FunctionHandle function, void** parameters, void** extra))    \
  CALL(cuTensorMapEncodeTiled,                                                                    \
       (TensorMap * map,                                                                          \
        int dtype,                                                                                \
        unsigned rank,                                                                            \
        void* address,                                                                            \
        const uint64_t* shape,                                                                    \
        const uint64_t* strides,                                                                  \
        const unsigned* box,                                                                      \
        const unsigned* element_strides,                                                          \
        int interleave,                                                                           \
        int swizzle,                                                                              \
        int promotion,                                                                            \
        int fill))

struct Driver {
#define TKM_DECLARE(name, parameters) Status(*name) parameters = nullptr;
  TKM_CUDA_DRIVER_CALLS(TKM_DECLARE)
#undef TKM_DECLARE
};

// ---- NVRTC ----

using Program = struct ProgramTag*;
inline constexpr int kNvrtcSuccess = 0, kNvrtcCompilation = 6;

#define TKM_NVRTC_CALLS(CALL)                                                             \
  CALL(nvrtcVersion, (int* major, int* minor))                                            \
  CALL(nvrtcGetNumSupportedArchs, (int* count))                                           \
  CALL(nvrtcGetSupportedArchs, (int* archs))                                              \
  CALL(nvrtcCreateProgram,                                                                \
       (Program * program,                                                                \
        const char* source,                                                               \
        const char* name,                                                                 \
        int num_headers,                                                                  \
        const char* const* headers,                                                       \
        const char* const* header_names))                                                 \
  CALL(nvrtcDestroyProgram, (Program * program))                                          \
  CALL(nvrtcAddNameExpression, (Program program, const char* expression))                 \
  CALL(nvrtcCompileProgram, (Program program, int count, const char* const* options))     \
  CALL(nvrtcGetLoweredName, (Program program, const char* expression, const char** name)) \
  CALL(nvrtcGetCUBINSize, (Program program, size_t * bytes))                              \
  CALL(nvrtcGetCUBIN, (Program program, char* cubin))                                     \
  CALL(nvrtcGetProgramLogSize, (Program program, size_t * bytes))                         \
  CALL(nvrtcGetProgramLog, (Program program, char* log))

struct Nvrtc {
#define TKM_DECLARE(name, parameters) int(*name) parameters = nullptr;
  TKM_NVRTC_CALLS(TKM_DECLARE)
#undef TKM_DECLARE
  const char* (*nvrtcGetErrorString)(int status) = nullptr;
};

// ---- cuBLASLt ----

using BlasHandle = struct BlasTag*;
using MatmulDesc = struct MatmulDescTag*;
using MatrixLayout = struct MatrixLayoutTag*;
using MatmulPreference = struct MatmulPreferenceTag*;

/// cublasLtMatmulAlgo_t
struct MatmulAlgorithm {
  uint64_t words[8];
};
/// cublasLtMatmulHeuristicResult_t
struct MatmulHeuristic {
  MatmulAlgorithm algorithm;
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
};

inline constexpr int kComputeFloat32 = 68;                         // CUBLAS_COMPUTE_32F
inline constexpr int kBlasFloat32 = 0, kBlasBfloat16 = 14;         // cudaDataType
inline constexpr int kMatmulTransA = 3, kMatmulTransB = 4;         // CUBLASLT_MATMUL_DESC_*
inline constexpr int kMatmulEpilogue = 7, kMatmulBiasPointer = 8;  // CUBLASLT_MATMUL_DESC_*
inline constexpr int kMatmulBiasType = 26;                         // …_BIAS_DATA_TYPE
inline constexpr int kEpilogueBias = 4;                            // CUBLASLT_EPILOGUE_BIAS
inline constexpr int kPreferenceMaxWorkspace = 1;                  // …_MAX_WORKSPACE_BYTES
inline constexpr int kPreferenceReductions = 3;                    // …_REDUCTION_SCHEME_MASK
inline constexpr int kReduceInFloat32 = 2;  // CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
inline constexpr int kPreferenceAlignments[] = {5, 6, 7, 8};  // …_MIN_ALIGNMENT_{A,B,C,D}_BYTES
inline constexpr int kTranspose = 1;                          // CUBLAS_OP_T

#define TKM_CUBLASLT_CALLS(CALL)                                                             \
  CALL(cublasLtCreate, (BlasHandle * handle))                                                \
  CALL(cublasLtDestroy, (BlasHandle handle))                                                 \
  CALL(cublasLtMatmulDescCreate, (MatmulDesc * desc, int compute, int scale_type))           \
  CALL(cublasLtMatmulDescDestroy, (MatmulDesc desc))                                         \
  CALL(cublasLtMatmulDescSetAttribute,                                                       \
       (MatmulDesc desc, int attribute, const void* value, size_t bytes))                    \
  CALL(cublasLtMatrixLayoutCreate,                                                           \
       (MatrixLayout * layout, int dtype, uint64_t rows, uint64_t columns, int64_t leading)) \
  CALL(cublasLtMatrixLayoutDestroy, (MatrixLayout layout))                                   \
  CALL(cublasLtMatmulPreferenceCreate, (MatmulPreference * preference))                      \
  CALL(cublasLtMatmulPreferenceDestroy, (MatmulPreference preference))                       \
  CALL(cublasLtMatmulPreferenceSetAttribute,                                                 \
       (MatmulPreference preference, int attribute, const void* value, size_t bytes))        \
  CALL(cublasLtMatmulAlgoGetHeuristic,                                                       \
       (BlasHandle handle,                                                                   \
        MatmulDesc desc,                                                                     \
        MatrixLayout a,                                                                      \
        MatrixLayout b,                                                                      \
        MatrixLayout c,                                                                      \
        MatrixLayout d,                                                                      \
        MatmulPreference preference,                                                         \
        int wanted,                                                                          \
        MatmulHeuristic* results,                                                            \
        int* found))                                                                         \
  CALL(cublasLtMatmulAlgoCheck,                                                              \
       (BlasHandle handle,                                                                   \
        MatmulDesc desc,                                                                     \
        MatrixLayout a,                                                                      \
        MatrixLayout b,                                                                      \
        MatrixLayout c,                                                                      \
        MatrixLayout d,                                                                      \
        const MatmulAlgorithm* algorithm,                                                    \
        MatmulHeuristic* result))                                                            \
  CALL(cublasLtMatmul,                                                                       \
       (BlasHandle handle,                                                                   \
        MatmulDesc desc,                                                                     \
        const void* alpha,                                                                   \
        const void* a,                                                                       \
        MatrixLayout a_layout,                                                               \
        const void* b,                                                                       \
        MatrixLayout b_layout,                                                               \
        const void* beta,                                                                    \
        const void* c,                                                                       \
        MatrixLayout c_layout,                                                               \
        void* d,                                                                             \
        MatrixLayout d_layout,                                                               \
        const MatmulAlgorithm* algorithm,                                                    \
        void* workspace,                                                                     \
        size_t workspace_bytes,                                                              \
        Stream stream))

struct CublasLt {
#define TKM_DECLARE(name, parameters) int(*name) parameters = nullptr;
  TKM_CUBLASLT_CALLS(TKM_DECLARE)
#undef TKM_DECLARE
  size_t (*cublasLtGetVersion)() = nullptr;
};

}  // namespace tokamak::device::cuda::abi
