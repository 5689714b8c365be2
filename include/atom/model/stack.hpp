#pragma once
// Stack<Repeat<A>, Repeat<B>>: a network as a type.
// One idea: compile time and code size follow the number of *kinds* of layer, never the number of layers.
#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <utility>
#include <vector>

#include "atom/model/reflect.hpp"

namespace atom::model {

/// `count` layers of one kind.
template <class Layer> struct Repeat {
  std::vector<Layer> layers;
  void operator()(auto& ctx, auto& state, int& index) const {
    for (const auto& layer : layers) layer(ctx, state, index++);
  }
};

/// Layers that are numbered and loaded with the others, and that the network's pass goes by.
template <class Layer> struct Aside {
  std::vector<Layer> layers;
  void operator()(auto&, auto&, int& index) const { index += static_cast<int>(layers.size()); }
};

template <class... Segments> struct Stack {
  boost::hana::tuple<Segments...> segments;

  void operator()(auto& ctx, auto& state) const {
    int index = 0;
    boost::hana::for_each(segments, [&](const auto& s) { s(ctx, state, index); });
  }

  /// Sets the number of layers per segment: the one allocation, made when a model is built.
  template <class... Counts> void resize(Counts... counts) {
    static_assert(sizeof...(Counts) == sizeof...(Segments), "atom: Stack::resize needs one count per segment");
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (boost::hana::at_c<I>(segments).layers.resize(static_cast<std::size_t>(counts)), ...);
    }
    (std::index_sequence_for<Segments...>{});
  }

  /// Parameters under "<path>.<layer index>.".
  template <class Ctx> void describe(ParamTable& out, const ParamPath& path) {
    int index = 0;
    boost::hana::for_each(segments, [&](auto& s) {
      for (auto& layer : s.layers) {
        const std::string key = std::to_string(index++);
        const ParamPath here{&path, key};
        if constexpr (requires { layer.template describe<Ctx>(out, here); })
          layer.template describe<Ctx>(out, here);
        else
          collect<Ctx>(layer, out, &here);
      }
    });
  }
};

}  // namespace atom::model
