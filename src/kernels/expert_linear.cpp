// expert_linear on Cpu: the blocks of all experts in one launch.
// One idea: an expert's matrix is too small for a team (tens of panels), all together are not. So the panels of all experts that
// have rows are one list, and threads take runs of it, long ones first, never across the end of a matrix; a thread packs an
// expert's rows when it first meets that expert. A panel's sums are those of linear, whoever computes them.
#include <algorithm>
#include <array>
#include <atomic>

#include "atom/core/error.hpp"
#include "atom/ops/moe_cpu.hpp"

#include "cpu/linear_driver.hpp"

namespace atom {
namespace cpu {
namespace {

/// The panels of the experts that have rows, as one list.
class PanelList {
 public:
  struct Run {
    int block, first, last;  // panels [first, last) of it; empty: nothing is left
  };

  PanelList(int panels, int threads) : panels_(panels), shares_(4 * threads) {}
  void add(int expert, int rows) noexcept { blocks_[static_cast<std::size_t>(count_++)] = {expert, rows + memory_rows, 0}; }
  void close() noexcept {
    std::int64_t after = 0;
    for (int i = count_; i-- > 0; after += blocks_[static_cast<std::size_t>(i)].work)
      blocks_[static_cast<std::size_t>(i)].after = after;
  }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] int expert(int block) const noexcept { return blocks_[static_cast<std::size_t>(block)].expert; }

  /// The run that begins at a place of the list.
  [[nodiscard]] Run at(int place) const noexcept {
    if (place >= count_ * panels_) return {0, 0, 0};
    const int i = place / panels_, first = place % panels_;
    const Block& b = blocks_[static_cast<std::size_t>(i)];
    const std::int64_t left = b.after * panels_ + std::int64_t{b.work} * (panels_ - first);
    const int fair = static_cast<int>(std::clamp<std::int64_t>(left / (std::int64_t{b.work} * shares_), least, most));
    return {i, first, panels_ - first < fair + least ? panels_ : first + fair};
  }
  /// Takes the next run.
  Run take() noexcept {
    for (int place = next_.load(std::memory_order_relaxed);;) {
      const Run r = at(place);
      if (r.first == r.last || next_.compare_exchange_weak(place, place + r.last - r.first, std::memory_order_relaxed)) return r;
    }
  }
  /// What the caller will probably take, who begins with `mine` as the others do with as much.
  [[nodiscard]] Run guess(const Run& mine, int others) const noexcept {
    return at(mine.block * panels_ + mine.last + others * (mine.last - mine.first));
  }

 private:
  // Fewer than four panels together do not reach memory's full rate; more than 32 gain nothing.
  static constexpr int least = 4, most = 32;
  static constexpr int memory_rows = 16;  // reading a panel takes as long as multiplying it with so many rows
  struct Block {
    int expert, work;    // of one panel
    std::int64_t after;  // of one panel of each block behind this one
  };
  std::array<Block, moe::most_experts> blocks_;  // count_ of them are set
  int count_ = 0;
  const int panels_, shares_;
  std::atomic<int> next_{0};
};

}  // namespace
}  // namespace cpu

template <class Q, class T>
requires kernels::CpuLinear<Q, T, T>
void impl<kernels::expert_linear<Q, T>, Cpu>::run(ThreadPool* pool, const typename kernels::expert_linear<Q, T>::args& a) noexcept {
  using X = quant::input_t<Q, T>;
  using Linear = kernels::linear<Q, T>;
  ATOM_ASSERT(a.in > 0 && a.experts <= moe::most_experts, "expert_linear: more experts than a mixture may have");
  const cpu::Choice& choice = cpu::choices<X, typename Q::weight>[static_cast<std::size_t>(cpu::isa())];
  const auto rows_of = [&](int e) { return a.first[e + 1] - a.first[e]; };
  cpu::PanelList list(cpu::panel_count(a.out), pool->threads());
  for (int e = 0; e < a.experts; ++e) {
    if (rows_of(e) == 0) continue;
    if (cpu::fits_thread(choice.of(rows_of(e)), rows_of(e), cpu::weight_blocks<typename Q::weight>(a.in)))
      list.add(e, rows_of(e));
    else
      run_on<Linear, Cpu>(pool, kernels::expert_linear<Q, T>::block(a, e));  // enough rows to keep a team busy
  }
  if (list.empty() || a.out <= 0) return;
  list.close();
  pool->parallel(pool->threads(), [&](int, int thread) {
    char* const scratch = static_cast<char*>(pool->scratch(thread));
    cpu::LinearJob j{};
    const cpu::LinearKernel* kernel = nullptr;
    int packed = -1;
    for (cpu::PanelList::Run r = list.take(); r.first < r.last; r = list.take()) {
      if (r.block != packed) {
        const auto args = kernels::expert_linear<Q, T>::block(a, list.expert(r.block));
        kernel = &choice.of(args.rows);
        j = cpu::job_of<Q, T, T>(*kernel, args);
        j.a = scratch + cpu::thread_bytes - cpu::packed_bytes;
        j.last_block = j.w_blocks;
        j.a_blocks = j.w_blocks * j.widening;
        kernel->pack(j, 0, j.rows);
        packed = r.block;
      }
      const auto then = list.guess(r, pool->threads() - 1);
      const auto* w = reinterpret_cast<const char*>(a.weight[list.expert(then.block)].w);
      j.then = w + then.first * j.panel_bytes;
      j.then_panels = then.last - then.first;
      kernel->panels(j, r.first, r.last, scratch);
    }
  });
}

template struct impl<kernels::expert_linear<quant::NoAs<bf16>, float>, Cpu>;
template struct impl<kernels::expert_linear<quant::NoAs<bf16>, bf16>, Cpu>;
template struct impl<kernels::expert_linear<quant::NoAs<fp16>, float>, Cpu>;
template struct impl<kernels::expert_linear<quant::NoAs<fp16>, bf16>, Cpu>;
template struct impl<kernels::expert_linear<quant::NoAs<float>, float>, Cpu>;
template struct impl<kernels::expert_linear<quant::NoAs<float>, bf16>, Cpu>;
template struct impl<kernels::expert_linear<quant::PerToken<int8>, float>, Cpu>;
template struct impl<kernels::expert_linear<quant::PerToken<int8>, bf16>, Cpu>;

}  // namespace atom
