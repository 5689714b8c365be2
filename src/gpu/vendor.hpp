#pragma once
// The runtime API in HIP's names. On AMD it is HIP's own header; on NVIDIA, CUDA's functions under the same names.
#if defined(ATOM_GPU_CUDA)
#include <cuda_runtime_api.h>

using hipError_t = cudaError_t;
using hipStream_t = cudaStream_t;
using hipEvent_t = cudaEvent_t;
using hipGraph_t = cudaGraph_t;
using hipGraphExec_t = cudaGraphExec_t;
using hipDeviceProp_t = cudaDeviceProp;
using hipDeviceAttribute_t = cudaDeviceAttr;
constexpr auto hipDeviceAttributeClockRate = cudaDevAttrClockRate;
constexpr auto hipDeviceAttributeMemoryClockRate = cudaDevAttrMemoryClockRate;
constexpr auto hipDeviceAttributeMultiprocessorCount = cudaDevAttrMultiProcessorCount;
constexpr auto hipSuccess = cudaSuccess;
constexpr auto hipMemcpyDefault = cudaMemcpyDefault;
constexpr auto hipStreamNonBlocking = cudaStreamNonBlocking;
constexpr auto hipStreamCaptureModeThreadLocal = cudaStreamCaptureModeThreadLocal;
constexpr auto hipEventCreate = static_cast<cudaError_t (*)(cudaEvent_t*)>(cudaEventCreate);
constexpr auto hipEventDestroy = cudaEventDestroy;
constexpr auto hipEventElapsedTime = cudaEventElapsedTime;
constexpr auto hipEventRecord = cudaEventRecord;
constexpr auto hipEventSynchronize = cudaEventSynchronize;
constexpr auto hipFree = cudaFree;
constexpr auto hipFuncAttributeMaxDynamicSharedMemorySize = cudaFuncAttributeMaxDynamicSharedMemorySize;
constexpr auto hipFuncAttributePreferredSharedMemoryCarveout = cudaFuncAttributePreferredSharedMemoryCarveout;
constexpr auto hipFuncSetAttribute = static_cast<cudaError_t (*)(const void*, cudaFuncAttribute, int)>(cudaFuncSetAttribute);
constexpr auto hipDeviceGetAttribute = cudaDeviceGetAttribute;
constexpr auto hipGetDevice = cudaGetDevice;
constexpr auto hipGetDeviceCount = cudaGetDeviceCount;
constexpr auto hipGetDeviceProperties = cudaGetDeviceProperties;
constexpr auto hipGetErrorString = cudaGetErrorString;
constexpr auto hipGetLastError = cudaGetLastError;
constexpr auto hipGraphDestroy = cudaGraphDestroy;
constexpr auto hipGraphExecDestroy = cudaGraphExecDestroy;
constexpr auto hipGraphLaunch = cudaGraphLaunch;
constexpr auto hipHostFree = cudaFreeHost;
constexpr auto hipHostMalloc = static_cast<cudaError_t (*)(void**, std::size_t, unsigned)>(cudaHostAlloc);
constexpr auto hipHostMallocMapped = cudaHostAllocMapped;
constexpr auto hipMalloc = static_cast<cudaError_t (*)(void**, std::size_t)>(cudaMalloc);
constexpr auto hipMemcpyAsync = cudaMemcpyAsync;
constexpr auto hipOccupancyMaxActiveBlocksPerMultiprocessor =
    static_cast<cudaError_t (*)(int*, const void*, int, std::size_t)>(cudaOccupancyMaxActiveBlocksPerMultiprocessor);
constexpr auto hipMemGetInfo = cudaMemGetInfo;
constexpr auto hipSetDevice = cudaSetDevice;
constexpr auto hipStreamBeginCapture = cudaStreamBeginCapture;
constexpr auto hipStreamCreateWithFlags = cudaStreamCreateWithFlags;
constexpr auto hipStreamDestroy = cudaStreamDestroy;
constexpr auto hipStreamEndCapture = cudaStreamEndCapture;
constexpr auto hipStreamSynchronize = cudaStreamSynchronize;

inline hipError_t hipGraphInstantiate(hipGraphExec_t* exec, hipGraph_t graph, void*, char*, std::size_t) {
  return cudaGraphInstantiate(exec, graph, 0);
}
/// As a launch, of a kernel that waits by itself for what is in front of it (Cta::after_previous), where the chip has the means.
inline cudaError_t launch_early(const void* kernel, dim3 grid, dim3 block, void** args, std::size_t shared, cudaStream_t stream) {
  static const bool can = [] {
    int device = 0, major = 0;
    (void)cudaGetDevice(&device);
    (void)cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    return major >= 9;
  }();
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  const cudaLaunchConfig_t config{grid, block, shared, stream, &early, can ? 1u : 0u};
  return cudaLaunchKernelExC(&config, kernel, args);
}
/// The host runs F(data) when the stream gets there.
template <void (*F)(void*)> hipError_t call_host(hipStream_t stream, void* data) { return cudaLaunchHostFunc(stream, F, data); }
inline std::string architecture_of(const hipDeviceProp_t& p) { return "sm_" + std::to_string(p.major) + std::to_string(p.minor); }
#else
#include <hip/hip_runtime_api.h>

inline hipError_t launch_early(const void* kernel, dim3 grid, dim3 block, void** args, std::size_t shared, hipStream_t stream) {
  return hipLaunchKernel(kernel, grid, block, args, shared, stream);
}
template <void (*F)(void*)> hipError_t call_host(hipStream_t stream, void* data) {
  return hipStreamAddCallback(
      stream, [](hipStream_t, hipError_t, void* p) { F(p); }, data, 0);  // hipLaunchHostFunc is not in 5.2
}
inline std::string architecture_of(const hipDeviceProp_t& p) { return p.gcnArchName; }
#endif
