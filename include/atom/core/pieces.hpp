#pragma once
// Pieces: a forward pass that is cut where a device graph cannot follow it.
// One idea: what lies between two cuts depends on the number of rows alone, so it is recorded once and replayed; what a pass does
// Outside is launched in every step, with the step's own sequences. While a piece is recorded or launched by its owner the same
// code runs: the door (atom/core/run.hpp) lets through what is not in a graph.
// To extend: an op whose arguments depend on more than the number of rows says Outside where it is launched.

namespace atom {

struct Pieces {
  /// Where a pass leaves a piece (true), and where the next one begins.
  using Cut = void (*)(Pieces&, bool leaves) noexcept;
  Cut cut;
  bool closed = false;  // the door: what comes now is in a graph, or belongs to no piece that is being recorded
};

/// While it lives, launches belong to no piece.
class Outside {
 public:
  explicit Outside(Pieces* pieces) noexcept : pieces_(pieces) {
    if (pieces_) pieces_->cut(*pieces_, true);
  }
  ~Outside() {
    if (pieces_) pieces_->cut(*pieces_, false);
  }
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

 private:
  Pieces* pieces_;
};

}  // namespace atom
