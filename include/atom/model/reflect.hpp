#pragma once
// Reflection: a module lists its parameters once (ATOM_MODULE), under the checkpoint's own names; loader, memory planner,
// inspector and tests walk that list.
// One idea: templates end early. collect() turns a typed module tree into a plain table (ParamRef); everything after it is
// ordinary code.
// To extend: ATOM_MODULE(Type, (MemberType, member), ...) in your module; a module that stores a weight in its kernel's layout
// describes itself through `template <class Ctx> void describe(ParamTable&, const ParamPath&)` (see ops::Linear).
#include <boost/preprocessor/seq/for_each.hpp>
#include <boost/preprocessor/stringize.hpp>
#include <boost/preprocessor/tuple/elem.hpp>
#include <boost/preprocessor/variadic/to_seq.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "atom/core/dtype.hpp"
#include "atom/core/tensor.hpp"
#include "atom/model/spec.hpp"
#include "atom/quant/weight_layout.hpp"

/// Declares the members, and a function that calls f(name, member) for each, in order. Not Hana's accessors: a tuple of pairs for
/// each module of each build was most of what the templates of a build took to compile.
#define ATOM_MODULE(Type, ...)                                                       \
  BOOST_PP_SEQ_FOR_EACH(ATOM_MODULE_MEMBER, , BOOST_PP_VARIADIC_TO_SEQ(__VA_ARGS__)) \
  using module = Type;                                                               \
  void for_each_field(auto&& f) { BOOST_PP_SEQ_FOR_EACH(ATOM_MODULE_FIELD, , BOOST_PP_VARIADIC_TO_SEQ(__VA_ARGS__)) }
#define ATOM_MODULE_MEMBER(r, data, field) BOOST_PP_TUPLE_ELEM(0, field) BOOST_PP_TUPLE_ELEM(1, field);
#define ATOM_MODULE_FIELD(r, data, field) f(BOOST_PP_STRINGIZE(BOOST_PP_TUPLE_ELEM(1, field)), BOOST_PP_TUPLE_ELEM(1, field));

namespace atom {

/// How a weight (out, in) is cut over tensor-parallel ranks: not at all, by output rows, or by input columns.
enum class TPDim : unsigned char { none, col, row };

}  // namespace atom

namespace atom::model {

/// A parameter: a view bound by the loader. Rows and Cols name their axes, so the shape follows from the spec.
template <class T, Width Rows = Width(), Width Cols = Width(), TPDim Cut = TPDim::none> struct Param : Tensor<T, Rows.n, Cols.n> {};
/// Stands where a scheme or spec has no such parameter.
struct NoParam {};

/// One row of the table: everything the loader needs, no templates left.
struct ParamRef {
  std::string name;  // checkpoint name, without packing: "model.layers.0.self_attn.qkv_proj.weight"
  void* param;       // the Tensor to bind
  void (*bind)(void* param, void* data, int rows, int cols);
  DType dtype;       // element type as stored in memory
  Width rows, cols;  // axes; a vector has no column axis
  TPDim cut;
  Bias when = Bias::never;                      // for biases: the switch of the spec that says it exists
  const quant::WeightLayout* layout = nullptr;  // null: row-major
  // For schemes that quantise a plain checkpoint at load: encodes elements [first, first + n) of a row of `full` floats.
  void (*encode)(const float* row, int full, int first, int n, void* out, float* scale) = nullptr;
  float** scale = nullptr;        // receives (rows) scales
  float (*map)(float) = nullptr;  // what each element is of what the file holds; null: the same
  int expert = -1;                // of a mixture: which expert this belongs to; files may hold all experts in one tensor
};
/// What a module makes of its parameters once they are bound, and its kernels read: their addresses, say.
struct TableRef {
  void* module;
  std::size_t bytes;                                                  // a multiple of 16
  void (*make)(const void* module, const Rank& rank, std::byte* to);  // to: aligned memory of the host
  void (*bind)(void* module, const std::byte* there);                 // the same bytes in the backend's memory
};

struct ParamTable : std::vector<ParamRef> {
  using std::vector<ParamRef>::vector;
  std::vector<TableRef> tables;
};

struct ParamPath {  // spelled out only when a leaf is added
  const ParamPath* up;
  std::string_view key;
};
std::string spell(const ParamPath& path);

template <class T> inline constexpr bool is_param = false;
template <class T, Width R, Width C, TPDim K> inline constexpr bool is_param<Param<T, R, C, K>> = true;
template <class T>
concept Module = requires {
  typename T::module;
};

/// No template: every parameter of every build calls this.
ParamRef& add_row(ParamTable& out, const ParamPath& path, void* param, decltype(ParamRef::bind) bind, DType dtype,
                  const Width& rows, const Width& cols, TPDim cut);

/// Appends a parameter's row: what its type says. The caller may add to it what its module knows.
template <class T, Width R, Width C, TPDim K> ParamRef& add_row(ParamTable& out, const ParamPath& path, Param<T, R, C, K>& p) {
  const auto bind = [](void* param, void* data, int rows, int cols) {
    *static_cast<Tensor<T, R.n, C.n>*>(static_cast<Param<T, R, C, K>*>(param)) = {static_cast<T*>(data), rows, cols};
  };
  return add_row(out, path, &p, bind, dtype_of<T>, R, C, K);
}

/// Appends the parameters below `m` to `out`. Ctx decides the kernels, and so the layouts, of a build.
template <class Ctx, class M> void collect(M& m, ParamTable& out, const ParamPath* up = nullptr) {
  m.for_each_field([&](std::string_view key, auto& child) {
    using C = std::remove_reference_t<decltype(child)>;
    const ParamPath here{up, key};
    if constexpr (requires { child.template describe<Ctx>(out, here); })
      child.template describe<Ctx>(out, here);
    else if constexpr (is_param<C>)
      add_row(out, here, child);
    else if constexpr (Module<C>)
      collect<Ctx>(child, out, &here);
  });
}

}  // namespace atom::model
