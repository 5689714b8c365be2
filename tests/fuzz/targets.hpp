#pragma once
// Fuzz targets: one function for each kind of bytes that come from outside, and a table of them.
// One idea: a target is a plain function, so the same code is driven by libFuzzer (fuzzer.cpp), by the files it has found, kept in
// corpus/<name>/ (replay_test.cpp), and by damage to valid inputs (damage_test.cpp). Run all of them under the sanitizers.
// To extend: a function here, its line in `targets`, its file in CMakeLists.txt, and a few small seeds in corpus/<name>/.
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace atom::fuzz {

/// What became of an input. Whatever else happens is a bug: another exception, a sanitizer's report, a run without end.
enum class Outcome {
  rejected,  // not read: atom::Error
  refused,   // read, and then refused to work on: atom::Error
  accepted
};

Outcome json(std::string_view text);
Outcome config(std::string_view text);  ///< config.json, a zero byte, generation_config.json
Outcome safetensors(std::string_view file);
Outcome tokenizer(std::string_view input);      ///< tokenizer.json, a zero byte, a text to encode and decode
Outcome encoding(std::string_view text);        ///< a text for the bundled model's tokenizer: also there and back
Outcome chat_template(std::string_view input);  ///< a template, a zero byte, its variables as JSON
Outcome lines(std::string_view text);           ///< a line of the input of `atom generate`

struct Target {
  std::string_view name;
  Outcome (*run)(std::string_view);
};
inline constexpr Target targets[] = {{"json", json},           {"config", config},     {"safetensors", safetensors},
                                     {"tokenizer", tokenizer}, {"encoding", encoding}, {"chat_template", chat_template},
#if defined(ATOM_FUZZ_TOOLS)
                                     {"lines", lines}
#endif
};

/// A promise that was not kept; nobody catches it.
inline void promise(bool kept, const char* what) {
  if (!kept) throw std::logic_error(what);
}

/// Both sides of the first zero byte; the second is empty without one.
inline std::pair<std::string_view, std::string_view> halves(std::string_view input) {
  const std::size_t zero = input.find('\0');
  return zero == input.npos ? std::pair(input, std::string_view()) : std::pair(input.substr(0, zero), input.substr(zero + 1));
}

/// A file in memory, for readers that take a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : descriptor_(::memfd_create("atom", MFD_CLOEXEC)) {
    promise(descriptor_ >= 0, "no file in memory");
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t n = ::write(descriptor_, bytes.data() + at, bytes.size() - at);
      promise(n > 0, "no file in memory");
      at += static_cast<std::size_t>(n);
    }
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

}  // namespace atom::fuzz
