// Cpu and Ref: a rank's memory is the process's own, and its stream is a pool of threads.
#include <algorithm>
#include <chrono>

#include "atom/core/cpu_features.hpp"
#include "atom/core/memory_nodes.hpp"
#include "atom/engine/device.hpp"
#include "atom/engine/loader.hpp"
#include "atom/engine/system_memory.hpp"
#include "atom/ops/attention_cpu.hpp"
#include "atom/ops/linear_cpu.hpp"
#include "atom/ops/mla_cpu.hpp"

namespace atom::engine {

namespace {

// What the Cpu kernels need of a pool, whatever the batch.
kernels::LinearScratch kernel_scratch(const DeviceRequest& r) {
  const model::ModelSpec local = model::shard(r.whole, r.rank);
  const auto width = [&](model::Axis a) { return model::size(local, a); };
  auto scratch = kernels::linear_scratch(std::max({local.d_model, local.d_ff, local.moe.d_ff, width(model::Axis::shared_ff),
                                                   width(model::Axis::q), width(model::Axis::q_rank), width(model::Axis::value)}));
  if (const model::LatentSpec& l = local.attn.latent) {
    const auto latent = kernels::latent_scratch({l.rank, l.rope, l.nope, l.value}, local.attn.heads);
    return {std::max(scratch.thread, latent.thread), std::max(scratch.shared, latent.shared)};
  }
  scratch.thread = std::max(scratch.thread, attention_scratch_bytes(local.attn.heads, local.attn.kv_heads, local.attn.head_dim));
  return scratch;
}

// Logits and ids in sorted order; only the first rank draws.
std::size_t sampling_elements(const DeviceRequest& r) {
  return r.rank.index == 0 ? static_cast<std::size_t>(r.step.logits) * static_cast<std::size_t>(r.step.vocab) : 0;
}

std::size_t plan(const DeviceRequest& r, const model::ParamTable&, const WeightBytes& weights, MemoryUse& use) {
  const auto scratch = kernel_scratch(r);
  const std::size_t sampling = sampling_elements(r) * (sizeof(float) + sizeof(int));
  const std::size_t threads = std::max(scratch.thread, weights.scratch) * static_cast<std::size_t>(r.threads) + scratch.shared;
  use.weights += weights.copied;
  use.weights_in_file += weights.in_file;
  use.thread_scratch += threads;
  use.sampling += sampling;
  return Block::rounded(weights.copied) + Block::rounded(sampling) + threads;
}

class HostStopwatch final : public Stopwatch {
 public:
  explicit HostStopwatch(int most) : Stopwatch(&note, most), ended_(static_cast<std::size_t>(most)), start_(clock::now()) {}
  std::vector<double> seconds() override {
    std::vector<double> each;
    for (clock::time_point last = start_; const auto t : ended_)
      each.push_back(std::chrono::duration<double>(t - std::exchange(last, t)).count());
    return each;
  }

 private:
  using clock = std::chrono::steady_clock;
  static void note(LaunchClock& self, int launch) noexcept {
    static_cast<HostStopwatch&>(self).ended_[static_cast<std::size_t>(launch)] = clock::now();
  }
  std::vector<clock::time_point> ended_;
  clock::time_point start_;
};

class HostDevice final : public Device {
 public:
  explicit HostDevice(const DeviceRequest& r) : pool_(r.threads, r.place.cpus), limits_(r.step), nodes_(r.place.nodes) {
    const auto scratch = kernel_scratch(r);
    pool_.reserve(scratch.thread);
    pool_.reserve_shared(scratch.shared);
    sorted_ = Block(sampling_elements(r) * sizeof(float), "sampling scratch");
    order_ = Block(sampling_elements(r) * sizeof(int), "sampling scratch");
  }
  void* stream() noexcept override { return &pool_; }
  std::byte* allocate(std::size_t bytes, const char* what) override {
    const Block& block = blocks_.emplace_back(bytes, what);
    place_memory(block.data(), block.bytes(), nodes_);
    return block.data();
  }
  const std::byte* share(const std::byte* data, std::size_t, const char*) override { return data; }
  void load(model::ParamTable& table, const WeightSource& source) override { blocks_.push_back(source.load(table, pool_)); }
  void record(AnyModel&, std::span<const int>, std::span<const int>) override {}
  float* step(AnyModel& model, const Batch& batch) noexcept override {
    return const_cast<float*>(model.step(batch));  // in this rank's scratch
  }
  float* draft(AnyModel& model, const Batch& batch, int layer) noexcept override {
    return const_cast<float*>(model.draft(batch, layer));
  }
  void sample(AnyModel& model, const float* logits, const kernels::SampleParams* params, int* tokens, int rows) noexcept override {
    auto* sorted = reinterpret_cast<float*>(sorted_.data());
    auto* order = reinterpret_cast<int*>(order_.data());
    model.sample({logits, params, sorted, order, tokens, rows, limits_.vocab, limits_.vocab});
  }
  float* host(float* logits, int) noexcept override { return logits; }
  std::unique_ptr<Stopwatch> stopwatch(int launches) override { return std::make_unique<HostStopwatch>(launches); }

 private:
  ThreadPool pool_;
  StepLimits limits_;
  std::vector<int> nodes_;
  std::vector<Block> blocks_;
  Block sorted_, order_;
};

std::vector<DeviceInfo> none() { return {}; }
std::unique_ptr<Device> open(const DeviceRequest& r) { return std::make_unique<HostDevice>(r); }
// A machine without AVX2 is told here, before any kernel runs.
std::unique_ptr<Device> open_cpu(const DeviceRequest& r) {
  static_cast<void>(cpu::isa());
  return open(r);
}

constexpr DeviceKind cpu_kind{"cpu", false, true, &none, &usable_memory, &plan, &open_cpu};
constexpr DeviceKind ref_kind{"ref", false, true, &none, &usable_memory, &plan, &open};

}  // namespace

template <> const DeviceKind& device_kind<Cpu>() { return cpu_kind; }
template <> const DeviceKind& device_kind<Ref>() { return ref_kind; }

}  // namespace atom::engine
