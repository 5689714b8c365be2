#pragma once
// GpuDevice<R>: a rank on a GPU. R is a runtime: streams, memory, copies, events and graphs of one backend.
// One idea: everything that a step reads lies in one buffer of the device, laid out by the step's sizes alone, and gets there in
// one transfer from pinned memory. Steps of equal size find their inputs at equal addresses, so a step of answers can be recorded
// as a graph once and replayed with other contents, and of any step what lies between attention (atom/core/pieces.hpp); what it
// returns is, kernel by kernel, what it would have been without. Tokens that were drawn stay there too, for the step behind: it is
// launched before the host has read them.
// To extend: a runtime is a struct with the members of HipRuntime (src/engine/hip_device.cpp); the emulator's is in
// tests/gpu/emu_device.hpp.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>

#include "atom/core/error.hpp"
#include "atom/engine/forward_mode.hpp"
#include "atom/engine/loader.hpp"
#include "atom/engine/memory.hpp"
#include "atom/engine/weight_upload.hpp"
#include "atom/ops/embedding_gpu.hpp"
#include "atom/ops/kv_layout.hpp"
#include "atom/ops/sampling_gpu.hpp"

namespace atom::engine {

/// The error of a device in a step: nothing that follows on it can be trusted.
[[noreturn]] void device_lost(const char* what) noexcept;

template <class R> class GpuDevice final : public Device {
 public:
  explicit GpuDevice(const DeviceRequest& r)
      : request_(r),
        limits_(r.step),
        inputs_(input_ints(limits_)),
        params_(static_cast<std::size_t>(limits_.logits)),
        tokens_(static_cast<std::size_t>(limits_.logits)),
        sampling_(sampling_ints(limits_)),
        staging_(inputs_.count),
        draws_{Draw(params_.count), Draw(params_.count)},
        host_logits_(logit_bytes(limits_.logits), "logits") {}
  ~GpuDevice() override {
    for (std::byte* p : blocks_) R::release(p);
  }

  static std::size_t plan(const DeviceRequest& r, const model::ParamTable& table, const WeightBytes&, MemoryUse& use) {
    const std::size_t weights = WeightUpload(r.whole, r.rank, table).bytes();
    const std::size_t step = (input_ints(r.step) + sampling_ints(r.step)) * sizeof(int) +
                             static_cast<std::size_t>(r.step.logits) * (sizeof(kernels::SampleParams) + sizeof(int));
    use.weights += weights;
    use.sampling += step;
    return Block::rounded(weights) + Block::rounded(step);
  }

  void* stream() noexcept override { return static_cast<typename R::backend::stream>(stream_); }
  std::byte* allocate(std::size_t bytes, const char* what) override {
    return blocks_.emplace_back(static_cast<std::byte*>(R::allocate(bytes, what)));
  }
  const std::byte* share(const std::byte* data, std::size_t bytes, const char* what) override {
    std::byte* there = allocate(bytes, what);
    R::copy(there, data, bytes, stream_);
    stream_.wait();
    return there;
  }
  void load(model::ParamTable& table, const WeightSource& source) override {
    WeightUpload upload(request_.whole, request_.rank, table);
    ThreadPool pool(request_.threads, request_.place.cpus);
    Pinned<std::byte> halves(2 * chunk);
    typename R::Event sent[2];
    int half = 0;
    const auto put = [&](std::byte* to, const std::byte* from, std::size_t bytes) {
      for (std::size_t at = 0; at < bytes; at += chunk, half ^= 1) {
        const std::size_t n = std::min(chunk, bytes - at);
        std::byte* by_way_of = halves.data + static_cast<std::size_t>(half) * chunk;
        sent[half].wait();
        std::memcpy(by_way_of, from + at, n);
        R::copy(to + at, by_way_of, n, stream_);
        sent[half].record(stream_);
      }
    };
    upload.run(source, pool, allocate(upload.bytes(), "weights"), put);
    stream_.wait();
  }

  void record(AnyModel& model, std::span<const int> seqs, std::span<const int> tokens) override {
    prepare(model);
    for (const int n : tokens) record_pieces(model, n);
    for (const int n : seqs) {
      if (n > std::min({limits_.seqs, limits_.rows, limits_.logits})) continue;
      // One-token sequences on the first page, which nobody has yet.
      const std::vector<int> zeros(static_cast<std::size_t>(n)), ones(zeros.size(), 1);
      std::vector<int> rows(zeros.size() + 1);
      for (int i = 0; i <= n; ++i) rows[static_cast<std::size_t>(i)] = i;
      Batch b;
      b.tokens = b.positions = b.slots = b.block_table = zeros.data();
      b.first_row = rows.data();
      b.context = ones.data();
      b.rows = b.seqs = b.logits = n;
      b.table_stride = 1;
      const Batch there = stage(b, limits_.pages);
      static_cast<void>(model.step(there));  // kernels are on the device before one is recorded
      stream_.wait();
      const float* logits = nullptr;
      auto graph = std::make_unique<typename R::Graph>(stream_, [&] { logits = model.step(there); });
      graphs_.push_back({GraphKey{n}, std::move(graph), const_cast<float*>(logits)});
    }
  }

  float* step(AnyModel& model, const Batch& batch) noexcept override try {
    if (const Recorded* graph = recorded(batch)) {
      Batch b = batch;
      b.logit_rows = nullptr;
      static_cast<void>(stage(b, limits_.pages, Behind::graph));
      graph->graph->launch(stream_);
      return logits_ = graph->logits;
    }
    if (const Pieced* pieced = in_pieces(batch)) {
      Batch b = batch;
      b.padding = pieced->key.num_tokens - b.rows;
      b.rows = pieced->key.num_tokens;
      Replay replay(pieced->graphs, stream_);
      model.pieces(&replay);
      logits_ = const_cast<float*>(model.step(stage(b, widest(b), Behind::graph)));
      model.pieces(nullptr);
      R::check("a step");
      return logits_;
    }
    logits_ = const_cast<float*>(model.step(stage(batch, widest(batch))));
    R::check("a step");
    return logits_;
  } catch (const Error& e) {
    device_lost(e.what());
  }

  float* draft(AnyModel& model, const Batch& batch, int layer) noexcept override try {
    logits_ = const_cast<float*>(model.draft(stage(batch, widest(batch)), layer));
    R::check("a draft");
    return logits_;
  } catch (const Error& e) {
    device_lost(e.what());
  }

  void sample(AnyModel& model, const float* logits, const kernels::SampleParams* params, int* tokens, int rows) noexcept override {
    draw(model, logits, params, rows);
    collect(tokens, rows);
  }

  void draw(AnyModel& model, const float* logits, const kernels::SampleParams* params, int rows) noexcept override try {
    ATOM_ASSERT(drawn_ - collected_ < std::size(draws_), "draws that nobody collects");
    const auto n = static_cast<std::size_t>(rows);
    Draw& d = draws_[drawn_++ % std::size(draws_)];
    const std::uint64_t* best = logits == logits_ ? best_ : nullptr;  // edited ones have others
    if (logits == edited()) {
      R::copy(logits_, logits, logit_bytes(rows), stream_);
      logits = logits_;
    }
    const bool greedy = std::all_of(params, params + rows, [](const auto& p) { return p.temperature == 0; });
    if (!greedy) {
      std::copy_n(params, n, d.params.data);
      transfer(d.params.data, params_.data, n);
    }
    model.sample({logits, params_.data, nullptr, sampling_.data, tokens_.data, rows, limits_.vocab, limits_.vocab, greedy, best});
    transfer(tokens_.data, d.tokens.data, n);
    d.done.record(stream_);
    R::check("a draw");
  } catch (const Error& e) {
    device_lost(e.what());
  }
  void collect(int* tokens, int rows) noexcept override try {
    Draw& d = draws_[collected_++ % std::size(draws_)];
    d.done.wait();
    std::copy_n(d.tokens.data, rows, tokens);
  } catch (const Error& e) {
    device_lost(e.what());
  }

  float* host(float* logits, int rows) noexcept override try {
    R::copy(edited(), logits, logit_bytes(rows), stream_);
    stream_.wait();
    return edited();
  } catch (const Error& e) {
    device_lost(e.what());
  }

  std::unique_ptr<Stopwatch> stopwatch(int launches) override { return std::make_unique<Watch>(stream_, launches); }

 private:
  static constexpr std::size_t chunk = std::size_t{16} << 20;  // of weights on their way

  template <class T> struct Memory {
    explicit Memory(std::size_t n) : count(n), data(static_cast<T*>(R::allocate(n * sizeof(T), "inputs of a step"))) {}
    ~Memory() { R::release(data); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    std::size_t count;
    T* data;
  };
  template <class T> struct Pinned {
    explicit Pinned(std::size_t n) : data(static_cast<T*>(R::allocate_pinned(n * sizeof(T)))) {}
    ~Pinned() { R::release_pinned(data); }
    Pinned(const Pinned&) = delete;
    Pinned& operator=(const Pinned&) = delete;
    T* data;
  };
  /// What the host sends for a draw, and gets.
  struct Draw {
    explicit Draw(std::size_t rows) : params(rows), tokens(rows) {}
    Pinned<kernels::SampleParams> params;
    Pinned<int> tokens;
    typename R::Event done;
  };
  struct Recorded {
    GraphKey key;
    std::unique_ptr<typename R::Graph> graph;
    float* logits;
  };

  using Graphs = std::vector<std::unique_ptr<typename R::Graph>>;
  struct Pieced {
    BatchDescriptor key;
    Graphs graphs;
  };
  /// Records pieces. What lies outside is not launched: there is no batch yet.
  struct Recorder : Pieces {
    Recorder(Graphs& to, typename R::Stream& s) : Pieces{&note}, graphs(to), stream(s) { open(); }
    Graphs& graphs;
    typename R::Stream& stream;

    void open() { graphs.push_back(std::make_unique<typename R::Graph>(stream)); }
    static void note(Pieces& self, bool leaves) noexcept try {
      auto& r = static_cast<Recorder&>(self);
      r.closed = leaves;
      leaves ? r.graphs.back()->end(r.stream) : r.open();
    } catch (const Error& e) {
      device_lost(e.what());
    }
  };
  /// Launches them, each where the pass leaves it.
  struct Replay : Pieces {
    Replay(const Graphs& from, typename R::Stream& s) : Pieces{&note, true}, graphs(from), stream(s) {}
    const Graphs& graphs;
    typename R::Stream& stream;
    std::size_t next = 0;

    static void note(Pieces& self, bool leaves) noexcept try {
      auto& r = static_cast<Replay&>(self);
      r.closed = !leaves;
      if (leaves) r.graphs[r.next++]->launch(r.stream);
    } catch (const Error& e) {
      device_lost(e.what());
    }
  };

  /// Events between launches: what lies between two is one kernel. The stream begins when `queued` launches are ahead of it, or
  /// all; a stream holds about a thousand.
  class Watch final : public Stopwatch {
   public:
    Watch(const typename R::Stream& stream, int most)
        : Stopwatch(&note, most), stream_(stream), ended_(static_cast<std::size_t>(most) + 1), gate_(stream) {
      ended_[0].record(stream_);
    }
    std::vector<double> seconds() override {
      std::vector<double> each;
      for (std::size_t i = 1; i < ended_.size(); ++i)
        each.push_back(static_cast<double>(ended_[i].milliseconds_since(ended_[i - 1])) * 1e-3);
      return each;
    }

   private:
    static void note(LaunchClock& self, int launch) noexcept try {
      auto& watch = static_cast<Watch&>(self);
      watch.ended_[static_cast<std::size_t>(launch) + 1].record(watch.stream_);
      if (launch + 1 == std::min(queued, watch.capacity)) watch.gate_.open();
    } catch (const Error& e) {
      device_lost(e.what());
    }
    static constexpr int queued = 300;
    const typename R::Stream& stream_;
    std::vector<typename R::Event> ended_;
    typename R::Gate gate_;
  };

  static int pages_of(int context) { return (context + kernels::page_tokens - 1) / kernels::page_tokens; }
  static std::size_t input_ints(const StepLimits& l) {
    const auto rows = static_cast<std::size_t>(l.rows), seqs = static_cast<std::size_t>(l.seqs);
    return (l.draft_layers > 0 ? 6 : 4) * rows + 2 * seqs + 1 + 3 * static_cast<std::size_t>(l.logits) + 1 +
           seqs * static_cast<std::size_t>(l.pages);
  }
  static std::size_t sampling_ints(const StepLimits& l) {
    return impl<kernels::sample, typename R::backend>::scratch_ints(l.logits, l.vocab);
  }
  [[nodiscard]] std::size_t logit_bytes(int rows) const {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(limits_.vocab) * sizeof(float);
  }
  float* edited() const { return reinterpret_cast<float*>(host_logits_.data()); }
  [[nodiscard]] int widest(const Batch& b) const {
    int most = 1;
    for (int s = 0; s < b.seqs; ++s) most = std::max(most, pages_of(b.context[s]));
    return std::min(most, limits_.pages);
  }

  /// A prompt of n tokens, all on the first page.
  void record_pieces(AnyModel& model, int n) {
    const int longest = kernels::page_tokens * limits_.pages, seqs = (n + longest - 1) / longest;
    if (n > limits_.rows || seqs > limits_.seqs) return;
    const std::vector<int> zeros(static_cast<std::size_t>(std::max(n, limits_.pages)));
    std::vector<int> first(static_cast<std::size_t>(seqs) + 1), context;
    for (int s = 0; s < seqs; ++s) {
      first[static_cast<std::size_t>(s) + 1] = std::min(n, (s + 1) * longest);
      context.push_back(first[static_cast<std::size_t>(s) + 1] - first[static_cast<std::size_t>(s)]);
    }
    std::vector<int> table(static_cast<std::size_t>(seqs) * static_cast<std::size_t>(limits_.pages));
    Batch b;
    b.tokens = b.positions = b.slots = b.logit_rows = zeros.data();
    b.block_table = table.data();
    b.first_row = first.data();
    b.context = context.data();
    b.rows = n;
    b.seqs = seqs;
    b.logits = 1;
    b.table_stride = limits_.pages;
    const Batch there = stage(b, limits_.pages);
    static_cast<void>(model.step(there));  // kernels are on the device before they are recorded
    stream_.wait();
    pieced_.push_back({BatchDescriptor{n}, {}});
    Graphs& graphs = pieced_.back().graphs;
    Recorder recorder(graphs, stream_);
    model.pieces(&recorder);
    static_cast<void>(model.step(there));
    model.pieces(nullptr);
    graphs.back()->end(stream_);
    graphs.pop_back();  // nothing lies behind the last cut
    std::ranges::sort(pieced_, {}, &Pieced::key);
  }

  /// The pieces of this step: those of the fewest tokens that hold it.
  const Pieced* in_pieces(const Batch& b) const {
    const auto at = std::ranges::lower_bound(pieced_, BatchDescriptor{b.rows}, {}, &Pieced::key);
    return b.rows == 0 || b.hiddens > 0 || at == pieced_.end() ? nullptr : &*at;
  }

  /// A short prompt, of more rows than own kernels multiply where there is a library: that has chosen for every shape, and kernels
  /// are on the device, before the first request.
  void prepare(AnyModel& model) {
    constexpr int page = kernels::page_tokens, pages = 5;
    const int n = std::min({limits_.rows, page * std::min(limits_.pages, pages)});
    std::vector<int> rows(static_cast<std::size_t>(n));
    std::iota(rows.begin(), rows.end(), 0);
    const std::vector<int> zeros(rows.size());
    const int table[pages] = {0, 1, 2, 3, 4}, first[] = {0, n};
    Batch b;
    b.tokens = b.logit_rows = zeros.data();
    b.positions = b.slots = rows.data();
    b.block_table = table;
    b.first_row = first;
    b.context = &n;
    b.rows = n;
    b.seqs = 1;
    b.logits = std::min(n, limits_.logits);
    b.table_stride = pages;
    if (limits_.draft_layers > 0) b.hidden_rows = b.positions, b.hiddens = n;
    static_cast<void>(model.step(stage(b, limits_.pages)));
    if (limits_.draft_layers > 0) {
      b.hidden_from = b.positions;
      static_cast<void>(model.draft(stage(b, limits_.pages), 0));
    }
    stream_.wait();
  }

  /// Pinned memory to the device, or back, by a kernel: a copy engine between two kernels leaves the device idle for 6 to 10 us
  /// (H100). What this writes, no kernel may read in front of its after_previous().
  template <class T> void transfer(const T* from, T* to, std::size_t n) noexcept {
    static_assert(sizeof(T) % sizeof(int) == 0);
    run_on<kernels::transfer, typename R::backend>(
        stream_, {reinterpret_cast<const int*>(from), reinterpret_cast<int*>(to), static_cast<int>(n * sizeof(T) / sizeof(int))});
  }

  /// What is launched behind a step's inputs. Kernels read them before those in front are done (all but tokens), so no kernel may
  /// write them there; a graph begins when all in front of it is done.
  enum class Behind { kernels, graph };

  /// The batch on the device. Where its arrays lie depends on its sizes and on `stride` alone.
  Batch stage(const Batch& b, int stride, Behind behind = Behind::kernels) {
    staged_.wait();  // the last step's transfer has left the buffer
    Batch there = b;
    std::size_t at = 0;
    const auto put = [&](const int*& array, int n, int padding = 0) {
      std::fill_n(std::copy_n(array, n, staging_.data + at), padding, 0);
      array = inputs_.data + at;
      at += static_cast<std::size_t>(n + padding);
    };
    for (auto* array : {&there.tokens, &there.positions, &there.slots}) put(*array, b.rows - b.padding, b.padding);
    put(there.first_row, b.seqs + 1);
    put(there.context, b.seqs);
    if (b.logit_rows) put(there.logit_rows, b.logits);
    if (b.hiddens > 0) put(there.hidden_rows, b.hiddens);
    if (b.hidden_from) put(there.hidden_from, b.rows);
    there.states = nullptr;  // no kernel here has layers with a state
    at += at % 2;            // best tokens are none yet, whatever became of the last step's
    there.best = best_ = reinterpret_cast<std::uint64_t*>(inputs_.data + at);
    std::fill_n(staging_.data + at, 2 * b.logits, 0);
    at += 2 * static_cast<std::size_t>(b.logits);
    there.block_table = inputs_.data + at;
    there.table_stride = stride;
    for (int s = 0; s < b.seqs; ++s, at += static_cast<std::size_t>(stride))
      std::copy_n(b.block_table + static_cast<std::ptrdiff_t>(s) * b.table_stride,
                  std::min({pages_of(b.context[s]), b.table_stride, stride}), staging_.data + at);
    there.carried = nullptr;
    const int carried = b.carried ? b.rows - b.padding : 0;
    std::copy_n(b.carried, carried, staging_.data + at);
    if (behind == Behind::kernels) R::copy(inputs_.data, staging_.data, at * sizeof(int), stream_);
    const int sent = behind == Behind::kernels ? carried : static_cast<int>(at);
    run_on<kernels::transfer, typename R::backend>(stream_,
                                                   {staging_.data, inputs_.data, sent, tokens_.data, staging_.data + at, carried});
    staged_.record(stream_);
    return there;
  }

  /// The graph of this step, if it is one of answers alone, whose logits are all wanted and whose hidden states are not, and its
  /// size was recorded.
  const Recorded* recorded(const Batch& b) const {
    if (b.rows != b.seqs || b.logits != b.seqs || b.hiddens > 0) return nullptr;
    for (int i = 0; b.logit_rows && i < b.logits; ++i)
      if (b.logit_rows[i] != i) return nullptr;
    const auto at = std::ranges::find(graphs_, GraphKey{b.seqs}, &Recorded::key);
    return at == graphs_.end() ? nullptr : &*at;
  }

  DeviceRequest request_;
  StepLimits limits_;
  typename R::Stream stream_;
  typename R::Event staged_;
  std::vector<std::byte*> blocks_;
  Memory<int> inputs_;
  Memory<kernels::SampleParams> params_;
  Memory<int> tokens_, sampling_;
  Pinned<int> staging_;
  Draw draws_[2];  // at most: one whose tokens feed the step in front of the other
  std::size_t drawn_ = 0, collected_ = 0;
  Block host_logits_;
  std::vector<Recorded> graphs_;
  std::vector<Pieced> pieced_;  // fewest tokens first
  float* logits_ = nullptr;     // of the last step
  std::uint64_t* best_ = nullptr;
};

}  // namespace atom::engine
