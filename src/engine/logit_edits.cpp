#include "atom/engine/logit_edits.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "atom/core/error.hpp"

namespace atom::engine {

TokenCounts::TokenCounts(std::size_t most_tokens) : slots_(most_tokens ? std::bit_ceil(2 * most_tokens) : 0, -1) {
  entries_.reserve(most_tokens);
}

std::size_t TokenCounts::slot_of(int token) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = (static_cast<std::uint32_t>(token) * 0x9E3779B1u) & mask;
  while (slots_[i] >= 0 && entries_[static_cast<std::size_t>(slots_[i])].token != token) i = (i + 1) & mask;
  return i;
}

void TokenCounts::add(int token, int generated) noexcept {
  int& slot = slots_[slot_of(token)];
  if (slot >= 0) {
    entries_[static_cast<std::size_t>(slot)].generated += generated;
    return;
  }
  slot = static_cast<int>(entries_.size());
  entries_.push_back({token, generated, generated == 0});
}

void TokenCounts::take_back(int token) noexcept {
  int& slot = slots_[slot_of(token)];
  Entry& e = entries_[static_cast<std::size_t>(slot)];
  if (--e.generated > 0 || e.in_prompt) return;
  ATOM_ASSERT(&e == &entries_.back(), "what was added last is taken back first");
  entries_.pop_back();
  slot = -1;  // nothing was put behind it since
}

namespace {

bool penalises(const SamplingParams& p) { return p.presence_penalty != 0 || p.frequency_penalty != 0 || p.repetition_penalty != 1; }

}  // namespace

std::unique_ptr<LogitEdits> LogitEdits::make(const SamplingParams& params, std::span<const int> prompt,
                                             std::span<const int> forbidden, int longest_answer, int rows) {
  const bool forbids = params.min_tokens > 0 && !forbidden.empty();
  if (!penalises(params) && params.logit_bias.empty() && !forbids) return nullptr;
  if (params.min_tokens <= 0) forbidden = {};
  return std::unique_ptr<LogitEdits>(new LogitEdits(params, prompt, forbidden, longest_answer, rows));
}

LogitEdits::LogitEdits(const SamplingParams& p, std::span<const int> prompt, std::span<const int> forbidden, int longest_answer,
                       int rows)
    : forbidden_(forbidden.begin(), forbidden.end()),
      min_tokens_(static_cast<int>(std::min<std::int64_t>(p.min_tokens, longest_answer))),
      repetition_(static_cast<float>(p.repetition_penalty)),
      frequency_(static_cast<float>(p.frequency_penalty)),
      presence_(static_cast<float>(p.presence_penalty)),
      penalties_(penalises(p)),
      restored_(p.logprobs >= 0),
      counts_(penalties_ ? prompt.size() + static_cast<std::size_t>(longest_answer) : 0) {
  for (const TokenBias& b : p.logit_bias) biases_.emplace_back(b.token, static_cast<float>(b.bias));
  if (repetition_ != 1)
    for (const int token : prompt) counts_.add(token, 0);
  if (!restored_) return;
  const std::size_t seen = penalties_ ? prompt.size() + static_cast<std::size_t>(longest_answer) : 0;
  overwritten_.reserve((biases_.size() + forbidden_.size() + seen) * static_cast<std::size_t>(rows));
  edited_.reserve(static_cast<std::size_t>(rows));
}

void LogitEdits::set(float* logits, int token, float value) noexcept {
  if (restored_) overwritten_.emplace_back(token, logits[token]);
  logits[token] = value;
}

void LogitEdits::apply(float* logits, int generated) noexcept {
  if (restored_) edited_.push_back(overwritten_.size());
  for (const auto& [token, bias] : biases_) set(logits, token, logits[token] + bias);
  for (const auto& [token, times, in_prompt] : counts_.entries()) {
    float x = logits[token];
    x = x > 0 ? x / repetition_ : x * repetition_;
    if (times > 0) x -= frequency_ * static_cast<float>(times) + presence_;
    set(logits, token, x);
  }
  if (generated < min_tokens_)
    for (const int token : forbidden_) set(logits, token, -std::numeric_limits<float>::infinity());
}

void LogitEdits::restore(float* logits) noexcept {
  ATOM_ASSERT(!edited_.empty(), "only what was edited, for a request with log probabilities, is restored");
  for (; overwritten_.size() > edited_.back(); overwritten_.pop_back())
    logits[overwritten_.back().first] = overwritten_.back().second;
  edited_.pop_back();
}

void LogitEdits::count(int token) noexcept {
  if (penalties_) counts_.add(token, 1);
}

void LogitEdits::take_back(int token) noexcept {
  if (penalties_) counts_.take_back(token);
}

void log_probabilities(const float* logits, int vocab, int chosen, int top, TokenLogprob* out) noexcept {
  const float high = *std::max_element(logits, logits + vocab);
  double sum = 0;
  for (int v = 0; v < vocab; ++v) sum += double{std::exp(logits[v] - high)};
  const float log_sum = static_cast<float>(std::log(sum));  // of e^(x - high): small, so that little is lost
  out[0] = {chosen, logits[chosen] - high - log_sum};
  TokenLogprob* best = out + 1;
  int kept = 0;
  for (int v = 0; v < vocab; ++v) {
    const float x = logits[v] - high - log_sum;
    if (kept == top && (top == 0 || !(x > best[top - 1].logprob))) continue;
    int at = kept < top ? kept++ : top - 1;
    for (; at > 0 && x > best[at - 1].logprob; --at) best[at] = best[at - 1];
    best[at] = {v, x};
  }
  for (; kept < top; ++kept) best[kept] = {-1, -std::numeric_limits<float>::infinity()};  // a vocabulary smaller than `top`
}

}  // namespace atom::engine
