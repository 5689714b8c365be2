#include "atom/gpu/runtime.hpp"

#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "atom/core/error.hpp"
#include "atom/gpu/architecture.hpp"

#include "vendor.hpp"

namespace atom::gpu {
namespace {

void check(hipError_t e, const char* what) {
  if (e != hipSuccess) throw Error(std::string("gpu: ") + what + ": " + hipGetErrorString(e));
}
/// bf16 multiply-adds of a multiprocessor's matrix units per clock.
double products_per_clock(std::string_view architecture) {
  static constexpr std::pair<std::string_view, double> known[] = {
      {"sm_80", 1024}, {"sm_86", 512}, {"sm_89", 512}, {"sm_90", 2048}, {"sm_100", 4096}, {"gfx90a", 512}, {"gfx942", 1024}};
  for (const auto& [name, rate] : known)
    if (architecture.substr(0, architecture.find(':')) == name) return rate;
  return 0;
}

/// Until the gate opens, or for a second.
void hold(void* open) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (!static_cast<std::atomic<bool>*>(open)->load() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

hipStream_t raw(Hip::stream s) { return reinterpret_cast<hipStream_t>(s); }

}  // namespace

int device_count() noexcept {
  int n = 0;
  return hipGetDeviceCount(&n) == hipSuccess ? n : 0;
}

std::string_view compiled_for() noexcept { return ATOM_GPU_ARCH; }

bool bulk_copies() noexcept { return has_bulk_copies(); }

Device device(int index) {
  hipDeviceProp_t p;
  if (index < 0 || index >= device_count())
    throw Error("gpu: device " + std::to_string(index) +
                ": not on this machine, or its driver does not answer; choose another backend");
  check(hipGetDeviceProperties(&p, index), "properties of the device");
  Device d{p.name,     architecture_of(p), p.multiProcessorCount,
           p.warpSize, p.totalGlobalMem,   static_cast<std::size_t>(p.l2CacheSize)};
  const auto kilohertz = [&](hipDeviceAttribute_t clock) {
    int khz = 0;
    return hipDeviceGetAttribute(&khz, clock, index) == hipSuccess ? double{1} * khz : 0;
  };
  d.gbytes = kilohertz(hipDeviceAttributeMemoryClockRate) * 2 * p.memoryBusWidth / 8 * 1e-6;
  d.gflops = kilohertz(hipDeviceAttributeClockRate) * d.multiprocessors * products_per_clock(d.architecture) * 2 * 1e-6;
  return d;
}

void require_device() {
  int n = 0;
  const hipError_t e = hipGetDeviceCount(&n);
  if (e != hipSuccess || n == 0)
    throw Error(std::string("gpu: no GPU answers on this machine (") +
                (e == hipSuccess ? "the driver knows of none" : hipGetErrorString(e)) +
                "); install its driver, see that this process may use it, or choose --backend cpu");
  const Device d = device();
  if (!serves(compiled_for(), d.architecture))
    throw Error("gpu: this program's kernels are for " + std::string(compiled_for()) + ", the GPU is " + d.name + ", " +
                d.architecture + "; configure with -DATOM_GPU_ARCH=" + std::string(chip_of(d.architecture)) +
                ", or choose --backend cpu");
}

std::size_t free_memory(int index) {
  int before = 0;
  check(hipGetDevice(&before), "the device in use");
  std::size_t free = 0, total = 0;
  check(hipSetDevice(index), "choosing a device");
  const hipError_t e = hipMemGetInfo(&free, &total);
  check(hipSetDevice(before), "choosing a device");
  check(e, "memory of the device");
  return free;
}

void check_launches(const char* where) { check(hipGetLastError(), where); }

// Declared in atom/gpu/port.hpp, which only kernels include. An error stays with the device until check_launches().
void launch_kernel(Hip::stream stream, const void* kernel, int blocks_x, int blocks_y, int cluster, int threads, std::size_t shared,
                   void* args) noexcept {
  void* list[] = {args};
  const dim3 grid(static_cast<unsigned>(blocks_x), static_cast<unsigned>(blocks_y)), block(static_cast<unsigned>(threads));
  (void)launch_early(kernel, grid, block, static_cast<unsigned>(cluster), list, shared, raw(stream));
}
// Declared in atom/gpu/bulk.hpp.
void map_tiles(std::uint64_t (&words)[16], const void* p, int rows, int in, int stride, int tile) noexcept {
  encode_tiles(words, p, rows, in, stride, tile);
}
int resident_blocks(const void* kernel, int threads, std::size_t shared) noexcept {
  int device = 0, multiprocessors = 1, each = 1;
  (void)hipGetDevice(&device);
  (void)hipDeviceGetAttribute(&multiprocessors, hipDeviceAttributeMultiprocessorCount, device);
  (void)hipOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel, threads, shared);
  return multiprocessors * (each > 0 ? each : 1);
}
bool prepare_kernel(const void* kernel, std::size_t shared, bool cached) noexcept {
  // One split between cache and shared memory: a multiprocessor changes it only when it is empty, which kernels that begin before
  // others end do not leave it.
  if (!cached && hipFuncSetAttribute(kernel, hipFuncAttributePreferredSharedMemoryCarveout, 100) != hipSuccess)
    (void)hipGetLastError();  // a wish: it may be refused
  return shared == 0 ||
         hipFuncSetAttribute(kernel, hipFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)) == hipSuccess;
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

void* allocate(std::size_t bytes, const char* what) {
  void* p = nullptr;
  const hipError_t e = hipMalloc(&p, bytes == 0 ? 1 : bytes);
  if (e != hipSuccess) {
    (void)hipGetLastError();  // it is told here
    throw Error("gpu: " + std::string(what) + ": " + std::to_string((bytes >> 20) + 1) + " MiB of device memory: " +
                hipGetErrorString(e) + "; choose a smaller model, cache or batch, or lower --gpu-memory-utilization");
  }
  return p;
}
void* allocate_pinned(std::size_t bytes) {
  void* p = nullptr;
  check(hipHostMalloc(&p, bytes == 0 ? 1 : bytes, hipHostMallocMapped), "pinned memory of the host");
  return p;
}
void release_pinned(void* p) noexcept { (void)hipHostFree(p); }
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
void Event::wait() const { check(hipEventSynchronize(static_cast<hipEvent_t>(handle_)), "waiting for an event"); }
float Event::milliseconds_since(const Event& earlier) const {
  float ms = 0;
  check(hipEventSynchronize(static_cast<hipEvent_t>(handle_)), "waiting for an event");
  check(hipEventElapsedTime(&ms, static_cast<hipEvent_t>(earlier.handle_), static_cast<hipEvent_t>(handle_)), "timing");
  return ms;
}

Gate::Gate(Hip::stream stream) : stream_(stream) { check(call_host<hold>(raw(stream), &open_), "holding a stream"); }
Gate::~Gate() {
  open();
  (void)hipStreamSynchronize(raw(stream_));  // nobody waits for open_ any more
}
void Gate::open() noexcept { open_.store(true); }

Graph::Graph(Hip::stream stream) {
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
Graph::~Graph() {
  if (handle_) (void)hipGraphExecDestroy(static_cast<hipGraphExec_t>(handle_));
}
void Graph::launch(Hip::stream stream) const {
  check(hipGraphLaunch(static_cast<hipGraphExec_t>(handle_), raw(stream)), "launching a graph");
}

}  // namespace atom::gpu
