#include "dialogue.hpp"

#include <algorithm>
#include <cstdio>
#include <random>

#include "atom/core/error.hpp"
#include "atom/engine/chat_prompt.hpp"

#include "interrupt.hpp"
#include "speculation.hpp"

namespace atom::tools {

namespace {

// False when stdout takes no more.
bool put(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

void report(const engine::RequestOutput& o, std::uint64_t seed, const engine::SpeculationStats& drafts) {
  const int computed = o.num_tokens_input - o.num_cached_tokens;
  const double rate = o.tpot > 0 ? 1 / o.tpot : 0;
  const char* end = o.finish_reason == engine::FinishReason::context_end ? "; the context is full"
                    : o.finish_reason == engine::FinishReason::aborted   ? "; interrupted"
                                                                         : "";
  std::fprintf(stderr,
               "prompt: %d tokens (%d cached), %.1f tokens/s, first token after %.3f s; generation: %d tokens, %.1f tokens/s; "
               "%s%sseed %llu%s\n",
               o.num_tokens_input, o.num_cached_tokens, computed / std::max(o.ttft, 1e-9), o.ttft, o.num_tokens_output, rate,
               drafts.enabled ? drafts_text(drafts).c_str() : "", drafts.enabled ? "; " : "", static_cast<unsigned long long>(seed),
               end);
}

}  // namespace

Dialogue::Dialogue(engine::LLMEngine& engine, DialogueOptions options)
    : engine_(engine),
      options_(std::move(options)),
      next_seed_(options_.sampling.seed ? *options_.sampling.seed : std::random_device{}()) {}

void Dialogue::say(std::string text, const InterruptGuard* guard) {
  if (!is_chat()) conversation_.clear();
  conversation_.add_user(std::move(text));
  answer(guard);
}

void Dialogue::answer_again(const InterruptGuard* guard) {
  if (conversation_.empty()) throw Error("nothing was said yet");
  conversation_.drop_answer();
  answer(guard);
}

void Dialogue::answer(const InterruptGuard* guard) try { conversation_.add_answer(stream(prompt(), guard).text); } catch (...) {
  conversation_.drop_turn();
  throw;
}

std::vector<int> Dialogue::prompt() const {
  const engine::Tokenizer& tokenizer = *engine_.tokenizer();
  if (is_chat())
    return engine::chat_prompt(*options_.chat_template, tokenizer, conversation_.messages(), {.kwargs = &options_.template_kwargs});
  std::vector<int> ids = tokenizer.encode(conversation_.last());
  if (ids.empty() && options_.bos_token >= 0) ids.push_back(options_.bos_token);
  if (ids.empty()) throw Error("the prompt is empty, and the model names no token to begin with; give --prompt some text");
  return ids;
}

engine::RequestOutput Dialogue::stream(std::vector<int> ids, const InterruptGuard* guard) {
  engine::SamplingParams params = options_.sampling;
  params.seed = next_seed_;
  engine::RequestOutput whole;
  bool written = true;  // a callback may not throw through the engine
  const auto piece = [&](const engine::StreamOutput& o) {
    written = written && put(o.text);
    if (o.finished) whole = *o.finished;
  };
  const engine::SpeculationStats before = engine_.stats().speculation;
  const engine::Admission request = engine_.add({.prompt = std::move(ids), .params = params}, piece);
  if (!request.ok()) throw Error(request.error.message());
  ++next_seed_;
  while (engine_.step())
    if (!written || (guard && guard->interrupted())) engine_.abort(request.id);
  if (!written || !put("\n")) throw Error("stdout: cannot be written");
  engine::SpeculationStats drafts = engine_.stats().speculation;
  report(whole, *params.seed, drafts -= before);
  return whole;
}

}  // namespace atom::tools
