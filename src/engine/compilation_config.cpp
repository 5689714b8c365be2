#include "atom/engine/compilation_config.hpp"

#include <array>
#include <cctype>
#include <functional>

#include "atom/core/error.hpp"
#include "atom/engine/engine_config.hpp"

namespace atom::engine {

namespace {

constexpr std::array<std::string_view, 5> mode_names{"NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE"};

}  // namespace

std::string_view CUDAGraphMode::name() const { return mode_names[value_]; }

std::optional<CUDAGraphMode> CUDAGraphMode::of(std::string_view name) {
  const auto upper = [](unsigned char c) { return static_cast<char>(std::toupper(c)); };
  for (std::size_t i = 0; i < mode_names.size(); ++i)
    if (std::ranges::equal(name, mode_names[i], {}, upper)) return static_cast<Value>(i);
  return {};
}

std::vector<int> capture_sizes(const CompilationConfig& c, int max_num_seqs, int max_num_batched_tokens, int tokens_each,
                               std::string& warning) {
  const bool given = !c.cudagraph_capture_sizes.empty();
  const char* field = given ? "cudagraph_capture_sizes" : "cuda_graph_sizes";
  std::vector<int> sizes = given ? c.cudagraph_capture_sizes : c.cuda_graph_sizes;
  const bool asked = !sizes.empty();
  for (const int s : sizes)
    if (s < 1) throw Error(std::string(field) + ": " + std::to_string(s) + " is no number of sequences; give 1 or more");
  const int most = std::min(max_num_seqs, max_num_batched_tokens / tokens_each);
  if (!given && sizes.size() < 2) sizes = default_buckets(std::max(asked ? sizes[0] : 512, 8));
  std::ranges::sort(sizes, std::greater<>());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  const auto reachable = std::ranges::find_if(sizes, [&](int s) { return s <= most; });
  if (reachable == sizes.end())
    throw Error(std::string(field) + ": no size is within the " + std::to_string(most) +
                " sequences that a step can have (max_num_seqs, max_num_batched_tokens); add a smaller one");
  if (asked && reachable != sizes.begin())
    warning = std::string(field) + ": sizes above " + std::to_string(most) + " are left out: a step has at most so many sequences";
  sizes.erase(sizes.begin(), reachable);
  return sizes;
}

}  // namespace atom::engine
