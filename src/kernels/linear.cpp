// linear on Cpu: the portable half. Chooses kernels for the ISA level in force, packs activations, hands out panels.
#include <algorithm>
#include <atomic>

#include "atom/core/error.hpp"

#include "cpu/linear_driver.hpp"

namespace atom {
namespace cpu {
namespace {

constexpr std::ptrdiff_t sums_bytes = std::ptrdiff_t{8} << 20;  // sums kept between slices of `in`
constexpr int row_step = 96;                                    // passes end at multiples of it: whole groups for every kernel
constexpr int slice_step = 16;                                  // slices of `in` at multiples of so many blocks: AMX's depth

// Passes of nearly equal size, a whole number of row_steps if there is a choice.
constexpr int rows_per_pass(int rows) {
  if (rows <= max_pass_rows) return rows;
  constexpr int most = max_pass_rows / row_step * row_step;
  const int passes = (rows + most - 1) / most;
  return ((rows + passes - 1) / passes + row_step - 1) / row_step * row_step;
}
static_assert(rows_per_pass(1024) <= max_pass_rows && rows_per_pass(961) <= max_pass_rows, "sums of a pass overflow the scratch");

// Weights are read once per pass, however long their rows: when activations do not fit into L2, `in` is cut into slices and the
// sums are kept.
int blocks_per_slice(int rows, int w_blocks, int widening) {
  const std::ptrdiff_t column = std::ptrdiff_t{rows} * block_bytes * widening;
  if (column * w_blocks <= packed_bytes) return w_blocks;
  return std::max(static_cast<int>(packed_bytes / column) / slice_step, 1) * slice_step;
}

// Eight chunks per thread even out disturbances, but fewer than four panels together do not reach memory's full rate.
int panels_per_chunk(int panels, int threads) {
  const int even = panels / (8 * threads), least = std::min(4, (panels + threads - 1) / threads);
  return even < 8 ? std::max(even, least) : std::min(even, 32) / 8 * 8;
}

// `next`: what a thread probably reads next, the others taking as much meanwhile. A wrong guess costs little.
void expect(LinearJob& j, int next) noexcept {
  j.then_panels = std::max(j.panels - next, 0);
  j.then = static_cast<const char*>(j.w) + next * j.panel_bytes;
}

// Whether every thread packs all rows for itself: then no thread waits for another, no line comes from another core's cache, and
// the thread's first weights are on their way meanwhile. Worth it unless there are many rows to pack and few panels to multiply
// them with.
bool packs_alone(int threads, const LinearKernel& kernel, const LinearJob& j) noexcept {
  constexpr int few_rows = 32, many_panels = 8;
  return fits_thread(kernel, j.rows, j.w_blocks) && (j.rows <= few_rows || j.panels >= many_panels * threads);
}

void run_alone(ThreadPool& pool, const LinearKernel& kernel, LinearJob job) noexcept {
  const int chunk = panels_per_chunk(job.panels, pool.threads()), others = chunk * (pool.threads() - 1);
  job.last_block = job.w_blocks;
  job.a_blocks = job.w_blocks * kernel.widening;
  std::atomic<int> next{0};
  pool.parallel(pool.threads(), [&](int, int thread) {
    LinearJob j = job;
    char* const scratch = static_cast<char*>(pool.scratch(thread));
    j.a = scratch + thread_bytes - packed_bytes;
    for (bool packed = false;; packed = true) {
      const int p = next.fetch_add(chunk, std::memory_order_relaxed), end = std::min(j.panels, p + chunk);
      if (p >= j.panels) return;
      if (!packed) {
        for (int i = p; i < std::min(end, p + 4); ++i)
          for (int line = 0; line < block_pair_bytes; line += 64)
            __builtin_prefetch(static_cast<const char*>(j.w) + i * j.panel_bytes + line);
        kernel.pack(j, 0, j.rows);
      }
      expect(j, end + others);
      kernel.panels(j, p, end, scratch);
    }
  });
}

void run_together(ThreadPool& pool, const LinearKernel& kernel, LinearJob j) noexcept {
  char* const sums = static_cast<char*>(pool.shared_scratch());
  j.a = sums + sums_bytes;
  const int slice = blocks_per_slice(j.rows, j.w_blocks, kernel.widening), padded_rows = (j.rows + 31) / 32 * 32;
  const bool sliced = slice < j.w_blocks;
  const int group = sliced ? static_cast<int>(sums_bytes / acc_row_bytes) / padded_rows : j.panels;
  j.sums = sliced ? sums : nullptr;
  for (j.first_panel = 0; j.first_panel < j.panels; j.first_panel += group) {
    const int here = std::min(group, j.panels - j.first_panel), chunk = panels_per_chunk(here, pool.threads());
    for (j.first_block = 0; j.first_block < j.w_blocks; j.first_block += slice) {
      j.last_block = std::min(j.w_blocks, j.first_block + slice);
      j.a_blocks = (j.last_block - j.first_block) * kernel.widening;
      constexpr int pack_rows = 16;
      pool.parallel((j.rows + pack_rows - 1) / pack_rows,
                    [&](int i, int) { kernel.pack(j, i * pack_rows, std::min(j.rows, (i + 1) * pack_rows)); });
      pool.parallel((here + chunk - 1) / chunk, [&](int i, int thread) {
        const int begin = j.first_panel + i * chunk, end = std::min(j.first_panel + here, begin + chunk);
        LinearJob mine = j;
        expect(mine, end + chunk * (pool.threads() - 1));
        kernel.panels(mine, begin, end, static_cast<char*>(pool.scratch(thread)));
      });
    }
  }
}

void run(ThreadPool& pool, const LinearKernel& kernel, LinearJob j, int x_size, int y_size) noexcept {
  const int total = j.rows, step = rows_per_pass(total);
  for (int first = 0; first < total; first += step) {
    j.rows = std::min(step, total - first);
    (packs_alone(pool.threads(), kernel, j) ? run_alone : run_together)(pool, kernel, j);
    j.x = static_cast<const char*>(j.x) + j.rows * j.ldx * x_size;
    j.y = static_cast<char*>(j.y) + j.rows * j.ldy * y_size;
    if (j.x_scale) j.x_scale += j.rows;
  }
}

template <class W> std::size_t layout_bytes(int out, int in) {
  return static_cast<std::size_t>(panel_count(out)) * static_cast<std::size_t>(panel_bytes<W>(in));
}
template <class W> void layout_put(void* target, int, int in, const quant::WeightRows& rows) {
  put_panels(static_cast<char*>(target), panel_bytes<W>(in), static_cast<const char*>(rows.data),
             rows.stride * std::ptrdiff_t{sizeof(W)}, std::ptrdiff_t{in} * std::ptrdiff_t{sizeof(W)}, rows.first, rows.count);
  if constexpr (std::same_as<W, int8>)
    put_row_sums(static_cast<char*>(target), panel_bytes<W>(in), static_cast<const int8*>(rows.data), rows.stride, in, rows.first,
                 rows.count);
}
template <class W> constexpr quant::WeightLayout layout{&layout_bytes<W>, &layout_put<W>, panel_rows};

}  // namespace
}  // namespace cpu

namespace kernels {

LinearScratch linear_scratch(int in) noexcept {
  const auto row = static_cast<std::size_t>(cpu::a_row_bytes(cpu::weight_blocks<float>(in) + 1));
  return {cpu::thread_bytes,
          static_cast<std::size_t>(cpu::sums_bytes) + std::max<std::size_t>(cpu::packed_bytes, cpu::max_pass_rows * row)};
}

}  // namespace kernels

template <class Q, class T, class Y>
requires kernels::CpuLinear<Q, T, Y>
void impl<kernels::linear<Q, T, Y>, Cpu>::run(ThreadPool* pool, const typename kernels::linear<Q, T, Y>::args& a) noexcept {
  using X = quant::input_t<Q, T>;
  using W = typename Q::weight;
  ATOM_ASSERT(a.in > 0 && a.ldx >= a.in && a.ldy >= a.out, "linear: a row is shorter than its stride says");
  ATOM_ASSERT(!quant::Scaled<Q> || (a.x_scale && a.w_scale), "linear: a quantised product needs both scales");
  if (a.rows <= 0 || a.out <= 0) return;
  const cpu::Choice& choice = cpu::choices<X, W>[static_cast<std::size_t>(cpu::isa())];
  const cpu::LinearKernel& kernel = choice.of(a.rows);
  cpu::run(*pool, kernel, cpu::job_of<Q, T, Y>(kernel, a), sizeof(X), sizeof(Y));
}

template <class Q, class T, class Y>
requires kernels::CpuLinear<Q, T, Y>
const quant::WeightLayout& impl<kernels::linear<Q, T, Y>, Cpu>::layout() { return cpu::layout<typename Q::weight>; }

template struct impl<kernels::linear<quant::NoAs<bf16>, float, float>, Cpu>;
template struct impl<kernels::linear<quant::NoAs<bf16>, bf16, bf16>, Cpu>;
template struct impl<kernels::linear<quant::NoAs<bf16>, bf16, float>, Cpu>;
template struct impl<kernels::linear<quant::NoAs<fp16>, float, float>, Cpu>;
template struct impl<kernels::linear<quant::NoAs<fp16>, bf16, bf16>, Cpu>;
template struct impl<kernels::linear<quant::NoAs<fp16>, bf16, float>, Cpu>;
template struct impl<kernels::linear<quant::NoAs<float>, float, float>, Cpu>;
template struct impl<kernels::linear<quant::NoAs<float>, bf16, bf16>, Cpu>;
template struct impl<kernels::linear<quant::NoAs<float>, bf16, float>, Cpu>;
template struct impl<kernels::linear<quant::PerToken<int8>, float, float>, Cpu>;
template struct impl<kernels::linear<quant::PerToken<int8>, bf16, bf16>, Cpu>;
template struct impl<kernels::linear<quant::PerToken<int8>, bf16, float>, Cpu>;

}  // namespace atom
