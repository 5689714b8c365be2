#pragma once
// Errors by phase. Composing a build: static_assert sentences. Set-up (config, checkpoint, memory): atom::Error.
// A step: noexcept. A programmer's mistake: ATOM_ASSERT, on in Debug and in the sanitizer presets.
// One idea: a message says what is wrong, where (file, field, tensor), and what to do about it.
#include <stdexcept>
#include <string>

namespace atom {

/// Set-up failed. The message is meant for the person at the terminal: "<where>: <what>; <what to do>".
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] void assertion_failed(const char* condition, const char* why, const char* file, int line) noexcept;

}  // namespace atom

#if defined(ATOM_CHECKED)
#define ATOM_ASSERT(condition, why) ((condition) ? void() : ::atom::assertion_failed(#condition, why, __FILE__, __LINE__))
#else
#define ATOM_ASSERT(condition, why) void()
#endif
