// The Hip backend's runtime: the one GPU that this process sees first (CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES).
#include "atom/engine/gpu_device.hpp"
#include "atom/gpu/gemm.hpp"
#include "atom/gpu/runtime.hpp"
#include "atom/ops/embedding_gpu.hpp"

namespace atom::engine {

namespace {

struct HipRuntime {
  using backend = Hip;
  using Stream = gpu::Stream;
  using Event = gpu::Event;
  using Graph = gpu::Graph;
  using Gate = gpu::Gate;
  static void* allocate(std::size_t bytes, const char* what) { return gpu::allocate(bytes, what); }
  static void release(void* p) noexcept { gpu::release(p); }
  static void* allocate_pinned(std::size_t bytes) { return gpu::allocate_pinned(bytes); }
  static void release_pinned(void* p) noexcept { gpu::release_pinned(p); }
  static void copy(void* to, const void* from, std::size_t bytes, Hip::stream stream) { gpu::copy(to, from, bytes, stream); }
  static void check(const char* where) { gpu::check_launches(where); }
};

/// Runs one small kernel: a driver that is too old for this program is told here, before weights are read.
void require_kernels() {
  using op = kernels::gather_rows<float>;
  const gpu::Stream stream;
  const gpu::Buffer<float> row(4);
  const gpu::Buffer<int> index(1);
  const int zero = 0;
  gpu::copy(index.data(), &zero, sizeof zero, stream);
  stream.wait();
  run_on<op, Hip>(stream, {row.data(), index.data(), row.data(), 1, 4, 4});
  try {
    stream.wait();
  } catch (const Error& e) {
    const gpu::Device d = gpu::device();
    throw Error("--backend hip: kernels for " + std::string(gpu::compiled_for()) + " do not start on " + d.name + ", " +
                d.architecture + " (" + e.what() + "); install a newer driver, or use --backend cpu");
  }
}

std::vector<DeviceInfo> list() {
  std::vector<DeviceInfo> all;
  for (int i = 0; i < gpu::device_count(); ++i) {
    const gpu::Device d = gpu::device(i);
    all.push_back({d.name, d.architecture, d.memory, gpu::free_memory(i), {d.gbytes, d.gflops}, gpu::gemm_library()});
  }
  return all;
}
std::size_t available() {
  gpu::require_device();
  return gpu::free_memory(0);
}
gpu::Gemm gemm_of(const DeviceRequest& r) {
  return r.gemm == "own" ? gpu::Gemm::own : r.gemm == "vendor" ? gpu::Gemm::vendor : gpu::Gemm::automatic;
}
std::size_t plan(const DeviceRequest& r, const model::ParamTable& table, const WeightBytes& weights, MemoryUse& use) {
  const std::size_t workspace = gpu::gemm_workspace(gemm_of(r));
  use.activations += workspace;
  return GpuDevice<HipRuntime>::plan(r, table, weights, use) + Block::rounded(workspace);
}
std::unique_ptr<Device> open(const DeviceRequest& r) {
  gpu::require_device();
  require_kernels();
  gpu::use_gemm(gemm_of(r));
  return std::make_unique<GpuDevice<HipRuntime>>(r);
}

constexpr DeviceKind hip_kind{"hip", true, false, &list, &available, &plan, &open};

}  // namespace

template <> const DeviceKind& device_kind<Hip>() { return hip_kind; }

}  // namespace atom::engine
