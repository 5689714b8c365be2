#include "atom/gpu/runtime.hpp"

#include <string>

#include "atom/core/error.hpp"

#include "vendor.hpp"

namespace atom::gpu {
namespace {

void check(hipError_t e, const char* what) {
  if (e != hipSuccess) throw Error(std::string("gpu: ") + what + ": " + hipGetErrorString(e));
}
hipStream_t raw(Hip::stream s) { return reinterpret_cast<hipStream_t>(s); }

}  // namespace

int device_count() noexcept {
  int n = 0;
  return hipGetDeviceCount(&n) == hipSuccess ? n : 0;
}

Device device(int index) {
  hipDeviceProp_t p;
  if (index < 0 || index >= device_count())
    throw Error("gpu: device " + std::to_string(index) +
                ": not on this machine, or its driver does not answer; choose another backend");
  check(hipGetDeviceProperties(&p, index), "properties of the device");
  return {p.name, architecture_of(p), p.multiProcessorCount, p.warpSize, p.totalGlobalMem, static_cast<std::size_t>(p.l2CacheSize)};
}

void check_launches(const char* where) { check(hipGetLastError(), where); }

// Declared in atom/gpu/port.hpp, which only kernels include. An error stays with the device until check_launches().
void launch_kernel(Hip::stream stream, const void* kernel, int blocks_x, int blocks_y, int threads, void* args) noexcept {
  void* list[] = {args};
  (void)hipLaunchKernel(kernel, dim3(static_cast<unsigned>(blocks_x), static_cast<unsigned>(blocks_y)),
                        dim3(static_cast<unsigned>(threads)), list, 0, raw(stream));
}

Stream::Stream() {
  hipStream_t s = nullptr;
  check(hipStreamCreateWithFlags(&s, hipStreamNonBlocking), "creating a stream");
  handle_ = reinterpret_cast<Hip::stream>(s);
}
Stream::~Stream() { (void)hipStreamDestroy(raw(handle_)); }
void Stream::wait() const {
  check(hipStreamSynchronize(raw(handle_)), "waiting for a stream");
  check_launches("launches on a stream");
}

void* allocate(std::size_t bytes) {
  void* p = nullptr;
  const hipError_t e = hipMalloc(&p, bytes == 0 ? 1 : bytes);
  if (e != hipSuccess)
    throw Error("gpu: " + std::to_string(bytes) + " bytes of device memory: " + hipGetErrorString(e) +
                "; choose a smaller model, cache or batch");
  return p;
}
void release(void* p) noexcept { (void)hipFree(p); }
void copy(void* to, const void* from, std::size_t bytes, Hip::stream stream) {
  check(hipMemcpyAsync(to, from, bytes, hipMemcpyDefault, raw(stream)), "copying");
}

Event::Event() {
  hipEvent_t e = nullptr;
  check(hipEventCreate(&e), "creating an event");
  handle_ = e;
}
Event::~Event() { (void)hipEventDestroy(static_cast<hipEvent_t>(handle_)); }
void Event::record(Hip::stream stream) const {
  check(hipEventRecord(static_cast<hipEvent_t>(handle_), raw(stream)), "recording an event");
}
float Event::milliseconds_since(const Event& earlier) const {
  float ms = 0;
  check(hipEventSynchronize(static_cast<hipEvent_t>(handle_)), "waiting for an event");
  check(hipEventElapsedTime(&ms, static_cast<hipEvent_t>(earlier.handle_), static_cast<hipEvent_t>(handle_)), "timing");
  return ms;
}

void Graph::begin(Hip::stream stream) {
  check(hipStreamBeginCapture(raw(stream), hipStreamCaptureModeThreadLocal), "beginning a capture");
}
void Graph::end(Hip::stream stream) {
  hipGraph_t graph = nullptr;
  hipGraphExec_t exec = nullptr;
  check(hipStreamEndCapture(raw(stream), &graph), "ending a capture");
  const hipError_t e = hipGraphInstantiate(&exec, graph, nullptr, nullptr, 0);
  (void)hipGraphDestroy(graph);
  check(e, "instantiating a graph");
  handle_ = exec;
}
Graph::~Graph() { (void)hipGraphExecDestroy(static_cast<hipGraphExec_t>(handle_)); }
void Graph::launch(Hip::stream stream) const {
  check(hipGraphLaunch(static_cast<hipGraphExec_t>(handle_), raw(stream)), "launching a graph");
}

}  // namespace atom::gpu
