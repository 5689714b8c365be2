// refused: atom: moe::BiasedTopK: a bias is added to a score of each expert for itself
#include "atom/ops/moe_op.hpp"

static_assert(sizeof(atom::moe::BiasedTopK<atom::moe::Softmax>) > 0);
