// rmsnorm on Cpu in the shape of Qwen3-0.6B: 1024 columns.
#include "atom/ops/norm_cpu.hpp"

#include "cpu_bench.hpp"

namespace atom::bench {
namespace {

using kernels::NormFlags;
constexpr int cols = 1024;

template <NormFlags F, class Q, class T> void add_rms(int rows) {
  using op = kernels::rmsnorm<F, Q, T>;
  add<op>("rows:" + std::to_string(rows), [rows](benchmark::State& state) {
    const auto n = static_cast<std::size_t>(rows * cols);
    const T* x = filled<T>();
    std::vector<T> residual(x, x + n), y(n);
    std::vector<int8> q(n);
    std::vector<float> w(cols, 1.0f), scale(static_cast<std::size_t>(rows));
    const typename op::args a{x,
                              F.residual ? residual.data() : nullptr,
                              w.data(),
                              y.data(),
                              op::quantizes ? q.data() : nullptr,
                              scale.data(),
                              rows,
                              cols,
                              cols,
                              1e-6f};
    for (auto _ : state) run_on<op, Cpu>(&machine().pool, a);
    report(state, op::cost(a));
  });
}

const bool added = [] {
  for (int rows : {1, 512}) {
    add_rms<NormFlags{}, quant::Keep, bf16>(rows);
    add_rms<NormFlags{.residual = true}, quant::Keep, bf16>(rows);
    add_rms<NormFlags{.residual = true}, quant::Keep, float>(rows);
    add_rms<NormFlags{.residual = true}, quant::PerToken<int8>, bf16>(rows);
  }
  return true;
}();

}  // namespace
}  // namespace atom::bench
