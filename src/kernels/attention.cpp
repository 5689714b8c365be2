#include "cpu/attention.hpp"

#include <algorithm>

#include "atom/core/error.hpp"
#include "atom/ops/attention_cpu.hpp"

#include "cpu/dispatch.hpp"

namespace atom {
namespace {

using namespace cpu;

int ceil_div(int a, int b) { return a / b + (a % b != 0); }

// How one sequence is cut into tasks per KV head; a function of its own shape.
struct Cut {
  int tasks;   // blocks of rows, or chunks of the context
  int length;  // rows or tokens of each
  bool decode;
};
Cut cut(int rows, int context, int group, int window) {
  if (rows == 1) {
    const int tokens = context - first_seen(context, window) / page * page;
    const int length = std::max(decode_chunk, ceil_div(ceil_div(tokens, decode_chunks), page) * page);
    return {ceil_div(tokens, length), length, true};
  }
  // Every block packs all values it sees: behind a long prefix, few large ones; else many, to share out.
  const int length = (context < 2 * rows ? query_lanes / 2 : query_lanes) / group;
  return {ceil_div(rows, length), length, false};
}

std::size_t thread_floats(int group, int d) {
  return std::max(prefill_floats(d), decode_floats(group, d) + static_cast<std::size_t>(group * (d + partial_extra)));
}

template <class T, class Kv> struct Functions {
  void (*prefill)(const AttentionTask<T, Kv>&, float*);
  void (*decode)(const AttentionTask<T, Kv>&, int, int, float*, float*);
  void (*merge)(const AttentionTask<T, Kv>&, float*, std::ptrdiff_t, int);
};

template <class T, class Kv> Functions<T, Kv> functions(int group, int d) {
  using Low = Attention<Avx2, T, Kv>;
  using High = Attention<Avx512, T, Kv>;
  Functions<T, Kv> f{in_force(Low::prefill, High::prefill), in_force(Low::decode, High::decode), in_force(Low::merge, High::merge)};
  if constexpr (std::same_as<T, bf16>)
    if (isa() >= Isa::amx) {
      if (d % 32 == 0) f.prefill = Attention<Amx, T, Kv>::prefill;
      if (tiles_decode(group, d)) f.decode = Attention<Amx, T, Kv>::decode;
    }
  return f;
}

/// Sequences handed to the pool together: bounded, so that the bookkeeping needs no memory of its own.
template <class T, class Kv> class Wave {
 public:
  Wave(ThreadPool* pool, const kernels::AttentionArgs<T, Kv>& a, int d)
      : pool_(pool),
        a_(a),
        f_(functions<T, Kv>(a.heads / a.kv_heads, d)),
        d_(d),
        group_(a.heads / a.kv_heads),
        partials_(scratch(0) + thread_floats(group_, d)) {}

  /// Runs sequences from `first` on, as many as fit; returns how many.
  int run(int first) noexcept {
    int partials = 0;
    for (count_ = 0; count_ < wave_sequences && first + count_ < a_.seqs; ++count_) {
      const Cut c = cut_of(first + count_);
      const int parts = c.decode && c.tasks > 1 ? c.tasks : 0;
      if (partials + parts > wave_partials) break;
      first_task_[count_ + 1] = first_task_[count_] + c.tasks * a_.kv_heads;
      first_partial_[count_] = partials;
      partials += parts;
    }
    pool_->parallel(first_task_[count_], [&](int task, int thread) noexcept { attend(first, task, scratch(thread)); });
    if (partials > 0) pool_->parallel(ceil_div(count_, 4), [&](int chunk, int) noexcept { join(first, chunk * 4); });
    return count_;
  }

 private:
  float* scratch(int thread) noexcept { return static_cast<float*>(pool_->scratch(thread)); }
  float* partials(int i, int chunk, int kv_head) noexcept {
    return partials_ +
           (static_cast<std::ptrdiff_t>(first_partial_[i] + chunk) * a_.heads + kv_head * group_) * (d_ + partial_extra);
  }
  std::ptrdiff_t partials_stride() const noexcept { return static_cast<std::ptrdiff_t>(a_.heads) * (d_ + partial_extra); }
  int rows_of(int s) const noexcept { return a_.first_row[s + 1] - a_.first_row[s]; }
  int window_of(int s) const noexcept { return a_.window > 0 ? std::min(a_.window, a_.context[s]) : a_.context[s]; }
  Cut cut_of(int s) const noexcept { return cut(rows_of(s), a_.context[s], group_, window_of(s)); }

  /// Rows [row, row + rows) of sequence s, in its own numbering.
  AttentionTask<T, Kv> task_of(int s, int kv_head, int row, int rows) const noexcept {
    const std::ptrdiff_t at = a_.first_row[s] + row, column = static_cast<std::ptrdiff_t>(kv_head) * group_ * d_,
                         ldo = a_.heads * d_;
    const std::ptrdiff_t head_stride = page * (d_ + kernels::CacheRow<Kv>::scale), head = kv_head * head_stride;  // KvLayout
    return {.q = a_.q + at * a_.ldq + column,
            .o = a_.o + at * ldo + column,
            .k = a_.k_pages + head,
            .v = a_.v_pages + head,
            .pages = a_.block_table + static_cast<std::ptrdiff_t>(s) * a_.table_stride,
            .ldq = a_.ldq,
            .ldo = ldo,
            .page_stride = a_.kv_heads * head_stride,
            .d = d_,
            .group = group_,
            .rows = rows,
            .context = a_.context[s] - rows_of(s) + row + rows,
            .window = window_of(s),
            .sinks = a_.sinks ? a_.sinks + kv_head * group_ : nullptr,
            .scale = a_.scale};
  }

  void attend(int first, int task, float* memory) noexcept {
    const int i = static_cast<int>(std::upper_bound(first_task_, first_task_ + count_ + 1, task) - first_task_) - 1;
    const int s = first + i, rows = rows_of(s);
    const int kv_head = (task - first_task_[i]) % a_.kv_heads, part = (task - first_task_[i]) / a_.kv_heads;
    const Cut c = cut_of(s);
    if (!c.decode) {
      const int row = (c.tasks - 1 - part) * c.length;  // the last block sees most: longest task first
      return f_.prefill(task_of(s, kv_head, row, std::min(c.length, rows - row)), memory);
    }
    const AttentionTask<T, Kv> one = task_of(s, kv_head, 0, 1);
    const int token = one.first() + part * c.length, tokens = std::min(c.length, one.context - token);
    if (c.tasks > 1) return f_.decode(one, token, tokens, partials(i, part, kv_head), memory);
    float* result = memory + decode_floats(group_, d_);
    f_.decode(one, token, tokens, result, memory);
    f_.merge(one, result, 0, 1);
  }

  /// Merges the chunks of sequences [i, i + 4) of the wave.
  void join(int first, int begin) noexcept {
    for (int i = begin; i < std::min(begin + 4, count_); ++i) {
      const int s = first + i;
      const Cut c = cut_of(s);
      if (!c.decode || c.tasks == 1) continue;
      for (int h = 0; h < a_.kv_heads; ++h) f_.merge(task_of(s, h, 0, 1), partials(i, 0, h), partials_stride(), c.tasks);
    }
  }

  ThreadPool* pool_;
  const kernels::AttentionArgs<T, Kv>& a_;
  Functions<T, Kv> f_;
  int d_, group_;
  float* partials_;  // (wave_partials, heads) of (d + partial_extra), behind thread 0's own scratch
  int count_ = 0;
  int first_task_[wave_sequences + 1] = {};
  int first_partial_[wave_sequences] = {};
};

}  // namespace

std::size_t attention_scratch_bytes(int heads, int kv_heads, int head_dim) {
  const auto partials =
      std::size_t{wave_partials} * static_cast<std::size_t>(heads) * static_cast<std::size_t>(head_dim + partial_extra);
  return (thread_floats(heads / kv_heads, head_dim) + partials) * sizeof(float);
}

namespace cpu {

template <Activation T, HeadCacheOf<T> Kv>
void paged_attention(ThreadPool* pool, const kernels::AttentionArgs<T, Kv>& a, int head_dim) noexcept {
  ATOM_ASSERT(a.scale > 0, "scores are scaled after their maximum is taken");
  Wave<T, Kv> wave(pool, a, head_dim);
  for (int s = 0; s < a.seqs;) s += wave.run(s);
}

template void paged_attention(ThreadPool*, const kernels::AttentionArgs<float, float>&, int) noexcept;
template void paged_attention(ThreadPool*, const kernels::AttentionArgs<bf16, bf16>&, int) noexcept;
template void paged_attention(ThreadPool*, const kernels::AttentionArgs<float, bf16>&, int) noexcept;
template void paged_attention(ThreadPool*, const kernels::AttentionArgs<bf16, quant::PerToken<int8>>&, int) noexcept;
template void paged_attention(ThreadPool*, const kernels::AttentionArgs<bf16, quant::PerToken<fp8_e4m3>>&, int) noexcept;

}  // namespace cpu
}  // namespace atom
