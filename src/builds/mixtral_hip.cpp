#include "atom/model/mixtral.hpp"
#include "atom/ops/gpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_mixtral_hip(engine::Registry& r) { add_network<Mixtral, Hip, Arch::mixtral>(r); }

}  // namespace atom::builds
