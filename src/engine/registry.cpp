#include "atom/engine/registry.hpp"

#include <algorithm>
#include <functional>

#include "atom/core/error.hpp"

namespace atom::engine {

namespace {

std::string describe(const model::ModelSpec& s) {
  const auto name = [&] {
    switch (s.arch) {
      case model::Arch::llama: return "Llama";
      case model::Arch::qwen2: return "Qwen2";
      case model::Arch::qwen3: return "Qwen3";
      case model::Arch::mixtral: return "Mixtral";
      case model::Arch::qwen3_moe: return "Qwen3-MoE";
      case model::Arch::glm4_moe: return "GLM4-MoE";
      case model::Arch::deepseek_v2: return "DeepSeek-V2";
      case model::Arch::deepseek_v3: return "DeepSeek-V3";
      case model::Arch::gpt_oss: return "GPT-OSS";
      case model::Arch::qwen3_next: return "Qwen3-Next";
    }
    return "?";
  }();
  return std::string(name) + " with head_dim " + std::to_string(s.attn.head_dim) + ", hidden_size " + std::to_string(s.d_model) +
         " and " + std::to_string(s.layers) + " layers" +
         (s.attn.window > 0 ? " (a window of " + std::to_string(s.attn.window) + " tokens in some)" : "") +
         (s.moe.experts > 0 ? " of " + std::to_string(s.moe.experts) + " experts" : "");
}

// Their names, each once.
std::string names(const std::vector<const Variant*>& variants) {
  std::vector<std::string_view> seen;
  std::string list;
  for (const Variant* v : variants) {
    if (std::ranges::find(seen, v->name) != seen.end()) continue;
    seen.push_back(v->name);
    list += (list.empty() ? "" : ", ") + v->name;
  }
  return list.empty() ? "none" : list;
}

}  // namespace

void Registry::add(const Variant& v) { variants_.push_back(v); }

const Variant& Registry::choose(const Wanted& w) const {
  // The demands, from the one that is hardest to change to the easiest; each narrows the candidates.
  const struct {
    std::function<bool(const Variant&)> met;
    std::string demand, remedy;
  } demands[] = {
      {[&](const Variant& v) { return model::admits(*v.spec, w.spec); }, "architecture " + describe(w.spec),
       "make a program for it: atom build --model DIR --output PROGRAM, or atom_add_model in CMake (docs/specialised_binaries.md)"},
      {[&](const Variant& v) { return v.weights == w.weights; }, "checkpoint weights of type " + std::string(name_of(w.weights)),
       "convert the checkpoint to BF16, or add a build with Quants<quant::NoAs<...>>"},
      {[&](const Variant& v) { return v.backend == w.backend; }, "--backend " + w.backend,
       "use --backend cpu or ref, or a program configured with ATOM_GPU"},
      {[&](const Variant& v) { return v.quant == w.quant; }, "--quant " + w.quant,
       "use --quant none, or a BF16 checkpoint with --quant int8"},
      {[&](const Variant& v) { return v.act == w.act; }, "--activation " + std::string(name_of(w.act)),
       "use --activation f32 or bf16"},
      {[&](const Variant& v) { return model::admits(v.tp, w.tp); }, "--tensor-parallel-size " + std::to_string(w.tp),
       "use a size that a build of this binary was made for, or atom build --tensor-parallel-size"},
      {[&](const Variant& v) { return model::admits(v.ep, w.ep); },
       w.ep > 1 ? "--enable-expert-parallel" : "experts that every rank has a part of",
       w.ep > 1 ? "leave it out, or use a program whose builds may share experts out"
                : "add --enable-expert-parallel: the builds of this program share experts out"},
      {[&](const Variant& v) { return w.kv == "auto" || v.kv == w.kv; }, "--kv-cache-dtype " + w.kv,
       w.spec.attn.latent ? "use --kv-cache-dtype auto: a latent cache holds plain numbers"
                          : "use --kv-cache-dtype auto, another --activation or --quant, or a program made with atom build "
                            "--kv " +
                                w.kv},
  };
  std::vector<const Variant*> left;
  for (const auto& v : variants_) left.push_back(&v);
  for (const auto& d : demands) {
    const std::string others = names(left);
    std::erase_if(left, [&](const Variant* v) { return !d.met(*v); });
    if (left.empty())
      throw Error("no build in this binary admits " + d.demand + "; " + d.remedy + " (builds up to this demand: " + others + ")");
  }
  const auto as_activations = [&](const Variant* v) { return v->kv == (v->act == DType::f32 ? "f32" : "bf16"); };
  if (w.kv == "auto" && std::ranges::any_of(left, as_activations))
    std::erase_if(left, [&](const Variant* v) { return !as_activations(v); });
  const Variant* best = left.front();
  for (const Variant* v : left)  // a build whose every number matches beats one with holes
    if (model::admits(*best->spec, *v->spec) &&
        (!model::admits(*v->spec, *best->spec) || (best->tp == dynamic && v->tp != dynamic)))
      best = v;
  return *best;
}

}  // namespace atom::engine
