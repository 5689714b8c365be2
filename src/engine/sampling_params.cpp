#include "atom/engine/sampling_params.hpp"

#include <array>
#include <charconv>
#include <limits>

#include "atom/ops/random.hpp"

namespace atom::engine {

namespace {

std::string text(double x) {
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), x);
  return {buffer.data(), end.ptr};
}
std::string text(std::int64_t x) { return std::to_string(x); }
std::string text(std::size_t x) { return std::to_string(x); }

/// Collects the first complaint; NaN fails every comparison and so every range.
class Judge {
 public:
  template <class T> void between(const char* field, T value, T low, T high) {
    if (!(value >= low && value <= high))
      refuse(field, "must be between " + text(low) + " and " + text(high) + ", not " + text(value));
  }
  void at_most(const char* field, std::size_t count, std::size_t most, const char* what) {
    if (count > most) refuse(field, "at most " + text(most) + " " + what + " are accepted, not " + text(count));
  }
  void token(const char* field, int id, int vocab) {
    if (id < 0 || id >= vocab)
      refuse(field, "token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(vocab));
  }
  void refuse(const char* field, std::string why) {
    if (!error_) error_ = RequestError{field, std::move(why)};
  }
  [[nodiscard]] std::optional<RequestError> error() { return std::move(error_); }

 private:
  std::optional<RequestError> error_;
};

}  // namespace

std::optional<RequestError> validate(const SamplingParams& p, int vocab) {
  constexpr std::int64_t any = std::numeric_limits<std::int64_t>::max();
  using Limits = RequestLimits;
  Judge judge;
  judge.between("temperature", p.temperature, 0.0, 100.0);
  judge.between("max_tokens", p.max_tokens, std::int64_t{1}, any);
  judge.between("top_k", p.top_k, std::int64_t{-1}, any);
  if (!(p.top_p > 0 && p.top_p <= 1)) judge.refuse("top_p", "must be above 0 and at most 1, not " + text(p.top_p));
  judge.between("min_p", p.min_p, 0.0, 1.0);
  judge.between("n", p.n, std::int64_t{1}, Limits::n);
  judge.between("presence_penalty", p.presence_penalty, -2.0, 2.0);
  judge.between("frequency_penalty", p.frequency_penalty, -2.0, 2.0);
  judge.between("repetition_penalty", p.repetition_penalty, 0.01, 100.0);
  judge.between("logprobs", p.logprobs, std::int64_t{-1}, Limits::logprobs);
  judge.between("min_tokens", p.min_tokens, std::int64_t{0}, p.max_tokens);
  judge.at_most("logit_bias", p.logit_bias.size(), Limits::logit_bias, "tokens");
  for (const TokenBias& b : p.logit_bias) {
    judge.token("logit_bias", b.token, vocab);
    judge.between("logit_bias", b.bias, -100.0, 100.0);
  }
  judge.at_most("stop_token_ids", p.stop_token_ids.size(), Limits::stop_token_ids, "ids");
  for (const int id : p.stop_token_ids) judge.token("stop_token_ids", id, vocab);
  judge.at_most("stop_strings", p.stop_strings.size(), Limits::stop_strings, "strings");
  std::size_t bytes = 0;
  for (const std::string& s : p.stop_strings) {
    if (s.empty()) judge.refuse("stop_strings", "an empty string would end every text before it begins; leave it out");
    bytes += s.size();
  }
  judge.at_most("stop_strings", bytes, Limits::stop_bytes, "bytes in all");
  return judge.error();
}

std::uint64_t answer_seed(std::uint64_t seed, int index) noexcept {
  if (index == 0) return seed;
  const Philox bits = Philox::draw(seed, static_cast<std::uint64_t>(index));
  return std::uint64_t{bits.v[1]} << 32 | bits.v[2];  // v[0] is what uniform() draws from
}

}  // namespace atom::engine
