// refused: atom: Stack::resize needs one count per segment
#include "atom/model/stack.hpp"

struct A {};
struct B {};
void build(atom::model::Stack<atom::model::Repeat<A>, atom::model::Repeat<B>>& layers) { layers.resize(3); }
