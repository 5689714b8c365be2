#pragma once
// Forced into llama.cpp's C++ files (-include). GCC 12's _tile_loadconfig tells the compiler that it reads 8 of the 64 bytes of the
// configuration, so the stores to the others are dropped and the first tile instruction dies of SIGILL. This one names all of them;
// nothing else of that build changes, and where the intrinsic is right it makes no difference.
#ifdef __AMX_TILE__
#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" : : "m"(*reinterpret_cast<const char(*)[64]>(config)))
#endif
