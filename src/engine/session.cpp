#include "atom/engine/session.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "atom/core/error.hpp"
#include "atom/ops/kv_layout.hpp"

namespace atom::engine {

Session::Session(Executor& executor) : executor_(executor) {
  const auto rows = static_cast<std::size_t>(executor.max_rows());
  tokens_.resize(rows);
  positions_.resize(rows);
  slots_.resize(rows);
  pages_.resize(static_cast<std::size_t>(executor.context_tokens() / kernels::page_tokens));
  std::iota(pages_.begin(), pages_.end(), 0);
}

void Session::check(std::span<const int> tokens) const {
  const int vocab = executor_.config().spec.vocab;
  for (int t : tokens)
    if (t < 0 || t >= vocab)
      throw Error("token id " + std::to_string(t) + " is outside the model's vocabulary of " + std::to_string(vocab) +
                  "; the tokenizer belongs to another model");
  if (tokens.size() > static_cast<std::size_t>(room()))
    throw Error(std::to_string(tokens.size()) + " tokens do not fit: " + std::to_string(length_) + " of " +
                std::to_string(length_ + room()) + " are taken; shorten the text or raise the context length");
}

float* Session::feed(std::span<const int> tokens) {
  check(tokens);
  float* logits = nullptr;
  while (!tokens.empty()) {
    const auto n = std::min(tokens.size(), static_cast<std::size_t>(executor_.max_rows()));
    logits = step(tokens.first(n), 1);
    tokens = tokens.subspan(n);
  }
  return logits;
}

float* Session::decode(int token) noexcept { return step({&token, 1}, 1); }

float* Session::step(std::span<const int> tokens, int logits) noexcept {
  const int rows = static_cast<int>(tokens.size());
  std::copy(tokens.begin(), tokens.end(), tokens_.begin());
  std::iota(positions_.begin(), positions_.begin() + rows, length_);
  std::copy_n(positions_.begin(), rows, slots_.begin());  // pages in order: a token's slot is its position
  length_ += rows;
  first_row_[1] = rows;
  context_ = length_;
  last_row_ = rows - 1;
  Batch b;
  b.tokens = tokens_.data();
  b.positions = positions_.data();
  b.slots = slots_.data();
  b.block_table = pages_.data();
  b.table_stride = static_cast<int>(pages_.size());
  b.first_row = first_row_;
  b.context = &context_;
  b.states = &state_;
  b.logit_rows = logits == rows ? nullptr : &last_row_;
  b.rows = rows;
  b.seqs = 1;
  b.logits = logits;
  return executor_.forward(b);
}

int Session::sample(const float* logits, const kernels::SampleParams& params) noexcept {
  int token = 0;
  executor_.sample(logits, &params, &token, 1);
  return token;
}

}  // namespace atom::engine
