#pragma once
// The one door to kernels.
// One idea: an Op is an empty type that names a computation, with `args` (plain pointers and integers), `name()` and
// `cost(args)`; a kernel for it on a backend is a specialisation of atom::impl. Nothing else in atom dispatches.
// To extend: specialise atom::impl<Op, Backend> in your own header (docs/adding_a_kernel.md); no atom file is edited.
//
// Optional members of a specialisation, found by concepts:
//   static const quant::WeightLayout& layout();   how this kernel wants its weights (atom/quant/weight_layout.hpp)
//   static constexpr bool splits;                 attention that wants room for parts of answers (atom/ops/attention_op.hpp)
//   static std::size_t scratch_bytes(...);        latent attention that wants scratch (atom/ops/mla_op.hpp)
#include <concepts>

namespace atom {

template <class Op, class Backend> struct impl;  // intentionally incomplete

template <class Op, class Backend>
concept HasKernel = requires(typename Backend::stream s, const typename Op::args& a) {
  impl<Op, Backend>::run(s, a);
};

/// Whether forward passes on this backend launch Op, which joins several others, in their place. Without that, only who names Op
/// gets it. A backend says so beside its kernel.
template <class Op, class Backend> inline constexpr bool joins = false;

template <class Op, class Backend> void run_on(typename Backend::stream s, const typename Op::args& a) noexcept {
  static_assert(HasKernel<Op, Backend>,
                "atom: no kernel for this Op on this Backend. Both are named in the instantiation note below; "
                "specialise atom::impl<Op, Backend> (docs/adding_a_kernel.md).");
  impl<Op, Backend>::run(s, a);
}

/// The door as a forward pass uses it: the context knows the backend and the stream.
template <class Op, class Ctx> void run(Ctx& ctx, const typename Op::args& a) noexcept {
  if constexpr (requires { ctx.pieces->closed; })
    if (ctx.pieces && ctx.pieces->closed) return;
  run_on<Op, typename Ctx::backend>(ctx.stream, a);
  if constexpr (requires { ctx.clock->tick(); })
    if (ctx.clock) ctx.clock->tick();
}

}  // namespace atom
