#include "atom/engine/engine.hpp"

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <iterator>
#include <random>

#include "atom/core/error.hpp"
#include "atom/engine/block_manager.hpp"
#include "atom/engine/executor.hpp"
#include "atom/engine/generation_config.hpp"
#include "atom/engine/model_runner.hpp"
#include "atom/engine/scheduler.hpp"

namespace atom::engine {

namespace {

double now() noexcept { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::uint64_t random_bits() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

int clamp_to_int(std::int64_t x, int most) { return static_cast<int>(std::min<std::int64_t>(x, most)); }

}  // namespace

struct LLMEngine::State {
  State(StepModel& m, std::unique_ptr<StepModel> mine, std::optional<Tokenizer> t, const EngineConfig& c,
        std::unique_ptr<Proposer> p)
      : owned(std::move(mine)),
        model(m),
        tokenizer(std::move(t)),
        config(resolve(c, model)),
        seed(config.seed ? *config.seed : random_bits()),
        proposer(p ? std::move(p) : make_proposer(config, model)),
        blocks(config.num_kvcache_blocks, random_bits(), nullptr, layers() > 0 ? 1 : 0),
        scheduler(config, blocks),
        runner(model, config, blocks, layers() > 0),
        drafting(proposer ? static_cast<std::size_t>(config.max_num_seqs) : 0) {
    stats.speculation.enabled = proposer != nullptr;
    check_proposer();
    for (auto* list : {&pending, &launched}) list->reserve(static_cast<std::size_t>(config.max_num_seqs));
  }
  ~State() {
    if (!pending.empty()) runner.collect(pending.size());
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  std::optional<RequestError> encode(const Request& request, std::vector<int>& ids) const;
  std::optional<RequestError> check(std::span<const int> prompt, const SamplingParams& params) const;
  std::unique_ptr<Sequence> make(const Request& request, const std::vector<int>& prompt, std::uint64_t request_id, int index) const;
  Admission add(Request request, StreamCallback callback, RequestOutput* destination);
  void check_proposer() const;
  void step() noexcept;
  [[nodiscard]] bool defers(std::span<const Scheduled> step) const noexcept;
  void launch(std::span<const Scheduled> step) noexcept;
  void collect() noexcept;
  void settle(const Scheduled& part, std::span<const int> drawn) noexcept;
  void accept(Sequence& s, std::span<const int> drawn, double time) noexcept;
  void propose(std::span<const Scheduled> step) noexcept;
  Drafting wanted(Sequence& s, const Scheduled& part, std::size_t drawn) noexcept;
  void finish(Sequence& s, FinishReason reason, double time) noexcept;
  void start_followers(Sequence& s) noexcept;
  void end_aborted() noexcept;
  bool abort(std::uint64_t id) noexcept;

  [[nodiscard]] int layers() const noexcept { return proposer ? proposer->layers() : 0; }
  // Ids of sequences ascend and so does `live`; a request's id is that of its first answer.
  [[nodiscard]] std::deque<std::unique_ptr<Sequence>>::iterator find(std::uint64_t id) {
    return std::ranges::lower_bound(live, id, {}, [](const auto& s) { return s->id; });
  }

  std::unique_ptr<StepModel> owned;
  StepModel& model;
  std::optional<Tokenizer> tokenizer;
  const EngineConfig config;  // resolved
  const std::uint64_t seed;
  std::unique_ptr<Proposer> proposer;  // null: no drafts
  BlockManager blocks;
  Scheduler scheduler;
  ModelRunner runner;
  std::vector<Drafting> drafting;              // (seqs)
  std::deque<std::unique_ptr<Sequence>> live;  // by id; of many, the first end first
  std::vector<RequestOutput> finished;         // room for every live one is made by add()
  std::vector<Sequence*> pending;              // (rows of a draw that was not collected): whose they are; null: it has ended
  std::vector<Sequence*> launched;             // as pending, of the step behind that draw
  std::uint64_t last_id = 0;
  bool aborts = false;  // some sequence is to end before the next step
  EngineStats stats;
};

std::optional<RequestError> LLMEngine::State::encode(const Request& request, std::vector<int>& ids) const {
  if (const auto* given = std::get_if<std::vector<int>>(&request.prompt)) {
    ids = *given;
    return {};
  }
  if (!tokenizer) return RequestError{"prompt", "is text, but the engine has no tokenizer; pass token ids"};
  try {
    ids = tokenizer->encode(std::get<std::string>(request.prompt), request.encoding);
  } catch (const Error& e) {
    return RequestError{"prompt", e.what()};
  }
  return {};
}

std::optional<RequestError> LLMEngine::State::check(std::span<const int> prompt, const SamplingParams& params) const {
  const auto refuse = [](std::string why) { return RequestError{"prompt", std::move(why)}; };
  if (auto error = validate(params, model.vocab())) return error;
  if (!params.stop_strings.empty() && !tokenizer)
    return RequestError{"stop_strings", "the engine has no tokenizer and makes no text; use stop_token_ids"};
  if (prompt.empty()) return refuse("is empty; give at least one token");
  const auto wrong = std::ranges::find_if(prompt, [&](int id) { return id < 0 || id >= model.vocab(); });
  if (wrong != prompt.end())
    return refuse("token " + std::to_string(wrong - prompt.begin()) + " is " + std::to_string(*wrong) +
                  ", outside the vocabulary of " + std::to_string(model.vocab()));
  const std::string has = "has " + std::to_string(prompt.size()) + " tokens; ";
  if (prompt.size() >= static_cast<std::size_t>(config.max_model_len))
    return refuse(has + "at most " + std::to_string(config.max_model_len - 1) + " leave room for an answer in max_model_len " +
                  std::to_string(config.max_model_len));
  if (!config.enable_chunked_prefill && prompt.size() > static_cast<std::size_t>(config.max_num_batched_tokens))
    return refuse(has + "without chunked prefill a step holds " + std::to_string(config.max_num_batched_tokens) +
                  "; enable_chunked_prefill or raise max_num_batched_tokens");
  return {};
}

std::unique_ptr<Sequence> LLMEngine::State::make(const Request& request, const std::vector<int>& prompt, std::uint64_t request_id,
                                                 int index) const {
  const SamplingParams& p = request.params;
  auto s = std::make_unique<Sequence>();
  s->id = request_id + static_cast<std::uint64_t>(index);
  s->prompt = static_cast<int>(prompt.size());
  const int most = clamp_to_int(p.max_tokens, config.max_model_len - s->prompt);
  s->longest = s->prompt + most;
  s->tokens.reserve(static_cast<std::size_t>(s->longest));
  s->tokens = prompt;
  s->drafts.reserve(static_cast<std::size_t>(config.speculative_config.drafts()));
  s->blocks.reserve(blocks_for(s->longest));
  if (config.enable_prefix_caching)
    s->salt = request.cache_salt;
  else if (p.n > 1 && model.rewinds())
    s->salt = request_id;  // its answers share the prompt's pages, nobody else does
  s->draw.temperature = p.temperature < 1e-5 ? 0 : static_cast<float>(p.temperature);
  s->draw.top_k = p.top_k > 0 ? clamp_to_int(p.top_k, model.vocab()) : 0;
  s->draw.top_p = static_cast<float>(p.top_p);
  s->draw.min_p = static_cast<float>(p.min_p);
  s->draw.seed = answer_seed(p.seed ? *p.seed : seed + request_id, index);
  s->logprobs = static_cast<int>(p.logprobs);

  Answer& a = s->answer;
  a.output.id = request_id;
  a.output.index = index;
  a.output.num_tokens_input = s->prompt;
  if (!p.ignore_eos) a.rules.eos = config.eos_token_ids;
  a.rules.stop_token_ids = p.stop_token_ids;
  a.rules.min_tokens = clamp_to_int(p.min_tokens, most);
  a.rules.max_tokens = clamp_to_int(p.max_tokens, config.max_model_len);
  a.rules.max_context = config.max_model_len;
  a.stop_strings = StopStrings(p.stop_strings);
  if (tokenizer) a.detokenizer.emplace(*tokenizer).prime(prompt);
  a.reserve(most, 1 + s->logprobs);

  std::vector<int> forbidden = a.rules.eos;
  forbidden.insert(forbidden.end(), p.stop_token_ids.begin(), p.stop_token_ids.end());
  s->edits = LogitEdits::make(p, prompt, forbidden, most, 1 + config.speculative_config.drafts());
  return s;
}

Admission LLMEngine::State::add(Request request, StreamCallback callback, RequestOutput* destination) {
  std::vector<int> prompt;
  if (auto error = encode(request, prompt)) return {0, std::move(*error)};
  if (auto error = check(prompt, request.params)) return {0, std::move(*error)};
  const std::uint64_t id = last_id + 1;
  const double arrival = now();
  const auto n = static_cast<std::size_t>(request.params.n);
  const auto shared = callback ? std::make_shared<const StreamCallback>(std::move(callback)) : nullptr;
  std::vector<std::unique_ptr<Sequence>> answers;
  for (std::size_t i = 0; i < n; ++i) {
    answers.push_back(make(request, prompt, id, static_cast<int>(i)));
    Sequence& s = *answers.back();
    s.arrival = arrival;
    s.answer.callback = shared;
    s.answer.destination = destination ? destination + i : nullptr;
  }
  for (std::size_t i = 1; i < n; ++i) answers.front()->followers.push_back(answers[i].get());
  const auto grown = [](std::size_t need, std::size_t capacity) {
    return need <= capacity ? capacity : std::max(need, 2 * capacity);
  };
  finished.reserve(grown(finished.size() + live.size() + n, finished.capacity()));
  Sequence& first = *answers.front();
  live.insert(live.end(), std::make_move_iterator(answers.begin()), std::make_move_iterator(answers.end()));  // all, or none
  // From here on nothing throws.
  last_id += n;
  ++stats.requests;
  scheduler.add(first);
  return {id, {}};
}

void LLMEngine::State::step() noexcept {
  end_aborted();
  std::span<const Scheduled> step = scheduler.schedule(now());
  if (defers(step)) return launch(step);
  if (!pending.empty()) {
    collect();
    step = scheduler.step();
  }
  if (step.empty()) return;
  const std::span<const std::span<const int>> drawn = runner.run(step);
  const double time = now();
  ++stats.steps;
  for (std::size_t i = 0; i < step.size(); ++i) settle(step[i], drawn[i]);
  if (proposer) {
    for (std::size_t i = 0; i < step.size(); ++i) drafting[i] = wanted(*step[i].sequence, step[i], drawn[i].size());
    propose(step);
  }
  for (std::size_t i = 0; i < step.size(); ++i)
    if (!drawn[i].empty()) accept(*step[i].sequence, drawn[i], time);
}

// Whether the step after this one can be launched before this one's tokens are known. Whoever edits or reads logits, or guesses
// what follows a token, is on the host.
bool LLMEngine::State::defers(std::span<const Scheduled> step) const noexcept {
  const auto reads = [](const Scheduled& part) { return part.draws() && (part.sequence->edits || part.sequence->logprobs >= 0); };
  return model.defers() && !proposer && !step.empty() && std::ranges::none_of(step, reads);
}

// Launches the step, and reads the tokens of the one in front of it while the model is at work. A sequence that these end has a
// row in this step that nobody asks for. Its pages go to others at once all the same: what reads or writes them is on the model's
// stream, in the order of launches, and a page has a name only when all its rows were launched, none of them behind an end.
void LLMEngine::State::launch(std::span<const Scheduled> step) noexcept {
  constexpr int unknown[] = {-1};
  ++stats.steps;
  runner.launch(step);
  for (const Scheduled& part : step)
    if (part.draws()) launched.push_back(part.sequence);
  collect();
  for (const Scheduled& part : scheduler.step()) {
    settle(part, std::span(unknown).first(part.draws()));
    if (part.draws()) start_followers(*part.sequence);  // the prompt's pages are named
  }
  pending.swap(launched);
  for (std::size_t row = 0; row < pending.size(); ++row)
    if (pending[row]) pending[row]->carried = static_cast<int>(row);
}

// The tokens that are pending, each in the place that was kept for it.
void LLMEngine::State::collect() noexcept {
  if (pending.empty()) return;
  const std::span<const int> drawn = runner.collect(pending.size());
  const double time = now();
  for (std::size_t row = 0; row < pending.size(); ++row) {
    Sequence* s = pending[row];
    if (!s) continue;
    s->tokens.back() = drawn[row];
    s->carried = -1;
    accept(*s, drawn.subspan(row, 1), time);
  }
  pending.clear();
}

// The sequence after a step: what it computed is in the cache, drafts that turned out right included.
void LLMEngine::State::settle(const Scheduled& part, std::span<const int> drawn) noexcept {
  Sequence& s = *part.sequence;
  const std::size_t accepted = drawn.empty() ? 0 : drawn.size() - 1;
  if (proposer && s.type() == StepType::decode) {
    stats.speculation.count(static_cast<std::size_t>(part.drafts), accepted);
    s.answer.output.num_tokens_drafted += part.drafts;
    s.answer.output.num_tokens_accepted += static_cast<int>(accepted);
  }
  stats.tokens_computed += static_cast<std::uint64_t>(part.rows());
  s.computed += part.tokens + static_cast<int>(accepted);
  s.tokens.insert(s.tokens.end(), drawn.begin(), drawn.end());
  if (!drawn.empty()) s.drafts.clear();
  if (s.salt) blocks.publish(s.blocks, std::span(s.tokens).first(static_cast<std::size_t>(s.computed + blocks.ahead())));
}

// The answer may end, maybe before the last of the tokens.
void LLMEngine::State::accept(Sequence& s, std::span<const int> drawn, double time) noexcept {
  if (s.answer.output.token_ids.empty()) stats.tokens_from_cache += static_cast<std::uint64_t>(s.answer.output.num_cached_tokens);
  start_followers(s);
  FinishReason reason = FinishReason::none;
  for (std::size_t i = 0; i < drawn.size() && reason == FinishReason::none; ++i) {
    ++stats.tokens_generated;
    reason = FinishReason::failed;
    try {
      reason = s.answer.push(drawn[i], time - s.arrival);
    } catch (const std::exception&) {}
  }
  if (reason != FinishReason::none)
    finish(s, reason, time);
  else if (!s.answer.deliver())
    abort(s.answer.output.id);
}

// What is asked of the proposer: never more than the answer may still have behind the token that the next step draws anyway.
Drafting LLMEngine::State::wanted(Sequence& s, const Scheduled& part, std::size_t drawn) noexcept {
  Drafting d;
  d.tokens = s.tokens;
  d.computed = s.computed;
  d.kept = part.tokens + std::max(static_cast<int>(drawn) - 1, 0);
  if (drawn > 0 && !s.abort) {
    const StopRules& rules = s.answer.rules;
    const int room = std::min(rules.max_tokens - s.generated(), rules.max_context - s.length()) - 1;
    s.drafts.resize(static_cast<std::size_t>(std::clamp(room, 0, config.speculative_config.drafts())));
    d.drafts = s.drafts;
    if (layers() > 0 && room > 0) scheduler.make_room(s, static_cast<int>(s.drafts.size()));
  }
  d.pages = s.blocks.ids();
  return d;
}

void LLMEngine::State::propose(std::span<const Scheduled> step) noexcept {
  const std::span<Drafting> parts = std::span(drafting).first(step.size());
  proposer->propose(runner.batch(), parts);
  for (std::size_t i = 0; i < step.size(); ++i) {
    const Drafting& d = parts[i];
    if (d.drafts.empty()) continue;
    const auto drafts = d.drafts.first(static_cast<std::size_t>(std::clamp(d.drafted, 0, static_cast<int>(d.drafts.size()))));
    const auto wrong = std::ranges::find_if(drafts, [&](int id) { return id < 0 || id >= model.vocab(); });
    step[i].sequence->drafts.resize(static_cast<std::size_t>(wrong - drafts.begin()));
  }
}

void LLMEngine::State::check_proposer() const {
  if (!proposer) return;
  if (config.speculative_config.method.empty())
    throw Error("speculative_config.method: is empty, and there is a proposer; name its method, so that steps have room for it");
  if (const int run = proposer->layers(), has = model.draft_layers(); run > has)
    throw Error("speculative_config.method: drafts come of " + std::to_string(run) + " layer of the model, which was loaded with " +
                std::to_string(has) + "; set ExecutorOptions::draft_layers, or use ngram");
  if (const int vocab = proposer->vocab(); vocab != 0 && vocab != model.vocab())
    throw Error("speculative_config: drafts have a vocabulary of " + std::to_string(vocab) + ", the model one of " +
                std::to_string(model.vocab()) + "; use a draft model with the same tokenizer");
}

void LLMEngine::State::finish(Sequence& s, FinishReason reason, double time) noexcept {
  start_followers(s);  // also of one that was aborted: they are ended next, from the queue like any other
  scheduler.remove(s);
  for (auto* list : {&pending, &launched}) std::ranges::replace(*list, &s, static_cast<Sequence*>(nullptr));
  s.answer.finish(reason, time - s.arrival);
  const auto place = find(s.id);
  const std::unique_ptr<Sequence> ended = std::move(*place);
  live.erase(place);  // before the callback, which may add others
  if (!s.answer.deliver()) abort(s.answer.output.id);
  if (s.answer.destination)
    *s.answer.destination = std::move(s.answer.output);
  else if (!s.answer.callback)
    finished.push_back(std::move(s.answer.output));
}

void LLMEngine::State::start_followers(Sequence& s) noexcept {
  for (Sequence* follower : s.followers) scheduler.add(*follower);
  s.followers.clear();
}

void LLMEngine::State::end_aborted() noexcept {
  while (aborts) {
    aborts = false;  // a callback may abort others
    for (std::size_t i = 0; i < live.size();)
      if (live[i]->abort)
        finish(*live[i], FinishReason::aborted, now());
      else
        ++i;
  }
}

bool LLMEngine::State::abort(std::uint64_t id) noexcept {
  bool any = false;
  for (auto s = find(id); s != live.end() && (*s)->answer.output.id == id; ++s) any = (*s)->abort = true;
  aborts |= any;
  return any;
}

LLMEngine::LLMEngine(StepModel& model, std::optional<Tokenizer> tokenizer, const EngineConfig& config,
                     std::unique_ptr<Proposer> proposer)
    : state_(std::make_unique<State>(model, nullptr, std::move(tokenizer), config, std::move(proposer))) {}
LLMEngine::LLMEngine(std::unique_ptr<StepModel> model, std::optional<Tokenizer> tokenizer, const EngineConfig& config,
                     std::unique_ptr<Proposer> proposer) {
  StepModel& m = *model;
  state_ = std::make_unique<State>(m, std::move(model), std::move(tokenizer), config, std::move(proposer));
}
LLMEngine::~LLMEngine() = default;
LLMEngine::LLMEngine(LLMEngine&&) noexcept = default;
LLMEngine& LLMEngine::operator=(LLMEngine&&) noexcept = default;

LLMEngine LLMEngine::load(ExecutorOptions options, const Registry& builds, EngineConfig config) {
  if (config.max_num_batched_tokens > 0) options.max_rows = config.max_num_batched_tokens;
  if (config.max_num_seqs > 0) options.max_seqs = config.max_num_seqs;
  options.max_logits = logit_rows({.max_num_seqs = options.max_seqs,
                                   .max_num_batched_tokens = options.max_rows,
                                   .speculative_config = config.speculative_config});
  options.draft_layers = draft_layers(config.speculative_config);
  if (config.num_kvcache_blocks > 0) options.context_tokens = config.num_kvcache_blocks * kernels::page_tokens;
  if (config.eos_token_ids.empty())
    config.eos_token_ids = read_generation_config(options.model_dir, read_config(options.model_dir)).eos_token_ids;
  if (config.max_model_len > 0) options.max_model_len = config.max_model_len;
  Tokenizer tokenizer = Tokenizer::from_dir(options.model_dir);
  auto model = std::make_unique<Executor>(options, builds);
  if (options.progress && config.enable_prefix_caching && !model->rewinds())
    options.progress->warn(options.model_dir +
                           ": the model carries a state from token to token, which no page holds: prompts are " +
                           "computed whole, also where they begin alike (enable_prefix_caching)");
  if (options.progress && tokenizer.vocab_size() > model->vocab())
    options.progress->warn(options.model_dir + "/tokenizer.json: its ids end at " + std::to_string(tokenizer.vocab_size() - 1) +
                           ", the model's embedding at " + std::to_string(model->vocab() - 1) +
                           "; texts that need the others are refused: use the tokenizer that belongs to the model");
  return LLMEngine(std::move(model), std::move(tokenizer), config);
}

Admission LLMEngine::add(Request request, StreamCallback callback) {
  return state_->add(std::move(request), std::move(callback), nullptr);
}

bool LLMEngine::step() noexcept {
  state_->step();
  return !state_->live.empty() || !state_->pending.empty();
}

bool LLMEngine::abort(std::uint64_t id) noexcept { return state_->abort(id); }

std::vector<RequestOutput> LLMEngine::take_finished() {
  std::vector<RequestOutput> taken(std::make_move_iterator(state_->finished.begin()),
                                   std::make_move_iterator(state_->finished.end()));
  state_->finished.clear();
  return taken;
}

std::vector<RequestOutput> LLMEngine::generate(std::span<const Prompt> prompts, const SamplingParams& params) {
  return generate(prompts, std::vector<SamplingParams>(prompts.size(), params));
}

std::vector<RequestOutput> LLMEngine::generate(std::span<const Prompt> prompts, std::span<const SamplingParams> params) {
  if (params.size() != prompts.size())
    throw Error("generate: " + std::to_string(prompts.size()) + " prompts but " + std::to_string(params.size()) +
                " sampling params; give one for all or one for each");
  const auto answers = [](const SamplingParams& p) {
    return static_cast<std::size_t>(std::clamp<std::int64_t>(p.n, 1, RequestLimits::n));
  };
  std::size_t room = 0;
  for (const SamplingParams& p : params) room += answers(p);
  std::vector<RequestOutput> outputs(room);
  std::size_t used = 0;
  std::vector<std::uint64_t> ids;
  ids.reserve(prompts.size());
  try {
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const Admission admission = state_->add({.prompt = prompts[i], .params = params[i]}, {}, outputs.data() + used);
      if (admission.ok()) {
        ids.push_back(admission.id);
        used += answers(params[i]);
      } else {
        outputs[used].finish_reason = FinishReason::refused;
        outputs[used++].error = admission.error.message();
      }
    }
  } catch (...) {  // the outputs are about to go: nobody may write to them
    for (const std::uint64_t id : ids) abort(id);
    state_->end_aborted();
    throw;
  }
  outputs.resize(used);  // smaller: destinations stay where they are
  const auto running = [&](const RequestOutput& o) { return o.finish_reason == FinishReason::none; };
  for (std::size_t at = 0; at < used;) {
    if (running(outputs[at]))
      step();
    else
      ++at;
  }
  return outputs;
}

const EngineConfig& LLMEngine::config() const noexcept { return state_->config; }
const Tokenizer* LLMEngine::tokenizer() const noexcept { return state_->tokenizer ? &*state_->tokenizer : nullptr; }

EngineStats LLMEngine::stats() const noexcept {
  EngineStats s = state_->stats;
  s.preemptions = state_->scheduler.preemptions();
  s.waiting = state_->scheduler.waiting();
  s.running = state_->scheduler.running();
  s.blocks_total = state_->blocks.total();
  s.blocks_used = state_->blocks.used();
  s.blocks_cached = state_->blocks.cached();
  return s;
}

void LLMEngine::clear_prefix_cache() noexcept { state_->blocks.clear_cache(); }

}  // namespace atom::engine
