#include "atom/model/reflect.hpp"

namespace atom::model {

std::string spell(const ParamPath& path) { return (path.up ? spell(*path.up) + "." : std::string{}) + std::string(path.key); }

}  // namespace atom::model
