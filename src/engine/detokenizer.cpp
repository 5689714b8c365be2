#include "atom/engine/detokenizer.hpp"

#include "tokenizer_data.hpp"

namespace atom::engine {

struct Detokenizer::State {
  std::shared_ptr<const TokenizerData> data;
  bool skip_special;
  text::TextStream stream;
  std::string out = {};

  void push(int id) {
    out.clear();
    if (data->visible(id, skip_special)) stream.push(id, data->vocabulary.token(id), out);
  }
};

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)
    : state_(
          std::make_unique<State>(State{.data = tokenizer.data_,
                                        .skip_special = skip_special_tokens,
                                        .stream = text::TextStream(tokenizer.data_->token_text, text::TextStream::Runs::eager)})) {}

Detokenizer::~Detokenizer() = default;
Detokenizer::Detokenizer(Detokenizer&&) noexcept = default;
Detokenizer& Detokenizer::operator=(Detokenizer&&) noexcept = default;

void Detokenizer::prime(std::span<const int> ids) {
  for (const int id : ids) state_->push(id);
}

std::string_view Detokenizer::push(int id) {
  state_->push(id);
  return state_->out;
}

std::string_view Detokenizer::finish() {
  state_->out.clear();
  state_->stream.finish(state_->out);
  return state_->out;
}

}  // namespace atom::engine
