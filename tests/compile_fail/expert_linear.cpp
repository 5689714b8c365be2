// refused: atom: moe::PerExpert: the host cannot see which experts of this backend have rows
#include "atom/model/qwen3_moe.hpp"
#include "atom/ops/ref.hpp"

#include "tiny.hpp"

struct OwnMemory {  // all of Ref's kernels but those for all experts at once
  using stream = atom::Ref::stream;
  using comm = atom::ThreadComm;
};
template <class Op>
requires atom::HasKernel<Op, atom::Ref> &&
    (std::string_view(Op::name()).substr(0, 6) != "expert") struct atom::impl<Op, OwnMemory> : atom::impl<Op, atom::Ref> {
};

struct build : tiny::good {
  static constexpr atom::model::ModelSpec spec{
      .arch = atom::model::Arch::qwen3_moe, .attn = {.head_dim = 64, .qk_norm = true}, .moe = atom::model::any_moe};
  using backend = OwnMemory;
};
void compose(atom::model::ModelContext<build>& ctx, const atom::model::Qwen3Moe<build>& net) { (void)net(ctx); }
