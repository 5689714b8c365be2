// refused: atom: moe::ExpertParallel: on this backend no rows can travel between ranks
#include "atom/model/qwen3_moe.hpp"
#include "atom/ops/ref.hpp"

#include "tiny.hpp"

struct Apart {  // all of Ref's kernels but those between ranks
  using stream = atom::Ref::stream;
  struct comm : atom::ThreadComm {};
};
template <class Op>
requires atom::HasKernel<Op, atom::Ref>
struct atom::impl<Op, Apart> : atom::impl<Op, atom::Ref> {
};

struct build : tiny::good {
  static constexpr atom::model::ModelSpec spec{
      .arch = atom::model::Arch::qwen3_moe, .attn = {.head_dim = 64, .qk_norm = true}, .moe = atom::model::any_moe};
  static constexpr atom::model::Parallel parallel{.tp = 2, .ep = 2};
  using backend = Apart;
};
void compose(atom::model::ModelContext<build>& ctx, const atom::model::Qwen3Moe<build>& net) { (void)net(ctx); }
