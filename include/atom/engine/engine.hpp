#pragma once
// LLMEngine: many requests on one model. add() queues, step() advances all of them, abort() ends one; generate() is the loop of
// the three for callers that want their answers at once.
// One idea: everything that can fail or allocate happens in add(): a request that is wrong or can never fit is refused there, as a
// value. Afterwards it only grows into memory that is its own, and step() is noexcept.
// Same request, same tokens: draws depend on the request's seed and the token's index alone, not on what else runs, on chunks,
// cache hits, preemptions or drafts (up to the last bits of logits, where a model's kernels sum differently for few rows and many).
// To extend: a server is one thread that calls add(), step() and abort(); several engines may live in one process.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "atom/engine/engine_config.hpp"
#include "atom/engine/proposer.hpp"
#include "atom/engine/request_output.hpp"
#include "atom/engine/sampling_params.hpp"
#include "atom/engine/speculation_stats.hpp"
#include "atom/engine/stream_callback.hpp"
#include "atom/engine/tokenizer.hpp"

namespace atom::engine {

struct ExecutorOptions;
class Registry;

/// Text, encoded by the engine's tokenizer; or token ids, taken as they are.
using Prompt = std::variant<std::string, std::vector<int>>;

struct Request {
  Prompt prompt;
  SamplingParams params = {};
  EncodeOptions encoding = {};   // of a prompt that is text
  std::uint64_t cache_salt = 0;  // cached prefixes are shared among requests of the same salt only
};

/// What add() says: the request's id, or why it was refused.
struct Admission {
  std::uint64_t id = 0;
  RequestError error = {};
  [[nodiscard]] bool ok() const noexcept { return id != 0; }
};

struct EngineStats {
  std::uint64_t steps = 0, tokens_computed = 0, tokens_generated = 0, tokens_from_cache = 0, preemptions = 0, requests = 0;
  int waiting = 0, running = 0;                              // sequences
  int blocks_total = 0, blocks_used = 0, blocks_cached = 0;  // of the KV cache; padding uses one
  SpeculationStats speculation;
};

/// For one thread at a time.
class LLMEngine {
 public:
  /// model must outlive the engine. Without a tokenizer prompts are ids, answers have no text, and stop strings are refused.
  /// proposer: in place of the one that config.speculative_config.method names; there must be a method, of whatever name.
  /// Throws atom::Error naming the field of config that cannot work.
  LLMEngine(StepModel& model, std::optional<Tokenizer> tokenizer, const EngineConfig& config = {},
            std::unique_ptr<Proposer> proposer = nullptr);
  LLMEngine(std::unique_ptr<StepModel> model, std::optional<Tokenizer> tokenizer, const EngineConfig& config = {},
            std::unique_ptr<Proposer> proposer = nullptr);
  /// Loads a model directory: its tokenizer, its end-of-sequence tokens (unless config names some), and an Executor sized for
  /// config where config gives numbers. Throws atom::Error.
  static LLMEngine load(ExecutorOptions options, const Registry& builds, EngineConfig config = {});
  ~LLMEngine();
  LLMEngine(LLMEngine&&) noexcept;
  LLMEngine& operator=(LLMEngine&&) noexcept;

  /// Queues a request of params.n answers. callback receives their pieces, one call per answer and step, the last with
  /// `finished` set; it may call add() and abort(), and if it throws, its request is aborted. Without a callback the answers wait
  /// in take_finished(). Throws std::bad_alloc, the engine unchanged.
  Admission add(Request request, StreamCallback callback = {});
  /// Advances every running sequence once. Tokens may come a call later (StepModel::defers). False when no request is left.
  bool step() noexcept;
  /// Ends a request's answers before the next step, with what they have. False if there is no such request (any more).
  bool abort(std::uint64_t id) noexcept;
  /// Ended answers of requests without a callback, since the last call, in the order of their end.
  std::vector<RequestOutput> take_finished();

  /// All answers, ordered by prompt and then by index; a refused request has one, which says why. Other requests advance too.
  std::vector<RequestOutput> generate(std::span<const Prompt> prompts, const SamplingParams& params);
  /// Throws atom::Error unless there are as many params as prompts.
  std::vector<RequestOutput> generate(std::span<const Prompt> prompts, std::span<const SamplingParams> params);

  [[nodiscard]] const EngineConfig& config() const noexcept;  ///< resolved
  [[nodiscard]] const Tokenizer* tokenizer() const noexcept;  ///< null: there is none
  [[nodiscard]] EngineStats stats() const noexcept;
  /// Forgets cached prefixes; running requests keep their pages.
  void clear_prefix_cache() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace atom::engine
