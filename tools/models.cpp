// atom models: what this program can run: architectures, and for each the backends, weights, schemes and ranks of its builds.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "atom/engine/config.hpp"
#include "atom/engine/json.hpp"
#include "atom/engine/registry.hpp"

#include "commands.hpp"

namespace atom::tools {

namespace {

/// A set of words in the order of their first appearance.
class Words {
 public:
  void add(const std::string& word) {
    for (const std::string& w : list_)
      if (w == word) return;
    list_.push_back(word);
  }
  [[nodiscard]] std::string joined() const {
    std::string text;
    for (const std::string& w : list_) text += (text.empty() ? "" : ", ") + w;
    return text;
  }

 private:
  std::vector<std::string> list_;
};

/// The builds of one architecture on one backend.
struct Row {
  std::string_view architecture, backend;
  Words heads, weights, activations, caches, ranks;
};

std::string heads_of(const model::ModelSpec& spec) {
  if (spec.attn.latent) return "latent " + std::to_string(spec.attn.latent.rank) + " + " + std::to_string(spec.attn.latent.rope);
  return std::to_string(spec.attn.head_dim);
}
std::string weights_of(const engine::Variant& v) {
  return std::string(name_of(v.weights)) + (v.quant == "none" ? "" : " as " + std::string(v.quant));
}
std::string ranks_of(const engine::Variant& v) { return v.tp == dynamic ? "any" : std::to_string(v.tp); }

std::vector<Row> rows_of(const engine::Registry& builds) {
  std::vector<Row> rows;
  for (const engine::Family& family : engine::families()) {
    for (const engine::Variant& v : builds.variants()) {
      if (v.spec->arch != family.arch) continue;
      const auto same = [&](const Row& r) { return r.architecture == family.architecture && r.backend == v.backend; };
      auto row = std::find_if(rows.begin(), rows.end(), same);
      if (row == rows.end()) row = rows.insert(rows.end(), Row{family.architecture, v.backend, {}, {}, {}, {}, {}});
      row->heads.add(heads_of(*v.spec));
      row->weights.add(weights_of(v));
      row->activations.add(std::string(name_of(v.act)));
      row->caches.add(std::string(v.kv));
      row->ranks.add(ranks_of(v));
    }
  }
  return rows;
}

/// Every build, one object each.
std::string json_of(const engine::Registry& builds) {
  std::string out = "[";
  for (const engine::Family& family : engine::families()) {
    for (const engine::Variant& v : builds.variants()) {
      if (v.spec->arch != family.arch) continue;
      out += out.size() > 1 ? ",\n {" : "{";
      const auto field = [&](const char* key, std::string_view value, const char* separator = ", ") {
        out += std::string("\"") + key + "\": ";
        engine::append_json_string(out, value);
        out += separator;
      };
      field("architecture", family.architecture);
      field("build", v.name);
      field("backend", v.backend);
      field("heads", heads_of(*v.spec));
      field("weights", name_of(v.weights));
      field("quant", v.quant);
      field("activation", name_of(v.act));
      field("kv_cache_dtype", v.kv);
      field("tensor_parallel_size", ranks_of(v), "}");
    }
  }
  return out + "]\n";
}

}  // namespace

int models(const ModelsOptions& o) {
  if (o.output == "json") {
    std::fputs(json_of(*o.builds).c_str(), stdout);
    return 0;
  }
  const bool markdown = o.output == "markdown";
  if (markdown)
    std::puts(
        "| `architectures` in config.json | `--backend` | head_dim | weights, `--quant` | `--activation` | `--kv-cache-dtype` | "
        "ranks |\n"
        "|---|---|---|---|---|---|---|");
  for (const Row& r : rows_of(*o.builds)) {
    const std::string architecture(r.architecture), backend(r.backend),
        heads = r.heads.joined(), weights = r.weights.joined(), activations = r.activations.joined(), caches = r.caches.joined(),
        ranks = r.ranks.joined();
    if (markdown)
      std::printf("| `%s` | %s | %s | %s | %s | %s | %s |\n", architecture.c_str(), backend.c_str(), heads.c_str(), weights.c_str(),
                  activations.c_str(), caches.c_str(), ranks.c_str());
    else
      std::printf("%-24s %-4s heads %-16s weights %-32s activations %-10s kv %-20s ranks %s\n", architecture.c_str(),
                  backend.c_str(), heads.c_str(), weights.c_str(), activations.c_str(), caches.c_str(), ranks.c_str());
  }
  return 0;
}

}  // namespace atom::tools
