// rope with QK-norm and kv_write on Cpu in the shape of Qwen3-0.6B: 16 query and 8 KV heads of 128.
#include <numeric>

#include "atom/ops/attention_cpu.hpp"

#include "cpu_bench.hpp"

namespace atom::bench {
namespace {

constexpr int heads = 16, kv_heads = 8, d = 128, ld = (heads + 2 * kv_heads) * d;

std::vector<int> first_integers(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}

template <class T, bool Norm> void add_rope(int rows) {
  using op = kernels::rope<T, d, kernels::RopeFlags{.qk_norm = Norm}>;
  add<op>("rows:" + std::to_string(rows), [rows](benchmark::State& state) {
    const auto positions = first_integers(rows);
    const std::vector<float> angles(static_cast<std::size_t>(rows * d), 0.7071f), w(d, 1.0f);  // turns, and keeps lengths
    const float* norm = Norm ? w.data() : nullptr;
    const typename op::args a{filled<T>(), positions.data(), angles.data(), norm, norm, rows, heads, kv_heads, ld, d, 1e-6f};
    for (auto _ : state) run_on<op, Cpu>(&machine().pool, a);
    report(state, op::cost(a));
  });
}

template <class T> void add_kv_write(int rows) {
  using op = kernels::kv_write<T, T, d>;
  add<op>("rows:" + std::to_string(rows), [rows](benchmark::State& state) {
    const auto slots = first_integers(rows);
    const auto page = static_cast<std::size_t>(kernels::page_tokens);
    const auto n = kernels::KvLayout<T, d>::elements((static_cast<std::size_t>(rows) + page - 1) / page, kv_heads);
    std::vector<T> k(n), v(n);
    const T* qkv = filled<T>();
    const typename op::args a{qkv + heads * d, qkv + (heads + kv_heads) * d, k.data(), v.data(), slots.data(), rows, kv_heads, ld};
    for (auto _ : state) run_on<op, Cpu>(&machine().pool, a);
    report(state, op::cost(a));
  });
}

const bool added = [] {
  for (int rows : {1, 512}) {
    add_rope<bf16, true>(rows);
    add_rope<bf16, false>(rows);
    add_rope<float, true>(rows);
    add_kv_write<bf16>(rows);
  }
  return true;
}();

}  // namespace
}  // namespace atom::bench
