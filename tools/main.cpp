// atom: the program with the universal builds.
#include "atom/tools/main.hpp"

#include "atom/engine/universal.hpp"

int main(int argc, char** argv) { return atom::tools::main_with(argc, argv, atom::engine::universal_builds()); }
