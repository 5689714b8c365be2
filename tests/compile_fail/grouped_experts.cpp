// refused: atom: moe::Grouped: this backend has no expert_linear for this scheme
#include "atom/model/decoder.hpp"
#include "atom/ops/ref.hpp"

#include "tiny.hpp"

struct Each : atom::Ref {};  // all of Ref's kernels but those for all experts at once
template <class Op>
requires atom::HasKernel<Op, atom::Ref> &&
    (std::string_view(Op::name()).substr(0, 6) != "expert") struct atom::impl<Op, Each> : atom::impl<Op, atom::Ref> {
};

struct build : tiny::good {
  static constexpr atom::model::ModelSpec spec{
      .arch = atom::model::Arch::qwen3_moe, .attn = {.head_dim = 64, .qk_norm = true}, .moe = atom::model::any_moe};
  using backend = Each;
};
using Method = atom::moe::Grouped<atom::model::Expert<build>>;
void compose(atom::model::ModelContext<build>& ctx, const Method& experts, atom::Tensor<atom::bf16> x) {
  experts(ctx, x, {nullptr, nullptr, 2}, nullptr, x);
}
