// Latent attention on Cpu: work cut into tasks, and the two forms of a task.
// One idea: both forms end in the ordinary attention of several rows (cpu/attention.hpp). The absorbed one moves Wk to the queries:
// all heads read the cached row itself, as key and as value, and Wv follows the sum. The expanded one makes a head's keys and
// values of so many tokens at a time, with linear's kernels where those serve; pieces of a context are joined by their sums of
// exponentials. A sequence of one row is cut finer, for it may be alone: Wk by heads, the sum by chunks of the context, Wv by
// heads, so that weights are read once and every thread has some. How a sequence is cut depends on its own shape alone.
#include "cpu/mla.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "atom/core/error.hpp"
#include "atom/ops/mla_cpu.hpp"

#include "cpu/attention.hpp"
#include "cpu/convert.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/linear_driver.hpp"

namespace atom {
namespace cpu {
namespace {

using kernels::LatentDims;

constexpr int most_rows = 512;     // of an expanded task
constexpr int most_tokens = 512;   // whose keys and values it makes at a time
constexpr int few_lanes = 32;      // (row, head) pairs of an absorbed task of one row
constexpr int many_lanes = 128;    // of one of several
constexpr int least_chunk = 256;   // tokens of a context that is cut, when one row reads it, into at most ...
constexpr int most_chunks = 16;    // ... so many chunks
constexpr int most_pieces = 2048;  // heads of chunks handed to the pool together, or those of one sequence
constexpr int made_at_once = 32;   // tokens
constexpr int weight_rows = 32;    // of a panel
static_assert(most_tokens <= max_pass_rows);

int ceil_div(int a, int b) { return a / b + (a % b != 0); }

/// Hands out pieces of one memory, or counts what they take.
class Carve {
 public:
  explicit Carve(void* memory) : memory_(static_cast<char*>(memory)) {}
  template <class U> U* take(std::ptrdiff_t n) {
    char* p = memory_ ? memory_ + used_ : nullptr;
    used_ += (static_cast<std::size_t>(n) * sizeof(U) + 63) / 64 * 64;
    return reinterpret_cast<U*>(p);
  }
  [[nodiscard]] std::size_t used() const { return used_; }

 private:
  char* memory_;
  std::size_t used_ = 0;
};

template <class T> struct ExpandedMemory {
  T *q, *keys, *values, *part;  // (rows, key), (tokens, key) twice, (rows, key)
  float *sum, *made, *lse, *top, *total;
  int* pages;
  float* attention;
  char *packed, *sums;  // of linear's kernels: rows of c, and what a call needs besides
  ExpandedMemory(Carve& c, const LatentDims& d) {
    const int key = d.n + d.r;
    q = c.take<T>(std::ptrdiff_t{most_rows} * key);
    keys = c.take<T>(std::ptrdiff_t{most_tokens} * key);
    values = c.take<T>(std::ptrdiff_t{most_tokens} * key);
    part = c.take<T>(std::ptrdiff_t{most_rows} * key);
    sum = c.take<float>(std::ptrdiff_t{most_rows} * d.v);
    made = c.take<float>(std::ptrdiff_t{made_at_once} * (d.n + d.v));
    lse = c.take<float>(most_rows);
    top = c.take<float>(most_rows);
    total = c.take<float>(most_rows);
    pages = c.take<int>(most_tokens / page);
    attention = c.take<float>(static_cast<std::ptrdiff_t>(prefill_floats(key)));
    packed = c.take<char>(most_tokens * a_row_bytes(weight_blocks<float>(d.c)));
    sums = c.take<char>(acc_bytes + expanded_bytes);
  }
};

template <class T> struct AbsorbedMemory {
  T *u, *z;  // (lanes, c + r)
  float *lse, *made, *sum, *attention;
  AbsorbedMemory(Carve& c, const LatentDims& d) {
    u = c.take<T>(std::ptrdiff_t{many_lanes} * (d.c + d.r));
    z = c.take<T>(std::ptrdiff_t{many_lanes} * (d.c + d.r));
    lse = c.take<float>(many_lanes);
    made = c.take<float>(std::ptrdiff_t{many_lanes} * d.v);
    sum = c.take<float>(d.c);
    attention = c.take<float>(static_cast<std::ptrdiff_t>(prefill_floats(d.c + d.r)));
  }
};

/// Of sequences of one row, between their three steps.
template <class T> struct SharedMemory {
  T *u, *z;    // (sequences, heads, c + r), (chunks, heads, c + r)
  float* lse;  // (chunks, heads)
  SharedMemory(Carve& c, const LatentDims& d, int heads) {
    const int pieces = std::max(most_pieces, most_chunks * heads);
    u = c.take<T>(std::ptrdiff_t{pieces} * (d.c + d.r));
    z = c.take<T>(std::ptrdiff_t{pieces} * (d.c + d.r));
    lse = c.take<float>(pieces);
  }
};

template <class T, class Kv> auto prefill_of(int d) {
  auto f = in_force(Attention<Avx2, T, Kv>::prefill, Attention<Avx512, T, Kv>::prefill);
  if constexpr (std::same_as<T, bf16> && std::same_as<Kv, bf16>)
    if (isa() >= Isa::amx && d % 32 == 0) f = Attention<Amx, T, Kv>::prefill;
  return f;
}

/// How one sequence is cut.
struct Cut {
  bool expanded, alone;     // one row
  int rows, heads, tokens;  // of a task
  int row_blocks, head_blocks, chunks;
  [[nodiscard]] int tasks() const { return row_blocks * head_blocks * chunks; }
};
Cut cut(const LatentDims& d, int rows, int context, int heads) {
  if (rows == 0) return {};
  if (latent_expands(d, rows, context)) {
    const int each = std::min(rows, most_rows);
    return {true, false, each, 1, context, ceil_div(rows, each), heads, 1};
  }
  const int lanes = rows == 1 ? few_lanes : many_lanes, each = std::min(rows, lanes), together = std::min(heads, lanes / each);
  const int whole = ceil_div(ceil_div(context, most_chunks), page) * page;
  const int tokens = rows == 1 ? std::max(least_chunk, whole) : context;
  return {false, rows == 1, each, together, tokens, ceil_div(rows, each), ceil_div(heads, together), ceil_div(context, tokens)};
}

/// Sequences handed to the pool together: bounded, so that the bookkeeping needs no memory of its own.
template <class Q, class T, class Kv> class Wave {
  using W = typename Q::weight;

 public:
  Wave(ThreadPool* pool, const kernels::LatentArgs<Q, T, Kv>& a, const LatentDims& d)
      : pool_(pool),
        a_(a),
        d_(d),
        panel_bytes_(static_cast<std::ptrdiff_t>(impl<kernels::linear<Q, T>, Cpu>::layout().bytes(weight_rows, d.c))),
        width_(d.c + d.r),
        shared_(shared_of(pool, d, a.heads)) {}

  /// Runs sequences from `first` on, as many as fit; returns how many.
  int run(int first) noexcept {
    int alone = 0, chunks = 0;
    for (count_ = 0; count_ < wave_sequences && first + count_ < a_.seqs; ++count_) {
      const Cut c = cut_of(first + count_);
      if (c.alone) {
        if (alone > 0 && (chunks + c.chunks) * a_.heads > most_pieces) break;
        alone_[alone] = count_;
        place_[count_] = alone++;
        first_chunk_[count_] = chunks;
        chunks += c.chunks;
      }
      first_task_[count_ + 1] = first_task_[count_] + c.tasks();
    }
    if (alone > 0)  // neighbours share a head's weights
      pool_->parallel(alone * a_.heads, [&](int task, int) noexcept {
        const int i = alone_[task % alone], head = task / alone;
        absorb(first + i, 0, 1, head, lane(i, head), 0);
      });
    pool_->parallel(first_task_[count_], [&](int task, int thread) noexcept {
      const int i = static_cast<int>(std::upper_bound(first_task_, first_task_ + count_ + 1, task) - first_task_) - 1;
      const int s = first + i, n = task - first_task_[i];
      const Cut c = cut_of(s);
      Carve memory(pool_->scratch(thread));
      // The last rows see most: longest task first.
      const int row = (c.row_blocks - 1 - n / (c.head_blocks * c.chunks)) * c.rows, rows = std::min(c.rows, rows_of(s) - row);
      const int head = n % c.head_blocks * c.heads;
      if (c.expanded) return expanded(s, row, rows, head, ExpandedMemory<T>(memory, d_));
      const int heads = std::min(c.heads, a_.heads - head);
      const AbsorbedMemory<T> m(memory, d_);
      if (!c.alone) return absorbed(s, row, rows, head, heads, m);
      const int chunk = n / c.head_blocks % c.chunks;
      const std::ptrdiff_t at = piece(i, chunk, head);
      attend(s, 0, 1, heads, chunk * c.tokens, c.tokens, lane(i, head), shared_.z + at * width_, shared_.lse + at, m.attention);
    });
    if (alone > 0)
      pool_->parallel(alone * a_.heads, [&](int task, int thread) noexcept {
        const int i = alone_[task % alone], head = task / alone;
        Carve memory(pool_->scratch(thread));
        join(first + i, i, head, AbsorbedMemory<T>(memory, d_));
      });
    return count_;
  }

  static std::size_t shared_bytes(const LatentDims& d, int heads) {
    Carve memory(nullptr);
    static_cast<void>(SharedMemory<T>(memory, d, heads));
    return memory.used();
  }

 private:
  static SharedMemory<T> shared_of(ThreadPool* pool, const LatentDims& d, int heads) {
    Carve memory(pool->shared_scratch());
    return {memory, d, heads};
  }
  [[nodiscard]] int rows_of(int s) const { return a_.first_row[s + 1] - a_.first_row[s]; }
  [[nodiscard]] Cut cut_of(int s) const { return cut(d_, rows_of(s), a_.context[s], a_.heads); }
  [[nodiscard]] const int* pages_of(int s) const { return a_.block_table + static_cast<std::ptrdiff_t>(s) * a_.table_stride; }
  [[nodiscard]] const T* query(int s, int row, int head) const {
    return a_.q + static_cast<std::ptrdiff_t>(a_.first_row[s] + row) * a_.ldq + static_cast<std::ptrdiff_t>(head) * (d_.n + d_.r);
  }
  [[nodiscard]] T* output(int s, int row, int head) const {
    return a_.o + (static_cast<std::ptrdiff_t>(a_.first_row[s] + row) * a_.heads + head) * d_.v;
  }
  /// `count` rows of a head's weights from row `first` on.
  [[nodiscard]] PanelRows weights(int head, int first, int count) const {
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(head) * (d_.n + d_.v) + first;
    return {reinterpret_cast<const char*>(a_.w) + row / weight_rows * panel_bytes_, panel_bytes_,
            quant::Scaled<Q> ? a_.w_scale + row : nullptr, count, d_.c};
  }
  // Of the i-th sequence of the wave, which has one row.
  [[nodiscard]] T* lane(int i, int head) const { return shared_.u + (std::ptrdiff_t{place_[i]} * a_.heads + head) * width_; }
  [[nodiscard]] std::ptrdiff_t piece(int i, int chunk, int head) const {
    return (std::ptrdiff_t{first_chunk_[i]} + chunk) * a_.heads + head;
  }

  /// u = [Wk q | q's last channels], for `rows` rows of one head, `ld` apart.
  void absorb(int s, int row, int rows, int head, T* u, std::ptrdiff_t ld) noexcept {
    const T* q = query(s, row, head);
    absorb_(weights(head, 0, d_.n), q, a_.ldq, rows, u, ld);
    for (int i = 0; i < rows; ++i)
      std::memcpy(u + i * ld + d_.c, q + static_cast<std::ptrdiff_t>(i) * a_.ldq + d_.n,
                  static_cast<std::size_t>(d_.r) * sizeof(T));
  }
  /// z = what these queries find in `most` tokens from `first` on, as far as they see; (rows, heads, c + r), as u.
  void attend(int s, int row, int rows, int heads, int first, int most, const T* u, T* z, float* lse, float* memory) noexcept {
    const int seen = std::min(a_.context[s] - rows_of(s) + row + rows - first, most);
    cached_({.q = u,
             .o = z,
             .k = a_.pages,
             .v = a_.pages,
             .pages = pages_of(s) + first / page,
             .ldq = heads * width_,
             .ldo = heads * width_,
             .page_stride = page * width_,
             .d = static_cast<int>(width_),
             .group = heads,
             .rows = rows,
             .context = seen,
             .window = seen,
             .sinks = nullptr,
             .scale = a_.scale,
             .lse = lse},
            memory);
  }
  /// The output of one head: Wv z.
  void make(int s, int row, int rows, int head, const T* z, std::ptrdiff_t ld, float* made) noexcept {
    make_(weights(head, d_.n, d_.v), z, ld, rows, made, d_.v);
    for (int i = 0; i < rows; ++i) put_(made + static_cast<std::ptrdiff_t>(i) * d_.v, 1, output(s, row + i, head), d_.v);
  }

  /// Several rows, in one go.
  void absorbed(int s, int row, int rows, int head, int heads, const AbsorbedMemory<T>& m) noexcept {
    const std::ptrdiff_t ld = heads * width_;
    for (int h = 0; h < heads; ++h) absorb(s, row, rows, head + h, m.u + h * width_, ld);
    attend(s, row, rows, heads, 0, a_.context[s], m.u, m.z, m.lse, m.attention);
    for (int h = 0; h < heads; ++h) make(s, row, rows, head + h, m.z + h * width_, ld, m.made);
  }

  /// The last step of one head of a sequence of one row, i-th of the wave.
  void join(int s, int i, int head, const AbsorbedMemory<T>& m) noexcept {
    const int chunks = cut_of(s).chunks;
    const auto part = [&](int chunk) { return shared_.z + piece(i, chunk, head) * width_; };
    if (chunks == 1) return make(s, 0, 1, head, part(0), width_, m.made);
    std::fill_n(m.sum, d_.c, 0.0f);
    float top = -INFINITY, total = 0;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const float lse = shared_.lse[piece(i, chunk, head)], higher = std::max(top, lse), keep = std::exp2(top - higher),
                  weight = std::exp2(lse - higher);
      blend_(m.sum, keep, part(chunk), weight, d_.c);
      total = total * keep + weight;
      top = higher;
    }
    put_(m.sum, 1 / total, m.z, d_.c);
    make(s, 0, 1, head, m.z, width_, m.made);
  }

  void expanded(int s, int row, int rows, int head, const ExpandedMemory<T>& m) noexcept {
    const int key = d_.n + d_.r;
    for (int i = 0; i < rows; ++i) {
      std::memcpy(m.q + static_cast<std::ptrdiff_t>(i) * key, query(s, row + i, head), static_cast<std::size_t>(key) * sizeof(T));
      m.top[i] = -INFINITY;
      m.total[i] = 0;
    }
    std::fill_n(m.sum, static_cast<std::ptrdiff_t>(rows) * d_.v, 0.0f);
    for (int p = 0; p < most_tokens / page; ++p) m.pages[p] = p;
    AttentionTask<T, T> task{.q = m.q,
                             .o = m.part,
                             .k = m.keys,
                             .v = m.values,
                             .pages = m.pages,
                             .ldq = key,
                             .ldo = key,
                             .page_stride = static_cast<std::ptrdiff_t>(page) * key,
                             .d = key,
                             .group = rows,  // before the block itself all rows see all tokens, as if they were heads
                             .rows = 1,
                             .context = 0,
                             .window = 0,
                             .sinks = nullptr,
                             .scale = a_.scale,
                             .lse = m.lse};
    const auto attend = [&](int first, int tokens) {
      expand(s, head, first, tokens, m);
      task.context = task.window = tokens;
      made_(task, m.attention);
      for (int i = 0; i < rows; ++i) {
        const float higher = std::max(m.top[i], m.lse[i]), keep = std::exp2(m.top[i] - higher),
                    weight = std::exp2(m.lse[i] - higher);
        blend_(m.sum + static_cast<std::ptrdiff_t>(i) * d_.v, keep, m.part + static_cast<std::ptrdiff_t>(i) * key, weight, d_.v);
        m.total[i] = m.total[i] * keep + weight;
        m.top[i] = higher;
      }
    };
    const int before = a_.context[s] - rows_of(s) + row;
    for (int first = 0; first < before; first += most_tokens) attend(first, std::min(most_tokens, before - first));
    task.group = 1;
    task.rows = rows;
    attend(before, rows);
    for (int i = 0; i < rows; ++i)
      put_(m.sum + static_cast<std::ptrdiff_t>(i) * d_.v, 1 / m.total[i], output(s, row + i, head), d_.v);
  }

  /// One head's keys and values of tokens [first, first + n); values are as wide as keys, with zeros. Where the scheme leaves rows
  /// alone they are two products of linear's kernels.
  void expand(int s, int head, int first, int n, const ExpandedMemory<T>& m) noexcept {
    const std::ptrdiff_t width = d_.c + d_.r, key = d_.n + d_.r;
    [[maybe_unused]] const LinearKernel* kernel = nullptr;
    [[maybe_unused]] LinearJob made{};
    if constexpr (!quant::Scaled<Q>) {
      kernel = &choices<Kv, W>[static_cast<std::size_t>(isa())].of(n);
      made = job_of<Q, Kv, T>(*kernel, {nullptr, nullptr, nullptr, nullptr, nullptr, m.keys, n, d_.n, d_.c, static_cast<int>(width),
                                        static_cast<int>(key)});
      made.a = m.packed;
      made.last_block = made.w_blocks;
      made.a_blocks = made.w_blocks * made.widening;
    }
    for (int t = 0; t < n;) {
      const int token = first + t, in_page = token % page, count = std::min(page - in_page, n - t);
      const Kv* rows = a_.pages + (static_cast<std::ptrdiff_t>(pages_of(s)[token / page]) * page + in_page) * width;
      T *k = m.keys + t * key, *v = m.values + t * key;
      for (int i = 0; i < count; ++i) {
        copy_row(rows + i * width + d_.c, k + i * key + d_.n, d_.r);
        std::memset(static_cast<void*>(v + i * key + d_.v), 0, static_cast<std::size_t>(key - d_.v) * sizeof(T));
      }
      if constexpr (quant::Scaled<Q>) {
        make_rows(weights(head, 0, d_.n + d_.v), rows, count, k, v, m.made);
      } else {
        made.x = rows - t * width;  // as if the page's first row were the t-th of a matrix
        kernel->pack(made, t, t + count);
      }
      t += count;
    }
    if constexpr (!quant::Scaled<Q>) {
      const auto multiply = [&](const PanelRows& w, T* y) {
        made.w = w.panels;
        made.y = y;
        made.out = w.rows;
        made.panels = panel_count(w.rows);
        kernel->panels(made, 0, made.panels, m.sums);
      };
      multiply(weights(head, 0, d_.n), m.keys);
      multiply(weights(head, d_.n, d_.v), m.values);
    }
    const int whole = (n + page - 1) / page * page;  // what a page holds is read, though masked
    std::memset(static_cast<void*>(m.keys + n * key), 0, static_cast<std::size_t>((whole - n) * key) * sizeof(T));
    std::memset(static_cast<void*>(m.values + n * key), 0, static_cast<std::size_t>((whole - n) * key) * sizeof(T));
  }

  /// The same of a page's rows, of weights that are decoded as they are read.
  void make_rows(const PanelRows& w, const Kv* rows, int n, T* k, T* v, float* made) noexcept {
    const std::ptrdiff_t key = d_.n + d_.r, both = d_.n + d_.v;
    expand_(w, rows, d_.c + d_.r, n, made, both);
    for (int i = 0; i < n; ++i) {
      put_(made + i * both, 1, k + i * key, d_.n);
      put_(made + i * both + d_.n, 1, v + i * key, d_.v);
    }
  }

  static void copy_row(const Kv* from, T* to, int n) noexcept {
    if constexpr (std::same_as<T, Kv>)
      std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
    else
      in_force(Convert<Avx2, Kv, T>::row, Convert<Avx512, Kv, T>::row)(from, to, n);
  }

  ThreadPool* pool_;
  const kernels::LatentArgs<Q, T, Kv>& a_;
  LatentDims d_;
  std::ptrdiff_t panel_bytes_, width_;
  SharedMemory<T> shared_;
  int count_ = 0;
  int first_task_[wave_sequences + 1] = {};
  int alone_[wave_sequences] = {}, place_[wave_sequences] = {}, first_chunk_[wave_sequences] = {};
  // Of the level in force.
  decltype(&LatentHeads<Avx2, T, W>::absorb) absorb_ = in_force(LatentHeads<Avx2, T, W>::absorb, LatentHeads<Avx512, T, W>::absorb);
  decltype(&LatentHeads<Avx2, T, W>::make) make_ = in_force(LatentHeads<Avx2, T, W>::make, LatentHeads<Avx512, T, W>::make);
  decltype(&LatentHeads<Avx2, Kv, W>::make) expand_ = in_force(LatentHeads<Avx2, Kv, W>::make, LatentHeads<Avx512, Kv, W>::make);
  decltype(&LatentRows<Avx2, T>::put) put_ = in_force(LatentRows<Avx2, T>::put, LatentRows<Avx512, T>::put);
  decltype(&LatentRows<Avx2, T>::blend) blend_ = in_force(LatentRows<Avx2, T>::blend, LatentRows<Avx512, T>::blend);
  void (*cached_)(const AttentionTask<T, Kv>&, float*) = prefill_of<T, Kv>(d_.c + d_.r);
  void (*made_)(const AttentionTask<T, T>&, float*) = prefill_of<T, T>(d_.n + d_.r);
};

}  // namespace

template <Activation T, CacheOf<T> Kv>
void latent_write(ThreadPool* pool, const T* c, const T* k_pe, Kv* pages, const int* slots, int rows, int ldc, int ldk,
                  const LatentDims& d) noexcept {
  const auto copy = [] {
    if constexpr (std::same_as<T, Kv>)
      return [](const T* from, Kv* to, int n) { std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(Kv)); };
    else
      return in_force(Convert<Avx2, T, Kv>::row, Convert<Avx512, T, Kv>::row);
  }();
  for_rows(pool, rows, d.c + d.r, [&](int first, int count) {
    for (std::ptrdiff_t r = first; r < first + count; ++r) {
      Kv* to = pages + static_cast<std::ptrdiff_t>(slots[r]) * (d.c + d.r);
      copy(c + r * ldc, to, d.c);
      copy(k_pe + r * ldk, to + d.c, d.r);
    }
  });
}

template <class Q, Activation T, CacheOf<T> Kv>
void latent_attention(ThreadPool* pool, const kernels::LatentArgs<Q, T, Kv>& a, const LatentDims& d) noexcept {
  ATOM_ASSERT(a.scale > 0, "scores are scaled after their maximum is taken");
  Wave<Q, T, Kv> wave(pool, a, d);
  for (int s = 0; s < a.seqs;) s += wave.run(s);
}

template void latent_write(ThreadPool*, const float*, const float*, float*, const int*, int, int, int, const LatentDims&) noexcept;
template void latent_write(ThreadPool*, const bf16*, const bf16*, bf16*, const int*, int, int, int, const LatentDims&) noexcept;
template void latent_write(ThreadPool*, const float*, const float*, bf16*, const int*, int, int, int, const LatentDims&) noexcept;
template void latent_attention(ThreadPool*, const kernels::LatentArgs<quant::NoAs<bf16>, float, float>&,
                               const LatentDims&) noexcept;
template void latent_attention(ThreadPool*, const kernels::LatentArgs<quant::NoAs<bf16>, bf16, bf16>&, const LatentDims&) noexcept;
template void latent_attention(ThreadPool*, const kernels::LatentArgs<quant::NoAs<bf16>, float, bf16>&, const LatentDims&) noexcept;
template void latent_attention(ThreadPool*, const kernels::LatentArgs<quant::NoAs<fp16>, float, float>&,
                               const LatentDims&) noexcept;
template void latent_attention(ThreadPool*, const kernels::LatentArgs<quant::NoAs<fp16>, bf16, bf16>&, const LatentDims&) noexcept;
template void latent_attention(ThreadPool*, const kernels::LatentArgs<quant::NoAs<fp16>, float, bf16>&, const LatentDims&) noexcept;
template void latent_attention(ThreadPool*, const kernels::LatentArgs<quant::NoAs<float>, float, float>&,
                               const LatentDims&) noexcept;
template void latent_attention(ThreadPool*, const kernels::LatentArgs<quant::NoAs<float>, bf16, bf16>&, const LatentDims&) noexcept;
template void latent_attention(ThreadPool*, const kernels::LatentArgs<quant::NoAs<float>, float, bf16>&,
                               const LatentDims&) noexcept;
template void latent_attention(ThreadPool*, const kernels::LatentArgs<quant::PerToken<int8>, float, float>&,
                               const LatentDims&) noexcept;
template void latent_attention(ThreadPool*, const kernels::LatentArgs<quant::PerToken<int8>, bf16, bf16>&,
                               const LatentDims&) noexcept;
template void latent_attention(ThreadPool*, const kernels::LatentArgs<quant::PerToken<int8>, float, bf16>&,
                               const LatentDims&) noexcept;

}  // namespace cpu

kernels::LatentScratch kernels::latent_scratch(const LatentDims& d, int heads) noexcept {
  cpu::Carve expanded(nullptr), absorbed(nullptr);
  static_cast<void>(cpu::ExpandedMemory<float>(expanded, d));
  static_cast<void>(cpu::AbsorbedMemory<float>(absorbed, d));
  return {std::max(expanded.used(), absorbed.used()), cpu::Wave<quant::No, float, float>::shared_bytes(d, heads)};
}

template <cpu::Activation T>
void impl<kernels::rope_pairs<T>, Cpu>::run(Cpu::stream pool, const typename kernels::rope_pairs<T>::args& a) noexcept {
  ATOM_ASSERT(a.rotary_dim % 32 == 0, "rope_pairs: rotary widths are multiples of 32");
  const auto rotate = cpu::in_force(cpu::LatentRows<cpu::Avx2, T>::rotate_pairs, cpu::LatentRows<cpu::Avx512, T>::rotate_pairs);
  cpu::for_rows(pool, a.rows, a.heads * a.rotary_dim, [&](int first, int count) {
    for (std::ptrdiff_t r = first; r < first + count; ++r)
      rotate(a.x + r * a.ldx, a.heads, a.ldh, a.cos_sin + static_cast<std::ptrdiff_t>(a.positions[r]) * a.rotary_dim, a.rotary_dim);
  });
}

template struct impl<kernels::rope_pairs<float>, Cpu>;
template struct impl<kernels::rope_pairs<bf16>, Cpu>;

}  // namespace atom
