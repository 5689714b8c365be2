// atom inspect: what would run. The build chosen, the memory plan, and the kernels of one step with their bytes and flops, all
// from a dry run: no weight is read.
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <vector>

#include "atom/core/error.hpp"
#include "atom/engine/json.hpp"

#include "common.hpp"

namespace atom::tools {

namespace {

struct Row {
  std::string_view name;
  int launches = 0;
  Cost cost;
};

// Launches of one kind together, in the order of their first appearance.
std::vector<Row> by_kernel(const std::vector<Dry::Launch>& launches) {
  std::vector<Row> rows;
  for (const auto& l : launches) {
    auto it = std::ranges::find(rows, std::string_view(l.name), &Row::name);
    if (it == rows.end()) it = rows.insert(it, Row{l.name, 0, {}});
    ++it->launches;
    it->cost += l.cost;
  }
  return rows;
}

double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

}  // namespace

int inspect(const InspectOptions& o) {
  if (o.rows < 1) throw Error("--rows: must be at least 1");
  if (o.context < 0) throw Error("--context: must be 0 or more");
  auto options = executor_options(o.model, nullptr);
  options.dry = true;
  options.max_rows = std::max(options.max_rows, o.rows);
  const engine::Executor executor(options, *o.model.builds);
  const auto& config = executor.config();
  const auto& spec = config.spec;
  const auto& memory = executor.memory();
  warn_unknown(config.unknown_keys, options.model_dir + "/config.json");

  const int first_row[] = {0, o.rows}, context = o.context + o.rows, last = o.rows - 1;
  Batch batch;
  batch.rows = o.rows;
  batch.seqs = batch.logits = 1;
  batch.first_row = first_row;
  batch.context = &context;
  batch.logit_rows = o.rows > 1 ? &last : nullptr;
  const auto plan = executor.plan(batch);
  const auto rows = by_kernel(plan.launches);
  const Row total = std::accumulate(rows.begin(), rows.end(), Row{"total", 0, {}}, [](Row a, const Row& b) {
    a.launches += b.launches;
    a.cost += b.cost;
    return a;
  });

  if (o.json) {
    std::string out = "{\"build\": ";
    engine::append_json_string(out, executor.build().name);
    const auto number = [&](const char* key, double v) {
      out += std::string(", \"") + key + "\": ";
      engine::append_json_number(out, v);
    };
    const auto count = [&](const char* key, std::size_t v) { number(key, static_cast<double>(v)); };
    count("parameters", executor.parameters());
    count("weights_bytes", memory.weights);
    count("weights_in_file_bytes", memory.weights_in_file);
    count("kv_cache_bytes", memory.kv_cache);
    count("states_bytes", memory.states);
    count("activations_bytes", memory.activations);
    count("sampling_bytes", memory.sampling);
    count("rope_table_bytes", memory.rope_table);
    number("context_tokens", executor.context_tokens());
    out += ", \"kernels\": [";
    for (const auto& r : rows) {
      out += &r == rows.data() ? "{\"name\": " : ", {\"name\": ";
      engine::append_json_string(out, r.name);
      number("launches", r.launches);
      number("bytes", r.cost.bytes);
      number("flops", r.cost.flops);
      out += "}";
    }
    std::printf("%s]}\n", out.c_str());
    return 0;
  }
  std::printf("build        %s on %s, %d rank%s\n", executor.build().name.c_str(), std::string(executor.build().backend).c_str(),
              options.tensor_parallel_size, options.tensor_parallel_size == 1 ? "" : "s");
  std::printf("parameters   %.1f M\n", static_cast<double>(executor.parameters()) / 1e6);
  std::printf("dimensions   d_model %d, d_ff %d, layers %d, heads %d, kv_heads %d, head_dim %d, vocab %d%s\n", spec.d_model,
              spec.d_ff, spec.layers, spec.attn.heads, spec.attn.kv_heads, spec.attn.head_dim, spec.vocab,
              spec.tied ? ", tied embeddings" : "");
  std::printf(
      "memory       weights %.1f MiB (and %.1f MiB read in place from the file), KV cache %.1f MiB for %d tokens,\n"
      "             activations %.1f MiB, sampling %.1f MiB, rope table %.1f MiB\n",
      mib(memory.weights), mib(memory.weights_in_file), mib(memory.kv_cache), executor.context_tokens(), mib(memory.activations),
      mib(memory.sampling), mib(memory.rope_table));
  if (memory.states > 0)
    std::printf(
        "             recurrent states %.1f MiB for %d sequence%s; they cannot go back: no prefix is reused, no draft verified\n",
        mib(memory.states), executor.max_seqs(), executor.max_seqs() == 1 ? "" : "s");
  std::printf("\none step of %d token%s on %d cached, per rank:\n", o.rows, o.rows == 1 ? "" : "s", o.context);
  std::printf("%-44s %8s %12s %12s\n", "kernel", "launches", "MB", "MFLOP");
  const auto line = [](const Row& r) {
    std::printf("%-44s %8d %12.3f %12.3f\n", std::string(r.name).c_str(), r.launches, r.cost.bytes / 1e6, r.cost.flops / 1e6);
  };
  for (const auto& r : rows) line(r);
  line(total);
  return 0;
}

}  // namespace atom::tools
