#include "atom/model/mixtral.hpp"
#include "atom/ops/cpu.hpp"

#include "universal.hpp"

namespace atom::builds {

void add_mixtral_cpu(engine::Registry& r) { add_network<Mixtral, Cpu, Arch::mixtral>(r); }

}  // namespace atom::builds
