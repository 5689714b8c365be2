// Rows between ranks of one process: what a rank shows the others is its call, and they read rows and write places where those lie.
#include <algorithm>
#include <cstring>

#include "atom/ops/moe_cpu.hpp"

#include "cpu/dispatch.hpp"
#include "cpu/weighted_rows.hpp"

namespace atom {

template <cpu::Activation T>
void impl<kernels::dispatch_rows<T, ThreadComm>, Cpu>::run(Cpu::stream pool,
                                                           const typename kernels::dispatch_rows<T, ThreadComm>::args& a) noexcept {
  const void* const* all = a.comm->show(&a);
  const int ranks = a.comm->size();
  const model::Share own = model::expert_share(a.experts, {a.comm->rank(), ranks, ranks});
  const auto call = [&](int r) -> decltype(a) { return *static_cast<decltype(&a)>(all[r]); };
  const auto each_choice = [&](auto body) {  // body(call, choice, which of this rank's experts)
    for (int r = 0; r < ranks; ++r)
      for (int i = call(r).mine.begin * a.top_k; i < (call(r).mine.begin + call(r).mine.count) * a.top_k; ++i)
        if (const int e = call(r).expert[i] - own.begin; e >= 0 && e < own.count) body(call(r), i, e);
  };
  std::fill_n(a.first, own.count + 1, 0);
  each_choice([&](decltype(a), int, int e) { ++a.first[e + 1]; });
  for (int e = 0; e < own.count; ++e) a.first[e + 1] += a.first[e];
  each_choice(
      [&](decltype(a) from, int i, int e) { from.slot[i] = a.first[e]++; });  // until all have a place: the expert's next one
  for (int e = own.count; e > 0; --e) a.first[e] = a.first[e - 1];
  a.first[0] = 0;
  for (int r = 0; r < ranks; ++r) {
    const auto& from = call(r);
    cpu::for_rows(pool, from.mine.count, a.top_k * a.cols, [&](int first, int count) {
      for (int row = from.mine.begin + first; row < from.mine.begin + first + count; ++row)
        for (int i = row * a.top_k; i < (row + 1) * a.top_k; ++i)
          if (const int e = from.expert[i] - own.begin; e >= 0 && e < own.count)
            std::memcpy(static_cast<void*>(a.y + static_cast<std::ptrdiff_t>(from.slot[i]) * a.cols),
                        from.x + static_cast<std::ptrdiff_t>(row) * from.ldx, static_cast<std::size_t>(a.cols) * sizeof(T));
    });
  }
  a.comm->barrier();
}

template <cpu::Activation T>
void impl<kernels::return_rows<T, ThreadComm>, Cpu>::run(Cpu::stream pool,
                                                         const typename kernels::return_rows<T, ThreadComm>::args& a) noexcept {
  const void* const* all = a.comm->show(&a);
  cpu::for_rows(pool, a.rows, (a.top_k + 1) * a.cols, [&](int first, int count) {
    for (int r = first; r < first + count; ++r) {
      const bool mine = r >= a.mine.begin && r < a.mine.begin + a.mine.count;
      const std::ptrdiff_t choice = static_cast<std::ptrdiff_t>(r) * a.top_k;
      const auto answer = [&](int k) {
        const int owner = model::owner_of_expert(a.expert[choice + k], a.experts, a.comm->size());
        return static_cast<decltype(&a)>(all[owner])->x + static_cast<std::ptrdiff_t>(a.slot[choice + k]) * a.cols;
      };
      cpu::weighted_sum(answer, a.weight + choice, mine ? a.top_k : 0,
                        a.plus ? a.plus + static_cast<std::ptrdiff_t>(r) * a.cols : nullptr,
                        a.y + static_cast<std::ptrdiff_t>(r) * a.ldy, a.cols);
    }
  });
  a.comm->barrier();
}

template struct impl<kernels::dispatch_rows<float, ThreadComm>, Cpu>;
template struct impl<kernels::dispatch_rows<bf16, ThreadComm>, Cpu>;
template struct impl<kernels::return_rows<float, ThreadComm>, Cpu>;
template struct impl<kernels::return_rows<bf16, ThreadComm>, Cpu>;

}  // namespace atom
