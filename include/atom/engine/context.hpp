#pragma once
// What a forward pass may touch: a stream, an arena, the batch, the rank's communicator. One context per rank, reused by every
// step.
// One idea: memory is a plan, not an allocator. temp() bumps a pointer in one block; frame() releases at scope end; a dry run
// of the same forward measures how large the block must be; a step allocates nothing.
//   Idiom: the output first, then the frame, then temporaries.
// To extend: a context is any type that satisfies StepContext.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "atom/core/error.hpp"
#include "atom/core/launch_clock.hpp"
#include "atom/core/pieces.hpp"
#include "atom/core/run.hpp"
#include "atom/core/tensor.hpp"

namespace atom {

/// Bump allocator over one block of the backend's memory. A null base measures without touching memory.
struct Arena {
  std::byte* base = nullptr;
  std::size_t capacity = 0, top = 0, peak = 0;
  bool poisoned = true;  // by frames of checked builds, where the host may write

  void* take(std::size_t bytes) noexcept {
    const std::size_t at = (top + 63) & ~std::size_t{63};
    top = at + bytes;
    if (top > peak) peak = top;
    ATOM_ASSERT(!base || top <= capacity, "the step needs more scratch than its dry run planned");
    return base ? base + at : nullptr;
  }
};

/// Everything taken while a Frame lives is released when it ends. Checked builds poison what they release.
class Frame {
 public:
  explicit Frame(Arena& arena) noexcept : arena_(arena), mark_(arena.top) {}
  ~Frame() {
#if defined(ATOM_CHECKED)
    if (arena_.base && arena_.poisoned)
      std::memset(arena_.base + mark_, 0xff, arena_.top - mark_);  // 0xffff is NaN in every float type
#endif
    arena_.top = mark_;
  }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

 private:
  Arena& arena_;
  std::size_t mark_;
};

/// One step's worth of work, built by the engine. All arrays live in the backend's memory.
struct Batch {
  const int* tokens = nullptr;       // (rows)
  const int* positions = nullptr;    // (rows)
  const int* slots = nullptr;        // (rows): page index * page_tokens + token within the page
  const int* block_table = nullptr;  // (seqs, table_stride)
  const int* first_row = nullptr;    // (seqs + 1)
  const int* context = nullptr;      // (seqs): tokens in the cache once this step's are written
  const int* logit_rows = nullptr;   // (logits): rows whose logits are wanted; null: all rows
  int rows = 0, seqs = 0, logits = 0, table_stride = 0;
  int padding = 0;  // of rows, the last so many: of no sequence, and their logits are not asked for
  // For layers that draft, where the model has them: the final hidden states of so many rows are kept, and each row of draft()
  // starts from one of those kept last.
  const int* hidden_rows = nullptr;  // (hiddens): rows of this batch
  const int* hidden_from = nullptr;  // (rows): places among those kept; for draft() alone
  int hiddens = 0;
  // The host need not know what the step before drew (StepModel::draw): a row may name the row of that draw whose token it takes.
  const int* carried = nullptr;  // (rows): -1: what `tokens` says; null: it does for all rows
  // Where each row's best token goes (kernels::best_tokens), begun at 0; null: nobody wants to know it before the draw.
  std::uint64_t* best = nullptr;  // (logits)
  // For layers that carry a state from token to token: which one is each sequence's; -1: it is padding, and has none.
  const int* states = nullptr;  // (seqs)
};

/// This rank's pages: per layer K then V, each `half` bytes; or, of a latent cache, one row per token in both.
struct KvCache {
  std::byte* base = nullptr;
  std::size_t half = 0;
  template <class Kv> Kv* k(int layer) const { return at<Kv>(2 * static_cast<std::size_t>(layer)); }
  template <class Kv> Kv* v(int layer) const { return at<Kv>(2 * static_cast<std::size_t>(layer) + 1); }
  template <class Kv> Kv* latent(int layer) const { return k<Kv>(layer); }

 private:
  template <class Kv> Kv* at(std::size_t i) const { return base ? reinterpret_cast<Kv*>(base + i * half) : nullptr; }
};

/// This rank's recurrent states: per layer that has one, a row of floats for each sequence that may run. A sequence's first row in
/// a step finds what its last row in the step before left, and nothing (zeros) where it is the sequence's first.
struct StateCache {
  float* base = nullptr;   // (layers, seqs, floats)
  std::size_t floats = 0;  // of one layer and sequence
  int seqs = 0;
  [[nodiscard]] float* layer(int i) const {
    return base ? base + static_cast<std::size_t>(i) * static_cast<std::size_t>(seqs) * floats : nullptr;
  }
};

template <class C>
concept StepContext = requires(C& c) {
  typename C::backend;  // where run<Op>(ctx, ...) goes
  typename C::act;      // what activations are stored in
  c.stream;
  c.arena;
  c.batch;
  c.frame();
};

/// The part every context has. Models add their dimensions (model::ModelContext).
template <class B, class T> struct Context {
  using backend = B;
  using target = B;  // what is planned for: in a dry run not the same
  using act = T;
  using comm_type = typename B::comm;
  static constexpr int tp = 1;
  typename B::stream stream{};
  Arena arena{};
  Batch batch{};
  comm_type* comm = nullptr;
  LaunchClock* clock = nullptr;  // null unless somebody wants to know where the time goes
  Pieces* pieces = nullptr;      // null unless the pass is recorded, or replayed, in pieces
  [[nodiscard]] Frame frame() noexcept { return Frame(arena); }
  [[nodiscard]] Outside outside() noexcept { return Outside(pieces); }
};

/// Scratch until the enclosing frame ends. T: element; rows x cols.
template <class T, int R = dynamic, int C = dynamic> Tensor<T, R, C> temp(StepContext auto& ctx, int rows, int cols) noexcept {
  return {static_cast<T*>(ctx.arena.take(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols) * sizeof(T))), rows, cols};
}

}  // namespace atom
