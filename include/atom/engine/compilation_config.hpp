#pragma once
// CompilationConfig: how much of a step is decided before it runs: by the compiler that made the program, and by recorded device
// graphs.
// One idea: a level is a promise about what is fixed; every level fixes what the one below fixes. Graph modes say which steps
// replay a graph: steps of answers alone (decode) and steps that hold a prompt (mixed).
// To extend: a mode is an enumerator and its two halves in CUDAGraphMode.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace atom::engine {

/// Plain integers, as settings files and flags give them.
struct CompilationLevel {
  static constexpr int NO_COMPILATION = 0;  ///< a universal build: the model's dimensions are read from memory
  static constexpr int DYNAMO_AS_IS = 1;    ///< a program specialised for the model: every dimension is a constant
  static constexpr int DYNAMO_ONCE = 2;     ///< and the memory plan of a step is made once, at load
  static constexpr int PIECEWISE = 3;       ///< and steps are replayed from device graphs
};

class CUDAGraphMode {
 public:
  enum Value : unsigned char { NONE, PIECEWISE, FULL, FULL_DECODE_ONLY, FULL_AND_PIECEWISE };
  constexpr CUDAGraphMode(Value value = NONE) : value_(value) {}
  constexpr operator Value() const { return value_; }

  /// How steps of answers alone run: NONE, PIECEWISE or FULL.
  [[nodiscard]] constexpr CUDAGraphMode decode_mode() const { return separate_routine() ? FULL : value_; }
  /// How steps with a prompt run.
  [[nodiscard]] constexpr CUDAGraphMode mixed_mode() const {
    if (value_ == FULL_DECODE_ONLY) return NONE;
    return value_ == FULL_AND_PIECEWISE ? PIECEWISE : value_;
  }
  /// Attention must be a boundary between recorded pieces.
  [[nodiscard]] constexpr bool requires_piecewise_compilation() const {
    return decode_mode() == PIECEWISE || mixed_mode() == PIECEWISE;
  }
  [[nodiscard]] constexpr bool has_full_cudagraphs() const { return max_cudagraph_mode() == FULL; }
  /// The two kinds of step run differently.
  [[nodiscard]] constexpr bool separate_routine() const { return value_ == FULL_DECODE_ONLY || value_ == FULL_AND_PIECEWISE; }
  [[nodiscard]] constexpr CUDAGraphMode max_cudagraph_mode() const {
    return std::max<Value>(decode_mode().value_, mixed_mode().value_);
  }

  [[nodiscard]] std::string_view name() const;
  /// By name, upper or lower case; nothing when there is no such mode.
  static std::optional<CUDAGraphMode> of(std::string_view name);
  static constexpr std::string_view names = "NONE, PIECEWISE, FULL, FULL_DECODE_ONLY, FULL_AND_PIECEWISE";

 private:
  Value value_;
};

struct CompilationConfig {
  int level = -1;  // CompilationLevel; -1: the highest that the program offers
  bool use_cudagraph = true;
  std::optional<CUDAGraphMode> cudagraph_mode;  // none: by level
  std::vector<int> cudagraph_capture_sizes;     // sequences per recorded step; these and no others, unless empty
  std::vector<int> cuda_graph_sizes;            // one: up to it; several: these; empty: up to 512
  std::string splitting_ops;                    // where a graph is cut; empty: at attention
  bool cudagraph_copy_inputs = false;
  std::string compile_sizes;
  bool use_inductor = true;
  std::string inductor_compile_config, debug_dump_path, cache_dir;
};

/// The numbers of sequences worth a graph each, largest first: what `config` asks for, less what no step can reach, that is more
/// than max_num_seqs, or than max_num_batched_tokens shared out in `tokens_each` per sequence. `warning` says so when sizes that
/// were asked for are left out. Throws atom::Error when nothing is left, or a size is below 1.
std::vector<int> capture_sizes(const CompilationConfig& config, int max_num_seqs, int max_num_batched_tokens, int tokens_each,
                               std::string& warning);

}  // namespace atom::engine
