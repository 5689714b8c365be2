#pragma once
// FakeModel: a StepModel whose next token is a hash of what it reads from its pages through the block table, so that a wrong page,
// slot, position or context shows as a wrong token. Oracle: the same function of a plain list of tokens. Its layer that drafts has
// cells of its own on the same pages, each a hash of the model's state and the token behind it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "atom/engine/request_output.hpp"
#include "atom/engine/sampling_params.hpp"
#include "atom/engine/step_model.hpp"
#include "atom/ops/kv_layout.hpp"
#include "atom/ops/sampling_ref.hpp"

#include "tokenizer_fixtures.hpp"

namespace atom::engine::fake {

constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = (a ^ (b + 0x9E3779B97F4A7C15u + (a << 6) + (a >> 2))) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 31)) * 0x94D049BB133111EBu;
  return x ^ (x >> 29);
}

/// A cache cell depends on every token before it, as keys and values of a deep layer do.
constexpr std::uint64_t cell_of(std::uint64_t before, int token, int position) {
  return mix(mix(before, static_cast<std::uint64_t>(token)), static_cast<std::uint64_t>(position));
}

/// predictable: three times of four, the token that often follows `last` is likely.
inline void logits_of(std::uint64_t state, int last, bool predictable, std::span<float> logits) {
  for (std::size_t v = 0; v < logits.size(); ++v) logits[v] = static_cast<float>(mix(state, v) >> 40) * 0x1p-21f - 4;
  if (predictable && state % 4 != 0) logits[static_cast<std::size_t>(last * 7 + 3) % 13 % logits.size()] += 8;
}

struct FakeShape {
  int vocab = 26, max_position = 256, context_tokens = 4096, max_rows = 64, max_seqs = 16;
  bool predictable = false;
  int draft_layers = 0;
  bool rewinds = true;  // without: it keeps a state of every sequence, which must be found as it was left
  bool defers = false;  // it keeps what it drew to itself until it is asked
};

/// The model's state behind every token of a text.
inline std::vector<std::uint64_t> states_of(std::span<const int> tokens) {
  std::vector<std::uint64_t> states;
  std::uint64_t cell = 0, state = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    states.push_back(state = mix(state, cell = cell_of(cell, tokens[i], static_cast<int>(i))));
  return states;
}
constexpr std::uint64_t draft_cell_of(std::uint64_t state, int next) { return mix(state, static_cast<std::uint64_t>(next) + 77); }

class FakeModel final : public StepModel {
 public:
  explicit FakeModel(const FakeShape& shape = {}) : shape_(shape) {
    const auto n = static_cast<std::size_t>(shape.context_tokens);
    cells_.assign(n, 0xDEAD);  // what nobody wrote, and what others wrote, must not matter
    draft_cells_.assign(n, 0xDEAD);
    logits_.resize(static_cast<std::size_t>(shape.max_rows) * static_cast<std::size_t>(shape.vocab));
    sorted_.resize(logits_.size());
    order_.resize(logits_.size());
    states_.resize(static_cast<std::size_t>(shape.max_rows));
    hidden_.resize(states_.size());
    kept_.resize(static_cast<std::size_t>(shape.max_seqs));
    tokens_.resize(states_.size());
    for (Draw& d : draws_) d.tokens.resize(states_.size());
    for (auto* seen : {&rows_seen, &seqs_seen}) seen->reserve(1 << 14);  // a step allocates nothing
  }

  float* forward(const Batch& given) noexcept override {
    const Batch b = carried(given);
    ++steps;
    rows_seen.push_back(b.rows);
    seqs_seen.push_back(b.seqs);
    return pass(b, cells_, [&](int row, int position, auto&& cell_at) {
      return cell_of(position > 0 ? cell_at(position - 1) : 0, b.tokens[row], position);
    });
  }
  float* draft(const Batch& b, int layer) noexcept override {
    EXPECT_LT(layer, shape_.draft_layers);
    ++drafts;
    return pass(b, draft_cells_, [&](int row, int, auto&&) {
      EXPECT_LT(b.hidden_from[row], hiddens_);
      return draft_cell_of(hidden_[static_cast<std::size_t>(b.hidden_from[row])], b.tokens[row]);
    });
  }
  /// What the drafting layer has at a slot.
  [[nodiscard]] std::uint64_t draft_cell(int slot) const { return draft_cells_[static_cast<std::size_t>(slot)]; }
  [[nodiscard]] bool defers() const override { return shape_.defers; }
  void draw(const float* logits, const kernels::SampleParams* params, int rows) noexcept override {
    EXPECT_TRUE(shape_.defers);
    EXPECT_LT(drawn, collected + 2) << "draws that nobody reads";
    Draw& d = draws_[drawn % 2];
    d.rows = rows;
    d.step = steps;
    pick(logits, params, d.tokens.data(), rows);
    ++drawn;
  }
  void collect(int* tokens, int rows) noexcept override {
    EXPECT_LT(collected, drawn) << "nothing was drawn";
    const Draw& d = draws_[collected++ % 2];
    EXPECT_EQ(rows, d.rows);
    std::copy_n(d.tokens.begin(), rows, tokens);
    late += steps > d.step;
  }
  void sample(const float* logits, const kernels::SampleParams* params, int* tokens, int rows) noexcept override {
    EXPECT_EQ(drawn, collected) << "older tokens come first";
    pick(logits, params, tokens, rows);
  }
  [[nodiscard]] int vocab() const override { return shape_.vocab; }
  [[nodiscard]] int max_position() const override { return shape_.max_position; }
  [[nodiscard]] int context_tokens() const override { return shape_.context_tokens; }
  [[nodiscard]] int max_rows() const override { return shape_.max_rows; }
  [[nodiscard]] int max_seqs() const override { return shape_.max_seqs; }
  [[nodiscard]] int max_logits() const override { return shape_.max_rows; }
  [[nodiscard]] bool rewinds() const override { return shape_.rewinds; }
  [[nodiscard]] int draft_layers() const override { return shape_.draft_layers; }

  long steps = 0, drafts = 0;
  long drawn = 0, collected = 0, late = 0;  // draw() and collect(); of those, when the next step had been launched already
  std::vector<int> rows_seen, seqs_seen;    // of every step

 private:
  void pick(const float* logits, const kernels::SampleParams* params, int* tokens, int rows) noexcept {
    impl<kernels::sample, Ref>::run({}, {logits, params, sorted_.data(), order_.data(), tokens, rows, shape_.vocab, shape_.vocab});
  }
  struct Draw {
    std::vector<int> tokens;
    int rows = 0;
    long step = 0;
  };
  /// The batch with the tokens that the host cannot know, each a row of the last draw.
  Batch carried(const Batch& given) noexcept {
    const auto rows = static_cast<std::size_t>(given.rows);
    std::copy_n(given.tokens, rows, tokens_.begin());
    for (std::size_t r = 0; r < rows; ++r) {
      if (const int from = given.carried ? given.carried[r] : -1; from >= 0) {
        EXPECT_EQ(drawn, collected + 1) << "of a draw that was read";
        const Draw& last = draws_[(drawn + 1) % 2];
        EXPECT_LT(from, last.rows);
        tokens_[r] = last.tokens[static_cast<std::size_t>(from)];
      }
      EXPECT_TRUE(tokens_[r] >= 0 && tokens_[r] < shape_.vocab) << "a token that nobody knows";
    }
    Batch b = given;
    b.tokens = tokens_.data();
    return b;
  }
  float* pass(const Batch& b, std::vector<std::uint64_t>& cells, auto&& cell) noexcept {
    EXPECT_LE(b.rows, shape_.max_rows);
    EXPECT_LE(b.seqs, shape_.max_seqs);
    EXPECT_GT(b.rows, 0);
    EXPECT_EQ(b.first_row[0], 0);
    EXPECT_EQ(b.first_row[b.seqs], b.rows);
    for (int s = 0; s < b.seqs; ++s) {
      const int n = b.first_row[s + 1] - b.first_row[s];
      EXPECT_GT(n, 0);
      const auto slot = [&](int position) {
        return b.block_table[s * b.table_stride + position / kernels::page_tokens] * kernels::page_tokens +
               position % kernels::page_tokens;
      };
      const auto cell_at = [&](int position) { return cells[static_cast<std::size_t>(slot(position))]; };
      for (int i = 0; i < n; ++i) {
        const int row = b.first_row[s] + i, position = b.context[s] - n + i;
        EXPECT_EQ(b.positions[row], position);
        EXPECT_LT(position, shape_.max_position);
        EXPECT_EQ(b.slots[row], slot(position));
        EXPECT_GE(b.slots[row], 0);
        EXPECT_LT(b.slots[row], shape_.context_tokens);
        cells[static_cast<std::size_t>(b.slots[row])] = cell(row, position, cell_at);
      }
      if (!shape_.rewinds) carry(b, s, n, cells_[static_cast<std::size_t>(b.slots[b.first_row[s + 1] - 1])]);
      std::uint64_t state = 0;
      for (int p = 0; p < b.context[s]; ++p) {
        state = mix(state, cell_at(p));
        if (const int row = b.first_row[s + 1] - b.context[s] + p; row >= b.first_row[s])
          states_[static_cast<std::size_t>(row)] = state;
      }
    }
    EXPECT_LE(b.logits, max_logits());
    for (int l = 0; l < b.logits; ++l) {
      const int from = b.logit_rows[l];
      logits_of(states_[static_cast<std::size_t>(from)], b.tokens[from], shape_.predictable, row(l));
    }
    EXPECT_LE(hiddens_ = b.hiddens, shape_.max_rows);
    for (int h = 0; h < b.hiddens; ++h) hidden_[static_cast<std::size_t>(h)] = states_[static_cast<std::size_t>(b.hidden_rows[h])];
    return logits_.data();
  }
  /// A state is how many tokens it holds, and the cell of the last one, which depends on all before.
  struct Kept {
    int tokens = 0;
    std::uint64_t last = 0;
  };
  void carry(const Batch& b, int s, int rows, std::uint64_t last) {
    const int before = b.context[s] - rows, place = b.states[s];
    for (int other = 0; other < s; ++other) EXPECT_TRUE(place < 0 || b.states[other] != place) << "two sequences, one state";
    EXPECT_LT(place, shape_.max_seqs);
    if (place < 0) {
      EXPECT_EQ(b.context[s], 1) << "only padding has no state";
      return;
    }
    Kept& kept = kept_[static_cast<std::size_t>(place)];
    if (before > 0) {
      const int slot = b.block_table[s * b.table_stride + (before - 1) / kernels::page_tokens] * kernels::page_tokens +
                       (before - 1) % kernels::page_tokens;
      EXPECT_EQ(kept.tokens, before) << "the state of other tokens";
      EXPECT_EQ(kept.last, cells_[static_cast<std::size_t>(slot)]) << "the state of another sequence";
    }
    kept = {b.context[s], last};
  }
  std::span<float> row(int i) {
    return std::span(logits_).subspan(static_cast<std::size_t>(i * shape_.vocab), static_cast<std::size_t>(shape_.vocab));
  }
  FakeShape shape_;
  std::vector<std::uint64_t> cells_, draft_cells_, states_, hidden_;
  int hiddens_ = 0;  // kept last
  std::vector<Kept> kept_;
  std::vector<float> logits_, sorted_;
  std::vector<int> order_, tokens_;
  Draw draws_[2];
};

/// 24 tokens that spell runs of a and b, so that stop strings over {a, b} begin, end and fail everywhere; then two special ones.
inline const std::vector<std::string>& fake_tokens() {
  static const std::vector<std::string> tokens = {"a",    "b",    "aa",   "ab",   "ba",   "bb",   "aaa",  "aab",  "aba",
                                                  "abb",  "baa",  "bab",  "bba",  "bbb",  "aaaa", "abab", "baba", "bbbb",
                                                  "aaab", "bbba", "abba", "baab", "aabb", "bbaa", "<e>",  "<f>"};
  return tokens;
}
inline constexpr int fake_eos = 24, fake_other_end = 25;

inline Tokenizer fake_tokenizer() {
  Parts parts;
  parts.vocab = "{";
  for (std::size_t i = 0; i < fake_tokens().size(); ++i)
    parts.vocab += (i ? ", \"" : "\"") + fake_tokens()[i] + "\": " + std::to_string(i);
  parts.vocab += "}";
  parts.merges = "[]";
  parts.added = R"([{"id": 24, "content": "<e>", "special": true}, {"id": 25, "content": "<f>", "special": true}])";
  return parts.load();
}

/// What an answer must be, one token after the other, with nothing shared, cached or reordered.
inline RequestOutput oracle(const std::vector<int>& prompt, const SamplingParams& p, int index, const FakeShape& shape,
                            const std::vector<int>& eos, int max_model_len) {
  RequestOutput out;
  std::string searched;  // the part of the text in which stop strings count
  std::vector<int> tokens = prompt;
  std::vector<float> raw(static_cast<std::size_t>(shape.vocab)), sorted(raw.size());
  std::vector<int> order(raw.size());
  const auto has = [](const std::vector<int>& list, int x) { return std::ranges::find(list, x) != list.end(); };
  const std::vector<int> ends = p.ignore_eos ? std::vector<int>{} : eos;
  while (out.finish_reason == FinishReason::none) {
    std::uint64_t cell = 0, state = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) state = mix(state, cell = cell_of(cell, tokens[i], static_cast<int>(i)));
    logits_of(state, tokens.back(), shape.predictable, raw);
    std::vector<float> x = raw;
    for (const TokenBias& b : p.logit_bias) x[static_cast<std::size_t>(b.token)] += static_cast<float>(b.bias);
    std::map<int, int> generated;
    for (const int t : out.token_ids) ++generated[t];
    std::set<int> seen(out.token_ids.begin(), out.token_ids.end());
    seen.insert(prompt.begin(), prompt.end());
    const auto penalty = static_cast<float>(p.repetition_penalty);
    for (const int t : seen) {
      float& l = x[static_cast<std::size_t>(t)];
      l = l > 0 ? l / penalty : l * penalty;
    }
    for (const auto& [t, times] : generated)
      x[static_cast<std::size_t>(t)] -=
          static_cast<float>(p.frequency_penalty) * static_cast<float>(times) + static_cast<float>(p.presence_penalty);
    const int count = static_cast<int>(out.token_ids.size());
    if (count < p.min_tokens)
      for (const auto* list : {&ends, &p.stop_token_ids})
        for (const int t : *list) x[static_cast<std::size_t>(t)] = -INFINITY;
    kernels::SampleParams draw{static_cast<float>(p.temperature), static_cast<int>(std::max<std::int64_t>(p.top_k, 0)),
                               static_cast<float>(p.top_p),       static_cast<float>(p.min_p),
                               answer_seed(*p.seed, index),       static_cast<std::uint64_t>(count)};
    int token = 0;
    impl<kernels::sample, Ref>::run({}, {x.data(), &draw, sorted.data(), order.data(), &token, 1, shape.vocab, shape.vocab});
    if (p.logprobs >= 0) {
      double sum = 0;
      for (const float l : raw) sum += std::exp(double{l});
      std::vector<int> by(raw.size());
      for (std::size_t v = 0; v < by.size(); ++v) by[v] = static_cast<int>(v);
      std::ranges::stable_sort(by,
                               [&](int l, int r) { return raw[static_cast<std::size_t>(l)] > raw[static_cast<std::size_t>(r)]; });
      by.resize(static_cast<std::size_t>(p.logprobs));
      by.insert(by.begin(), token);
      for (const int t : by)
        out.logprobs.push_back({t, static_cast<float>(double{raw[static_cast<std::size_t>(t)]} - std::log(sum))});
    }
    tokens.push_back(token);
    out.token_ids.push_back(token);
    const bool may_end = count + 1 > p.min_tokens;
    if (may_end && has(ends, token))
      out.finish_reason = FinishReason::eos;
    else if (may_end && has(p.stop_token_ids, token))
      out.finish_reason = FinishReason::stop_token;
    if (out.finish_reason != FinishReason::none) break;
    const std::string piece = token < fake_eos ? fake_tokens()[static_cast<std::size_t>(token)] : "";
    for (const char c : piece) {
      out.text += c;
      if (!may_end) continue;
      searched += c;
      std::size_t longest = 0;
      for (const std::string& s : p.stop_strings)
        if (searched.ends_with(s)) longest = std::max(longest, s.size());
      if (longest == 0) continue;
      out.text.resize(out.text.size() - longest);
      out.finish_reason = FinishReason::stop_string;
      break;
    }
    if (out.finish_reason != FinishReason::none) break;
    if (count + 1 >= p.max_tokens)
      out.finish_reason = FinishReason::max_tokens;
    else if (static_cast<int>(tokens.size()) >= max_model_len)
      out.finish_reason = FinishReason::context_end;
  }
  return out;
}

/// A long answer that nothing ends early.
inline SamplingParams greedy(int max_tokens) {
  SamplingParams p;
  p.temperature = 0;
  p.max_tokens = max_tokens;
  p.ignore_eos = true;
  return p;
}

inline std::vector<int> prompt_of(int n, int salt = 0) {
  std::vector<int> ids(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) ids[static_cast<std::size_t>(i)] = (i * 7 + salt) % 24;
  return ids;
}

/// What nobody else's presence may change: a prompt's answer from a model and an engine of default shape.
inline std::vector<int> alone(const std::vector<int>& prompt, SamplingParams p, int index = 0) {
  if (!p.seed) p.seed = 0;
  return oracle(prompt, p, index, {}, {fake_eos}, 256).token_ids;
}

}  // namespace atom::engine::fake
