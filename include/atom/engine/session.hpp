#pragma once
// Session: one sequence on an Executor. Feeds tokens in chunks, keeps the page table, samples the next token.
// One idea: the whole cache belongs to this sequence, page i holding tokens [16 i, 16 i + 16); everything a step needs is
// allocated up front, so a decode step allocates nothing.
// To extend: serving many sequences is the scheduler's business; it speaks to the Executor directly.
#include <algorithm>
#include <span>
#include <vector>

#include "atom/engine/executor.hpp"

namespace atom::engine {

class Session {
 public:
  explicit Session(Executor& executor);

  /// Tokens in the cache.
  [[nodiscard]] int length() const noexcept { return length_; }
  [[nodiscard]] int room() const noexcept { return std::min(executor_.context_tokens(), executor_.max_position()) - length_; }
  /// Forgets all but the first `length` tokens. Of a model that does not rewind (StepModel::rewinds), which keeps the state behind
  /// the last one, only 0 starts a text.
  void truncate(int length) noexcept { length_ = length < length_ ? length : length_; }

  /// Appends tokens and returns the logits (vocab) after the last of them, where the model has them: for sample(), or host() to
  /// read them. Throws atom::Error when they do not fit or when a token is outside the vocabulary; the cache is then unchanged.
  float* feed(std::span<const int> tokens);
  /// Appends tokens; calls consume(first, logits, n) for n consecutive positions at a time, logits (n, vocab) on the host.
  template <class Consume> void feed_all(std::span<const int> tokens, Consume&& consume) {
    check(tokens);
    for (std::size_t at = 0; at < tokens.size();) {
      const auto n = std::min(tokens.size() - at, static_cast<std::size_t>(std::min(executor_.max_rows(), executor_.max_logits())));
      float* logits = step(tokens.subspan(at, n), static_cast<int>(n));
      consume(at, static_cast<const float*>(executor_.host(logits, static_cast<int>(n))), n);
      at += n;
    }
  }
  /// One token in, logits (vocab) out. There must be room. Never throws, never allocates.
  float* decode(int token) noexcept;
  /// What feed() or decode() returned, where it can be read and edited.
  float* host(float* logits) noexcept { return executor_.host(logits, 1); }
  /// Draws the next token from logits (vocab).
  int sample(const float* logits, const kernels::SampleParams& params) noexcept;

 private:
  void check(std::span<const int> tokens) const;
  float* step(std::span<const int> tokens, int logits) noexcept;

  Executor& executor_;
  int length_ = 0;
  std::vector<int> tokens_, positions_, slots_, pages_;
  int first_row_[2] = {}, context_ = 0, state_ = 0, last_row_ = 0;
};

}  // namespace atom::engine
