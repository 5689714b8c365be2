#pragma once
// Registry: the builds a binary contains, and the choice among them.
// One idea: what a checkpoint and an operator ask for (Wanted) is compared with what each build fixes; the most specific build
// that admits it wins, and when none does the message says which demand nothing meets and how to add a build.
// To extend: registry.add(variant<my_build, my_net>("name")).
#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "atom/engine/device.hpp"

namespace atom::engine {

struct Wanted {
  model::ModelSpec spec;
  DType weights = DType::bf16;  // of the checkpoint
  std::string quant = "none";   // none, int8
  DType act = DType::bf16;      // f32, bf16
  std::string backend = "cpu";  // cpu, ref
  int tp = 1;
  int ep = 1;               // 1, or tp: experts are shared out
  std::string kv = "auto";  // bf16, f32, int8, fp8; auto: as activations, or else what there is
};

struct Variant {
  std::string name;
  const model::ModelSpec* spec;  // `dynamic` holes allowed
  DType weights;
  std::string_view quant;
  DType act;
  std::string_view backend;
  const DeviceKind* device;
  int tp, ep;           // `dynamic`: any
  std::string_view kv;  // what keys and values are stored in
  std::unique_ptr<AnyModel> (*make)(const model::ModelSpec& whole, model::Rank, const model::Numbers&);
};

class Registry {
 public:
  void add(const Variant& v);
  [[nodiscard]] const std::vector<Variant>& variants() const { return variants_; }
  /// Throws atom::Error naming the first demand that no build meets.
  [[nodiscard]] const Variant& choose(const Wanted& wanted) const;

 private:
  std::vector<Variant> variants_;
};

template <class Q> inline constexpr std::string_view quant_name = "none";
template <> inline constexpr std::string_view quant_name<quant::PerToken<int8>> = "int8";

template <class Kv> inline constexpr std::string_view kv_name = dtype_of<Kv> == DType::f32 ? "f32" : "bf16";
template <> inline constexpr std::string_view kv_name<quant::PerToken<int8>> = "int8";
template <> inline constexpr std::string_view kv_name<quant::PerToken<fp8_e4m3>> = "fp8";

template <model::Build M, template <class> class Net> Variant variant(std::string name) {
  return {std::move(name),
          &M::spec,
          dtype_of<typename M::quants::table>,
          quant_name<typename M::quants::mlp>,
          dtype_of<typename M::act>,
          device_kind<typename M::backend>().backend,
          &device_kind<typename M::backend>(),
          M::parallel.tp,
          M::parallel.ep,
          kv_name<typename M::kv>,
          [](const model::ModelSpec& whole, model::Rank rank, const model::Numbers& numbers) -> std::unique_ptr<AnyModel> {
            return std::make_unique<Loaded<M, Net<M>>>(whole, rank, numbers);
          }};
}

}  // namespace atom::engine
