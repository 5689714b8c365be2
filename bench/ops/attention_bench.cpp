// paged_attention and rope on Cpu in the shape of Qwen3-0.6B, 16 query heads over 8 KV heads of 128, and with 8 heads over one.
// Every call reads another layer's cache, as a model's step does.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "atom/ops/attention_cpu.hpp"

#include "cpu_bench.hpp"

namespace atom::bench {
namespace {

constexpr int usual_heads = 16, usual_kv_heads = 8;

struct Shape {
  std::string name;
  int seqs, rows, context;  // per sequence
  int heads = usual_heads, kv_heads = usual_kv_heads;
};

template <class T, class Kv, int D> void attention(benchmark::State& state, const Shape& s) {
  using op = kernels::paged_attention<T, Kv, D>;
  using layout = kernels::KvLayout<Kv, D>;
  const int heads = s.heads, kv_heads = s.kv_heads;
  Machine& m = machine();
  m.pool.reserve(attention_scratch_bytes(heads, kv_heads, D));
  const int pages = s.context / layout::page, rows = s.seqs * s.rows, ld = (heads + 2 * kv_heads) * D;
  std::vector<T> q(static_cast<std::size_t>(rows) * static_cast<std::size_t>(ld)), o(static_cast<std::size_t>(rows * heads * D));
  using element = typename layout::element;
  element* const cache = filled<element>();
  std::mt19937 generator(3);
  std::normal_distribution<float> normal;
  for (auto& x : q) x = T(normal(generator));
  std::vector<int> table(static_cast<std::size_t>(s.seqs * pages)), first_row, context(static_cast<std::size_t>(s.seqs), s.context);
  std::iota(table.begin(), table.end(), 0);
  for (int i = 0; i <= s.seqs; ++i) first_row.push_back(i * s.rows);
  const std::size_t each = layout::elements(table.size(), kv_heads), caches = Machine::memory_bytes / sizeof(element) / each;
  if constexpr (kernels::has_scales<Kv>)
    for (std::size_t c = 0; c < caches; ++c)
      for (int page : table)
        for (int h = 0; h < kv_heads; ++h) std::fill_n(layout::scale(cache + c * each, page, h, 0, kv_heads), layout::page, 1.0f);
  typename op::args a{q.data(),       o.data(),
                      nullptr,        nullptr,
                      table.data(),   first_row.data(),
                      context.data(), rows,
                      s.seqs,         heads,
                      kv_heads,       ld,
                      pages,          1 / std::sqrt(static_cast<float>(D))};
  std::size_t at = 0;
  for (auto _ : state) {
    a.k_pages = cache + at * each;
    a.v_pages = cache + (at + 1) * each;
    at = at + 4 <= caches ? at + 2 : 0;
    run_on<op, Cpu>(&m.pool, a);
  }
  report(state, op::cost(a));
}

template <class T, class Kv, int D> void add_attention(const Shape& s) {
  add<kernels::paged_attention<T, Kv, D>>(s.name, [s](benchmark::State& state) { attention<T, Kv, D>(state, s); });
}

template <class T, bool Norm> void add_rope(int rows) {
  using op = kernels::rope<T, 128, kernels::RopeFlags{.qk_norm = Norm}>;
  add<op>("rows:" + std::to_string(rows), [rows](benchmark::State& state) {
    Machine& m = machine();
    std::vector<float> table(static_cast<std::size_t>(rows * 128), 0.5f), norm(128, 1.0f);
    std::vector<int> positions(static_cast<std::size_t>(rows));
    std::iota(positions.begin(), positions.end(), 0);
    const typename op::args a{filled<T>(),
                              positions.data(),
                              table.data(),
                              norm.data(),
                              norm.data(),
                              rows,
                              usual_heads,
                              usual_kv_heads,
                              (usual_heads + 2 * usual_kv_heads) * 128,
                              128,
                              1e-6f};
    for (auto _ : state) run_on<op, Cpu>(&m.pool, a);
    report(state, op::cost(a));
  });
}

const bool added = [] {
  for (const Shape& s :
       {Shape{"prefill:128", 1, 128, 128}, Shape{"prefill:512", 1, 512, 512}, Shape{"prefill:512@1024", 1, 512, 1536},
        Shape{"prefill:128x8", 8, 128, 128}, Shape{"decode:1@1024", 1, 1, 1024}, Shape{"decode:1@8192", 1, 1, 8192},
        Shape{"decode:16@1024", 16, 1, 1024}, Shape{"decode:1@128", 1, 1, 128}, Shape{"decode:1@1024/32:4", 1, 1, 1024, 32, 4}})
    add_attention<bf16, bf16, 128>(s);
  for (const Shape& s :
       {Shape{"prefill:512", 1, 512, 512}, Shape{"decode:1@8192", 1, 1, 8192}, Shape{"decode:1@1024/32:4", 1, 1, 1024, 32, 4}}) {
    add_attention<bf16, quant::PerToken<int8>, 128>(s);
    add_attention<bf16, quant::PerToken<fp8_e4m3>, 128>(s);
  }
  for (const Shape& s : {Shape{"prefill:512", 1, 512, 512}, Shape{"decode:1@1024", 1, 1, 1024}}) {
    add_attention<float, float, 128>(s);
    add_attention<float, bf16, 128>(s);
    add_attention<bf16, bf16, 64>(s);
  }
  for (int rows : {1, 512}) {
    add_rope<bf16, false>(rows);
    add_rope<bf16, true>(rows);
    add_rope<float, true>(rows);
  }
  return true;
}();

}  // namespace
}  // namespace atom::bench
