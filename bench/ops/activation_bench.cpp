// silu_mul on Cpu in the shape of Qwen3-0.6B: 3072 columns.
#include "atom/ops/activation_cpu.hpp"

#include "cpu_bench.hpp"

namespace atom::bench {
namespace {

constexpr int cols = 3072;

template <class Q, class T> void add_silu(int rows) {
  using op = kernels::silu_mul<Q, T>;
  add<op>("rows:" + std::to_string(rows), [rows](benchmark::State& state) {
    const auto n = static_cast<std::size_t>(rows * cols);
    std::vector<T> y(n);
    std::vector<int8> q(n);
    std::vector<float> scale(static_cast<std::size_t>(rows));
    const typename op::args a{filled<T>(), y.data(), op::quantizes ? q.data() : nullptr, scale.data(), rows, cols, 2 * cols};
    for (auto _ : state) run_on<op, Cpu>(&machine().pool, a);
    report(state, op::cost(a));
  });
}

const bool added = [] {
  for (int rows : {1, 512}) {
    add_silu<quant::Keep, bf16>(rows);
    add_silu<quant::Keep, float>(rows);
    add_silu<quant::PerToken<int8>, bf16>(rows);
  }
  return true;
}();

}  // namespace
}  // namespace atom::bench
