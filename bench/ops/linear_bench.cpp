// linear on Cpu, and its rivals in the same minutes: Eigen (float) and oneDNN (bf16), where they were found.
// Weights rotate through 512 MiB, so that every call reads them from DRAM, as a model's step does.
// ATOM_BENCH_THREADS=n sets the threads of our pool (default: all), OMP_NUM_THREADS those of the rivals; OMP_WAIT_POLICY=passive
// keeps the rivals' idle threads from disturbing the next measurement. ATOM_CPU_ISA forces a level.
#include <benchmark/benchmark.h>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "atom/core/cpu_features.hpp"
#include "atom/core/processors.hpp"
#include "atom/ops/linear_cpu.hpp"

#include "ceilings.hpp"
#ifdef ATOM_BENCH_EIGEN
#include "linear_eigen.hpp"
#endif
#ifdef ATOM_BENCH_DNNL
#include <dnnl.hpp>
#endif

namespace atom::bench {
namespace {

constexpr std::size_t pool_bytes = std::size_t{512} << 20;

int thread_count() {
  const char* n = std::getenv("ATOM_BENCH_THREADS");
  return n ? std::atoi(n) : default_threads(processors());
}

struct Machine {
  ThreadPool pool{thread_count(), cpus_for(thread_count())};
  char* weights = operands(pool_bytes);
  char* x = operands(std::size_t{64} << 20);
  char* y = operands(std::size_t{64} << 20);
  double amx_bf16 = 0, amx_int8 = 0, fma = 0, bf16_dot = 0, int8_dot = 0;
  Machine() {
    pool.reserve(kernels::linear_scratch(16384).thread);
    pool.reserve_shared(kernels::linear_scratch(16384).shared);
    const cpu::Isa isa = cpu::isa();
    fma = peak(pool, isa == cpu::Isa::avx2 ? Unit::fma256 : Unit::fma512);
    if (isa >= cpu::Isa::avx512_bf16) bf16_dot = peak(pool, Unit::bf16_dot), int8_dot = peak(pool, Unit::int8_dot);
    if (isa == cpu::Isa::amx) amx_bf16 = peak(pool, Unit::amx_bf16), amx_int8 = peak(pool, Unit::amx_int8);
  }
};
Machine& machine() {
  static Machine m;
  return m;
}

struct Shape {
  int m, n, k;
  [[nodiscard]] std::string text() const {
    return "m:" + std::to_string(m) + "/n:" + std::to_string(n) + "/k:" + std::to_string(k);
  }
};

/// Successive places of the weight pool.
class Rotation {
 public:
  explicit Rotation(std::size_t bytes) : bytes_((bytes + 4095) / 4096 * 4096) {}
  char* next() {
    at_ = at_ + 2 * bytes_ <= pool_bytes ? at_ + bytes_ : 0;
    return machine().weights + at_;
  }

 private:
  std::size_t bytes_, at_ = 0;
};

/// Runs `call` for every iteration and compares with what the machine could do, the bandwidth being measured right afterwards.
template <class Call> void measure(benchmark::State& state, const Cost& cost, double peak_gflops, Call&& call) {
  using clock = std::chrono::steady_clock;
  const auto begin = clock::now();
  for (auto _ : state) call();
  const double seconds = std::chrono::duration<double>(clock::now() - begin).count() / static_cast<double>(state.iterations());
  const double gbps = cost.bytes * 1e-9 / seconds, gflops = cost.flops * 1e-9 / seconds;
  state.counters["GB/s"] = gbps;
  state.counters["GFLOP/s"] = gflops;
  state.counters["%peak_bw"] = 100 * gbps / read_bandwidth(machine().pool, machine().weights, pool_bytes / 2);
  if (peak_gflops > 0) state.counters["%peak_flops"] = 100 * gflops / peak_gflops;
}

template <class Key> Cost cost_of(Shape s) {
  typename Key::args a{};
  a.rows = s.m, a.out = s.n, a.in = s.k;
  return Key::cost(a);
}

template <class Key> void run_linear(benchmark::State& state, Shape s, double peak_gflops) {
  Machine& m = machine();
  static const std::vector<float> ones(1 << 18, 1.0f);
  Rotation weights(impl<Key, Cpu>::layout().bytes(s.n, s.k));
  typename Key::args args{};
  args.x = reinterpret_cast<decltype(args.x)>(m.x);
  args.x_scale = args.w_scale = ones.data();
  args.y = reinterpret_cast<decltype(args.y)>(m.y);
  args.rows = s.m, args.out = s.n, args.in = args.ldx = s.k, args.ldy = s.n;
  measure(state, cost_of<Key>(s), peak_gflops, [&] {
    args.w = reinterpret_cast<decltype(args.w)>(weights.next());
    run_on<Key, Cpu>(&m.pool, args);
  });
}

#ifdef ATOM_BENCH_EIGEN
void run_eigen(benchmark::State& state, Shape s) {
  Machine& m = machine();
  Rotation weights(std::size_t{4} * static_cast<std::size_t>(s.n) * static_cast<std::size_t>(s.k));
  measure(state, cost_of<kernels::linear<quant::NoAs<float>, float>>(s), m.fma, [&] {
    eigen_linear(reinterpret_cast<const float*>(m.x), reinterpret_cast<const float*>(weights.next()), reinterpret_cast<float*>(m.y),
                 s.m, s.n, s.k);
  });
}
#endif

#ifdef ATOM_BENCH_DNNL
void run_dnnl(benchmark::State& state, Shape s) {
  Machine& m = machine();
  using dnnl::memory;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto bf = memory::data_type::bf16;
  const memory::desc x({s.m, s.k}, bf, memory::format_tag::ab), w({s.k, s.n}, bf, memory::format_tag::any),
      y({s.m, s.n}, bf, memory::format_tag::ab);
  const dnnl::matmul::primitive_desc desc(dnnl::matmul::desc(x, w, y), engine);
  const dnnl::matmul matmul(desc);
  Rotation weights(desc.weights_desc().get_size());
  memory xm(x, engine, m.x), ym(y, engine, m.y), wm(desc.weights_desc(), engine, m.weights);
  measure(state, cost_of<kernels::linear<quant::No, bf16>>(s), m.amx_bf16, [&] {
    wm.set_data_handle(weights.next());
    matmul.execute(stream, {{DNNL_ARG_SRC, xm}, {DNNL_ARG_WEIGHTS, wm}, {DNNL_ARG_DST, ym}});
    stream.wait();
  });
}
#endif

/// Packing: bytes of weights per second, one thread (the loader calls put concurrently).
template <class Key> void run_pack(benchmark::State& state, Shape s) {
  const auto& layout = impl<Key, Cpu>::layout();
  Machine& m = machine();
  Rotation target(layout.bytes(s.n, s.k));
  for (auto _ : state) layout.put(target.next(), s.n, s.k, {m.x, s.k, 0, s.n});
  state.counters["GB/s"] = benchmark::Counter(
      static_cast<double>(layout.bytes(s.n, s.k)) * static_cast<double>(state.iterations()) * 1e-9, benchmark::Counter::kIsRate);
}

template <class Key> void add(Shape s, double peak_gflops) {
  const std::string name = std::string(std::string_view(Key::name())) + "/cpu/" + s.text();
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    run_linear<Key>(state, s, peak_gflops);
  })->UseRealTime();
}

void add_all() {
  const Machine& m = machine();
  const auto best = [](double a, double b, double c) { return a > 0 ? a : b > 0 ? b : c; };
  const int layers[][2] = {{3072, 1024}, {1024, 3072}, {6144, 1024}};
  for (const auto& [n, k] : layers)
    for (int rows : {1, 2, 4, 8, 16, 32, 64, 128, 512}) {
      const Shape s{rows, n, k};
      add<kernels::linear<quant::No, bf16>>(s, best(m.amx_bf16, m.bf16_dot, m.fma));
      add<kernels::linear<quant::PerToken<int8>, bf16>>(s, best(m.amx_int8, m.int8_dot, m.fma));
      add<kernels::linear<quant::No, float>>(s, m.fma);
      add<kernels::linear<quant::NoAs<fp16>, float>>(s, m.fma);
      add<kernels::linear<quant::NoAs<float>, float>>(s, m.fma);
#ifdef ATOM_BENCH_EIGEN
      benchmark::RegisterBenchmark(("eigen<f32>/" + s.text()).c_str(), [=](benchmark::State& st) {
        run_eigen(st, s);
      })->UseRealTime();
#endif
#ifdef ATOM_BENCH_DNNL
      benchmark::RegisterBenchmark(("onednn<bf16>/" + s.text()).c_str(), [=](benchmark::State& st) {
        run_dnnl(st, s);
      })->UseRealTime();
#endif
    }
  add<kernels::linear<quant::No, bf16, float>>({1, 151936, 1024}, m.bf16_dot);
  for (const Shape s : {Shape{1, 3072, 1024}, Shape{1, 1024, 3072}}) {
    benchmark::RegisterBenchmark(("put<bf16>/" + s.text()).c_str(), run_pack<kernels::linear<quant::No, bf16>>, s)->UseRealTime();
    benchmark::RegisterBenchmark(("put<int8>/" + s.text()).c_str(), run_pack<kernels::linear<quant::PerToken<int8>, bf16>>, s)
        ->UseRealTime();
    benchmark::RegisterBenchmark(("put<f32>/" + s.text()).c_str(), run_pack<kernels::linear<quant::NoAs<float>, float>>, s)
        ->UseRealTime();
  }
}

}  // namespace
}  // namespace atom::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  atom::bench::add_all();
  const auto& m = atom::bench::machine();
  benchmark::AddCustomContext("atom_isa", std::string(atom::cpu::name_of(atom::cpu::isa())));
  benchmark::AddCustomContext("threads", std::to_string(m.pool.threads()));
  benchmark::AddCustomContext("peak GFLOP/s: fma, amx bf16, amx int8",
                              std::to_string(m.fma) + ", " + std::to_string(m.amx_bf16) + ", " + std::to_string(m.amx_int8));
  benchmark::RunSpecifiedBenchmarks();
}
