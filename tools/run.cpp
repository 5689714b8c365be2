// atom run: text in, text out. One sequence; a prompt from the command line, or one per line of stdin.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <random>
#include <unistd.h>

#include "atom/core/error.hpp"
#include "atom/engine/detokenizer.hpp"
#include "atom/engine/generation_config.hpp"
#include "atom/engine/session.hpp"
#include "atom/engine/tokenizer.hpp"

#include "chat.hpp"
#include "common.hpp"

namespace atom::tools {

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

void put(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

kernels::SampleParams sampling(const RunOptions& o, const engine::GenerationDefaults& d) {
  kernels::SampleParams p;
  p.temperature = o.temperature.value_or(d.temperature);
  p.top_k = o.top_k.value_or(d.top_k);
  p.top_p = o.top_p.value_or(d.top_p);
  p.min_p = o.min_p.value_or(d.min_p);
  p.seed = o.seed ? *o.seed : std::random_device{}();
  return p;
}

class Writer {
 public:
  Writer(engine::Session& session, const engine::Tokenizer& tokenizer, const engine::GenerationDefaults& defaults,
         const RunOptions& o)
      : session_(session), tokenizer_(tokenizer), eos_(defaults.eos_token_ids), options_(o), params_(sampling(o, defaults)) {}

  /// Continues the sequence after `ids`, streaming to stdout. True when the model ended the text itself.
  bool write(const std::vector<int>& ids) {
    const auto start = Clock::now();
    const float* logits = session_.feed(ids);
    const double prefill = seconds_since(start);
    engine::Detokenizer text(tokenizer_);
    text.prime(ids);
    bool ended = false;
    int generated = 0;
    const auto decode_start = Clock::now();
    for (; generated < options_.max_tokens; ++generated, ++params_.counter) {
      const int token = session_.sample(logits, params_);
      ended = !options_.ignore_eos && std::ranges::find(eos_, token) != eos_.end();
      if (ended || session_.room() == 0) break;
      put(text.push(token));
      logits = session_.decode(token);
    }
    const double decode = seconds_since(decode_start);
    put(text.finish());
    put("\n");
    std::fprintf(stderr, "prompt: %zu tokens, %.1f tokens/s; generation: %d tokens, %.1f tokens/s; seed %llu%s\n", ids.size(),
                 static_cast<double>(ids.size()) / std::max(prefill, 1e-9), generated, generated / std::max(decode, 1e-9),
                 static_cast<unsigned long long>(params_.seed), session_.room() == 0 ? "; the context is full" : "");
    return ended;
  }

 private:
  engine::Session& session_;
  const engine::Tokenizer& tokenizer_;
  const std::vector<int>& eos_;
  const RunOptions& options_;
  kernels::SampleParams params_;
};

void check(const RunOptions& o) {
  const auto refuse = [](const char* what) { throw Error(what); };
  if (o.max_tokens < 0) refuse("--max-tokens: must be 0 or more");
  if (o.temperature && !(*o.temperature >= 0 && std::isfinite(*o.temperature))) refuse("--temperature: must be 0 (greedy) or more");
  if (o.top_k && *o.top_k < 0) refuse("--top-k: must be 0 (off) or more");
  if (o.top_p && !(*o.top_p > 0 && *o.top_p <= 1)) refuse("--top-p: must be in (0, 1]");
  if (o.min_p && !(*o.min_p >= 0 && *o.min_p <= 1)) refuse("--min-p: must be in [0, 1]");
  if (o.chat && o.raw) refuse("--chat and --raw exclude each other");
}

}  // namespace

int run(const RunOptions& o) {
  check(o);
  TerminalProgress progress;
  auto options = executor_options(o.model, &progress);
  const auto tokenizer = engine::Tokenizer::from_dir(options.model_dir);
  const auto config = engine::read_config(options.model_dir);
  const auto defaults = engine::read_generation_config(options.model_dir, config);
  warn_unknown(config.unknown_keys, options.model_dir + "/config.json");
  warn_unknown(defaults.unknown_keys, options.model_dir + "/generation_config.json");
  if (options.context_tokens == 0) options.context_tokens = std::min(config.numbers.max_position, 8192);
  std::optional<ChatMl> chat;
  if (o.chat) chat.emplace(tokenizer);
  engine::Executor executor(options, *o.model.builds);
  engine::Session session(executor);
  Writer writer(session, tokenizer, defaults, o);

  const auto encode = [&](const std::string& text) {
    auto ids = chat ? chat->user_turn(text) : tokenizer.encode(text);
    if (ids.empty() && session.length() == 0 && defaults.bos_token_id >= 0) ids.push_back(defaults.bos_token_id);
    if (ids.empty()) throw Error("the prompt is empty, and the model names no token to begin with; give --prompt some text");
    return ids;
  };
  if (o.prompt) {
    if (!chat) put(*o.prompt);
    writer.write(encode(*o.prompt));
    return 0;
  }
  const bool terminal = isatty(STDIN_FILENO) == 1;
  std::string line;
  while ((terminal ? void(std::fputs("> ", stderr)) : void()), std::getline(std::cin, line)) {
    if (line.empty()) continue;
    try {
      if (!chat) session.truncate(0);
      const bool ended = writer.write(encode(line));
      if (chat && session.room() > 2) session.feed(chat->close(ended));
    } catch (const Error& e) {  // this line's fault; the next one may fit
      std::fprintf(stderr, "atom: %s\n", e.what());
    }
  }
  return 0;
}

}  // namespace atom::tools
