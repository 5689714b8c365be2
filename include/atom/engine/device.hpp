#pragma once
// Device: where one rank of a model lives: its memory, its stream, and the way in and out of a step.
// One idea: a model sees pointers and a stream. Whether those are of this process or of a GPU is decided once, by the build's
// backend, and costs one virtual call per step. What is known of a backend before anything is opened is its DeviceKind.
// To extend: derive from Device and define device_kind<YourBackend>() (src/engine/host_device.cpp; gpu_device.hpp for GPUs).
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "atom/core/launch_clock.hpp"
#include "atom/core/processors.hpp"
#include "atom/engine/any_model.hpp"
#include "atom/ops/sampling_op.hpp"

namespace atom::engine {

class Block;
struct WeightBytes;

struct MemoryUse {  // bytes, summed over ranks
  std::size_t weights = 0, kv_cache = 0, states = 0, activations = 0, sampling = 0, rope_table = 0;
  std::size_t thread_scratch = 0;   // of kernels, and of loading
  std::size_t weights_in_file = 0;  // pages of the mapped file, which the system may drop and read again
};

/// The largest step of a model.
struct StepLimits {
  int rows = 0, seqs = 0, logits = 0, vocab = 0;
  int pages = 0;         // of the longest sequence
  int draft_layers = 0;  // that draft()
};

/// What one rank asks of its device.
struct DeviceRequest {
  model::ModelSpec whole;  // unsharded
  model::Rank rank;
  StepLimits step;
  int threads = 1;            // of the host
  Place place;                // of those, and of this rank's memory there
  std::string gemm = "auto";  // products of many rows on a GPU: auto, own, vendor
};

/// Where weights come from; see loader.hpp.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// Fills and binds every parameter of `table`, one after the other, to the memory that is returned or to a file's pages.
  virtual Block load(model::ParamTable& table, ThreadPool& pool) const = 0;
};

/// Ticks as launches end.
class Stopwatch : public LaunchClock {
 public:
  virtual ~Stopwatch() = default;
  /// How long each launch took, once all of them have ended.
  virtual std::vector<double> seconds() = 0;

 protected:
  using LaunchClock::LaunchClock;
};

class Device {
 public:
  virtual ~Device() = default;
  /// As the backend's kernels take it.
  [[nodiscard]] virtual void* stream() noexcept = 0;
  /// Memory for kernels, for the device's life. Throws atom::Error naming `what`.
  virtual std::byte* allocate(std::size_t bytes, const char* what) = 0;
  /// The host's `bytes` bytes at `data` where kernels can read them. They must outlive the device.
  virtual const std::byte* share(const std::byte* data, std::size_t bytes, const char* what) = 0;
  /// Binds every parameter of `table`. Throws atom::Error.
  virtual void load(model::ParamTable& table, const WeightSource& source) = 0;
  /// Records steps of so many sequences of one token each, and the pieces between attention of steps of so many tokens; where
  /// nothing can be recorded, nothing happens. Called once, behind attach() and in front of the first step.
  virtual void record(AnyModel& model, std::span<const int> seqs, std::span<const int> tokens) = 0;

  /// One step; `batch` lies in the host's memory. Returns (batch.logits, vocab) in the device's, valid until the next step.
  virtual float* step(AnyModel& model, const Batch& batch) noexcept = 0;
  /// As step(), of a layer that drafts.
  virtual float* draft(AnyModel& model, const Batch& batch, int layer) noexcept = 0;
  /// As StepModel's: `logits` are what step() or host() returned.
  virtual void sample(AnyModel& model, const float* logits, const kernels::SampleParams* params, int* tokens,
                      int rows) noexcept = 0;
  virtual float* host(float* logits, int rows) noexcept = 0;
  /// As StepModel's; of kinds without host_memory, where kernels run beside the host.
  virtual void draw(AnyModel& /*model*/, const float* /*logits*/, const kernels::SampleParams* /*params*/, int /*rows*/) noexcept {}
  virtual void collect(int* /*tokens*/, int /*rows*/) noexcept {}
  /// For up to so many launches.
  [[nodiscard]] virtual std::unique_ptr<Stopwatch> stopwatch(int launches) = 0;
};

/// The most that a machine does.
struct Ceilings {
  double gbytes = 0, gflops = 0;  // per second; 0: unknown
};

struct DeviceInfo {
  std::string name, architecture;
  std::size_t memory = 0, available = 0;  // bytes
  Ceilings most;                          // of bf16 products
  std::string products;                   // whose kernels multiply many rows
};

struct DeviceKind {
  std::string_view backend;           // "cpu": what --backend says
  bool graphs;                        // steps can be recorded and replayed
  bool host_memory;                   // the host may touch what allocate() returns
  std::vector<DeviceInfo> (*list)();  // those of this machine; none: the host itself
  std::size_t (*available)();         // bytes that may still be taken. Throws atom::Error where there is no device
  /// Adds weights, scratch of threads and sampling of one rank to the plan; returns the bytes that those take. `table` has been
  /// bound to shapes.
  std::size_t (*plan)(const DeviceRequest&, const model::ParamTable& table, const WeightBytes&, MemoryUse&);
  std::unique_ptr<Device> (*open)(const DeviceRequest&);  // throws atom::Error
};

template <class Backend> const DeviceKind& device_kind();
template <> const DeviceKind& device_kind<Ref>();
template <> const DeviceKind& device_kind<Cpu>();
template <> const DeviceKind& device_kind<Hip>();  // in programs built with ATOM_GPU

}  // namespace atom::engine
