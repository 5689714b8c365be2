#pragma once
// The runtime API in HIP's names. On AMD it is HIP's own header; on NVIDIA, CUDA's functions under the same names.
#include <cstdint>
#include <cstring>

#if defined(ATOM_GPU_CUDA)
#include <cuda.h>
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
inline int capability_major() {
  static const int major = [] {
    int device = 0, value = 0;
    (void)cudaGetDevice(&device);
    (void)cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, device);
    return value;
  }();
  return major;
}
/// As a launch, of a kernel that waits by itself for what is in front of it (Cta::after_previous), where the chip has the means.
inline cudaError_t launch_early(const void* kernel, dim3 grid, dim3 block, unsigned cluster, void** args, std::size_t shared,
                                cudaStream_t stream) {
  cudaLaunchAttribute wishes[2]{};
  wishes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  wishes[0].val.programmaticStreamSerializationAllowed = 1;
  wishes[1].id = cudaLaunchAttributeClusterDimension;
  wishes[1].val.clusterDim = {cluster, 1, 1};
  const cudaLaunchConfig_t config{grid, block, shared, stream, wishes, capability_major() < 9 ? 0u : cluster > 1 ? 2u : 1u};
  return cudaLaunchKernelExC(&config, kernel, args);
}
inline auto tile_encoder() {
  static const auto encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult how{};
    const cudaError_t e = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &how);
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(e == cudaSuccess ? found : nullptr);
  }();
  return encode;
}
/// Hopper: what kernels with bulk copies were measured on.
inline bool has_bulk_copies() { return capability_major() == 9 && tile_encoder(); }
inline void encode_tiles(std::uint64_t (&words)[16], const void* p, int rows, int in, int stride, int tile) {
  const cuuint64_t extents[] = {static_cast<cuuint64_t>(in), static_cast<cuuint64_t>(rows)};
  const cuuint64_t pitch[] = {static_cast<cuuint64_t>(stride) * 2};
  const cuuint32_t box[] = {64, static_cast<cuuint32_t>(tile)}, steps[] = {1, 1};
  CUtensorMap map;
  if (tile_encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void*>(p), extents, pitch, box, steps,
                     CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                     CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS)
    std::memcpy(words, &map, sizeof words);
}
/// The host runs F(data) when the stream gets there.
template <void (*F)(void*)> hipError_t call_host(hipStream_t stream, void* data) { return cudaLaunchHostFunc(stream, F, data); }
inline std::string architecture_of(const hipDeviceProp_t& p) { return "sm_" + std::to_string(p.major) + std::to_string(p.minor); }
#else
#include <hip/hip_runtime_api.h>

inline bool has_bulk_copies() { return false; }
inline void encode_tiles(std::uint64_t (&)[16], const void*, int, int, int, int) {}
inline hipError_t launch_early(const void* kernel, dim3 grid, dim3 block, unsigned, void** args, std::size_t shared,
                               hipStream_t stream) {
  return hipLaunchKernel(kernel, grid, block, args, shared, stream);
}
template <void (*F)(void*)> hipError_t call_host(hipStream_t stream, void* data) {
  return hipStreamAddCallback(
      stream, [](hipStream_t, hipError_t, void* p) { F(p); }, data, 0);  // hipLaunchHostFunc is not in 5.2
}
inline std::string architecture_of(const hipDeviceProp_t& p) { return p.gcnArchName; }
#endif
