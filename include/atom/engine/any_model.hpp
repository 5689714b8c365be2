#pragma once
// AnyModel: the run time's view of a model, one virtual call per step and none per layer. Loaded<M, Net> is the typed thing
// behind it.
// One idea: types end here. Above this line tokens, pages and ranks; below it a composition of modules for one named build.
// To extend: make a Variant of your build with variant<M, Net>(name) and add it to a Registry (atom/engine/registry.hpp).
#include <memory>
#include <type_traits>
#include <vector>

#include "atom/core/backend.hpp"
#include "atom/dry.hpp"
#include "atom/engine/context.hpp"
#include "atom/model/build.hpp"
#include "atom/model/reflect.hpp"
#include "atom/ops/delta_layout.hpp"
#include "atom/ops/kv_layout.hpp"
#include "atom/ops/sampling_op.hpp"

namespace atom::engine {

/// What a rank lends its model for life.
struct Resources {
  void* stream = nullptr;  // the backend's, where that is a pointer
  ThreadComm* comm = nullptr;
  std::byte* scratch = nullptr;  // at least Plan::scratch_bytes, 64-byte aligned
  std::size_t scratch_bytes = 0;
  KvCache kv{};
  StateCache states{};
  const float* cos_sin = nullptr;  // (max positions, rotary_dim)
  std::byte* hidden = nullptr;     // (rows of the largest step, d_model) of activations, for draft()
  bool host_memory = true;         // the host may touch scratch
};

/// Measured by running the forward pass on the Dry backend.
struct Plan {
  std::size_t scratch_bytes = 0;
  std::vector<Dry::Launch> launches;
};

class AnyModel {
 public:
  virtual ~AnyModel() = default;
  /// Takes so many of the checkpoint's drafting layers into the model; at once, if at all. False: the architecture has none.
  virtual bool add_drafts(int layers) = 0;
  virtual void parameters(model::ParamTable&) = 0;
  /// The batch's sizes decide; its arrays, where given, make attention's cost exact. Parameters must have been bound.
  [[nodiscard]] virtual Plan plan(const Batch&) const = 0;
  [[nodiscard]] virtual Plan plan_draft(const Batch&) const = 0;
  [[nodiscard]] virtual std::size_t kv_bytes_per_token() const = 0;  ///< of one layer, K and V or the latent row
  /// Floats that a layer with a recurrent state carries from token to token of one sequence; 0: no layer has one.
  [[nodiscard]] virtual std::size_t state_floats() const = 0;
  virtual void attach(const Resources&) = 0;
  /// One forward pass. Returns (batch.logits, vocab) float, valid until the next step. Never throws, never allocates.
  virtual const float* step(const Batch&) noexcept = 0;
  /// One pass of a drafting layer, as step(): row r has hidden state batch.hidden_from[r] of those kept last (Batch::hidden_rows)
  /// and the token behind that one; its logits are of the token behind both. The layer has pages of its own under the same numbers.
  virtual const float* draft(const Batch&, int layer) noexcept = 0;
  virtual void sample(const kernels::sample::args&) noexcept = 0;
  /// Every kernel launched from now on ticks; null: none does.
  virtual void clock(LaunchClock*) noexcept = 0;
  /// Passes from now on are cut into pieces; null: they are not.
  virtual void pieces(Pieces*) noexcept = 0;
};

template <model::Build M, class Net> class Loaded final : public AnyModel {
 public:
  Loaded(const model::ModelSpec& whole, model::Rank rank, const model::Numbers& numbers) : net_(whole) {
    fill(ctx_, whole, rank, numbers);
  }
  void parameters(model::ParamTable& table) override { model::collect<model::ModelContext<M>>(net_, table); }

  bool add_drafts(int layers) override {
    if constexpr (drafts) net_.add_drafts(ctx_.whole, layers);
    return drafts;
  }
  Plan plan(const Batch& batch) const override {
    return dry_run(batch, [&](auto& dry) { (void)net_(dry); });
  }
  Plan plan_draft(const Batch& batch) const override {
    return dry_run(batch, [&](auto& dry) {
      if constexpr (drafts) (void)net_.draft(dry, 0);
    });
  }
  std::size_t kv_bytes_per_token() const override {
    constexpr model::AttnSpec a = M::spec.attn;
    if constexpr (a.latent)
      return kernels::LatentLayout<typename M::kv, a.latent.rank + a.latent.rope>::bytes_per_token();
    else
      return kernels::KvLayout<typename M::kv, a.head_dim>::bytes_per_token(ctx_.kv_heads());
  }
  std::size_t state_floats() const override {
    if constexpr (M::spec.delta)
      return kernels::delta_layout(ctx_.local.delta).floats();
    else
      return 0;
  }
  void attach(const Resources& r) override {
    using Backend = typename M::backend;
    if constexpr (std::is_pointer_v<typename Backend::stream>) ctx_.stream = static_cast<typename Backend::stream>(r.stream);
    if constexpr (std::is_same_v<typename Backend::comm, ThreadComm>) ctx_.comm = r.comm;
    ctx_.arena = {.base = r.scratch, .capacity = r.scratch_bytes, .poisoned = r.host_memory};
    ctx_.kv = r.kv;
    ctx_.states = r.states;
    ctx_.cos_sin = r.cos_sin;
    ctx_.hidden = reinterpret_cast<typename M::act*>(r.hidden);
  }
  const float* step(const Batch& batch) noexcept override {
    ctx_.batch = batch;
    ctx_.arena.top = 0;
    return net_(ctx_).data;
  }
  const float* draft([[maybe_unused]] const Batch& batch, [[maybe_unused]] int layer) noexcept override {
    if constexpr (drafts) {
      ctx_.batch = batch;
      ctx_.arena.top = 0;
      return net_.draft(ctx_, layer).data;
    } else {
      return nullptr;
    }
  }
  void sample(const kernels::sample::args& a) noexcept override { run<kernels::sample>(ctx_, a); }
  void clock(LaunchClock* clock) noexcept override { ctx_.clock = clock; }
  void pieces(Pieces* pieces) noexcept override { ctx_.pieces = pieces; }

 private:
  static constexpr bool drafts = requires(Net & net, model::ModelContext<M>& ctx) { net.draft(ctx, 0); };

  template <class Pass> Plan dry_run(const Batch& batch, Pass pass) const {
    Plan p;
    model::ModelContext<M, Dry> dry;
    fill(dry, ctx_.whole, ctx_.rank, ctx_.numbers);
    Dry::comm comm{ctx_.rank.size};
    dry.stream = &p.launches;
    dry.comm = &comm;
    dry.batch = batch;
    pass(dry);
    p.scratch_bytes = dry.arena.peak;
    return p;
  }
  template <class Ctx> static void fill(Ctx& ctx, const model::ModelSpec& whole, model::Rank rank, const model::Numbers& numbers) {
    ctx.whole = whole;
    ctx.local = model::shard(whole, rank);
    ctx.rank = rank;
    ctx.numbers = numbers;
  }

  Net net_;
  model::ModelContext<M> ctx_;
};

}  // namespace atom::engine
