// accepted
// The harness itself: were an include path broken, this file would fail and so vouch for no refusal.
#include "tiny.hpp"

template void tiny::compose<tiny::good>();
