#include "atom/model/reflect.hpp"

namespace atom::model {

std::string spell(const ParamPath& path) { return (path.up ? spell(*path.up) + "." : std::string{}) + std::string(path.key); }

ParamRef& add_row(ParamTable& out, const ParamPath& path, void* param, decltype(ParamRef::bind) bind, DType dtype,
                  const Width& rows, const Width& cols, TPDim cut) {
  return out.emplace_back(ParamRef{spell(path), param, bind, dtype, rows, cols, cut});
}

}  // namespace atom::model
