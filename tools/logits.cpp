// atom logits: all positions' logits of a list of token ids, for comparison with other implementations.
#include <cstring>

#include "atom/core/error.hpp"
#include "atom/engine/safetensors.hpp"
#include "atom/engine/session.hpp"

#include "common.hpp"

namespace atom::tools {

int logits(const LogitsOptions& o) {
  constexpr std::string_view names[] = {"input_ids"};
  const std::vector<int> ids = read_ids(o.input, names);
  if (ids.empty()) throw Error(o.input + ": input_ids is empty");
  TerminalProgress progress;
  auto options = executor_options(o.model, &progress);
  options.max_rows = options.max_logits = 64;
  if (options.context_tokens == 0) options.context_tokens = static_cast<int>(ids.size());
  engine::Executor executor(options, *o.model.builds);
  const auto vocab = static_cast<std::size_t>(executor.config().spec.vocab);
  std::vector<float> all(ids.size() * vocab);
  engine::Session session(executor);
  session.feed_all(ids, [&](std::size_t first, const float* rows, std::size_t n) {
    std::memcpy(all.data() + first * vocab, rows, n * vocab * sizeof(float));
  });
  engine::NamedTensor t;
  t.name = "logits";
  t.dtype = DType::f32;
  t.rank = 2;
  t.dims = {static_cast<std::int64_t>(ids.size()), static_cast<std::int64_t>(vocab)};
  t.data = reinterpret_cast<const std::byte*>(all.data());
  t.bytes = all.size() * sizeof(float);
  engine::write_safetensors(o.output, {&t, 1});
  return 0;
}

}  // namespace atom::tools
