#include "atom/model/mixtral.hpp"
#include "atom/ops/ref.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_mixtral_ref(engine::Registry& r) { add_network<Mixtral, Ref, Arch::mixtral>(r); }

}  // namespace atom::builds
