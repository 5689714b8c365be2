#pragma once
// Sandbox: what one render may use up, and the memory its values live in.
// One idea: nothing is freed before the render ends. Values are then plain views (slicing a list or a text copies nothing;
// nothing dangles, forms cycles or is destroyed recursively), and one comparison bounds the memory.
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "atom/engine/chat_template.hpp"

namespace atom::engine::jinja {

/// What is wrong with a template or its values; the place is added where it is known.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// A limit was reached: never held back, unlike a Failure inside a generator.
struct LimitReached : Failure {
  using Failure::Failure;
};
/// raise_exception was called.
struct Refused : Failure {
  using Failure::Failure;
};

template <class... Parts> [[noreturn]] void fail(const Parts&... parts) {
  std::string message;
  ((message += parts), ...);
  throw Failure(message);
}

class Sandbox {
 public:
  explicit Sandbox(const RenderLimits& limits)
      : limits_(limits), steps_left_(limits.steps), bytes_left_(limits.bytes), depth_left_(limits.depth) {}
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  void spend(std::size_t steps) {
    if (steps > steps_left_) out_of_steps();
    steps_left_ -= steps;
  }
  /// Steps for looking at `bytes` bytes of text.
  void spend_on(std::size_t bytes) { spend(1 + bytes / 64); }
  /// Steps for looking at each character of `bytes` bytes.
  void spend_on_characters(std::size_t bytes) { spend(1 + bytes / 2); }
  /// Steps for looking for a text of `needle` bytes in one of `bytes`.
  void spend_on_search(std::size_t bytes, std::size_t needle) {
    needle < 2 ? spend_on(bytes) : spend(1 + bytes / 4 * (1 + needle / 64));
  }
  /// Counts memory held elsewhere, before it is.
  void take(std::size_t bytes) {
    if (bytes > bytes_left_) out_of_bytes();
    bytes_left_ -= bytes;
  }
  /// Refuses a text under construction that has become too long.
  void check(std::size_t bytes) const {
    if (bytes > bytes_left_) out_of_bytes();
  }

  /// `n` elements, value-initialised.
  template <class T> T* array(std::size_t n) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= alignof(std::max_align_t));
    check_count(n, sizeof(T));
    T* first = static_cast<T*>(allocate(n * sizeof(T)));
    std::uninitialized_value_construct_n(first, n);
    return first;
  }
  template <class T, class... Args> T* make(Args&&... args) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= alignof(std::max_align_t));
    return new (allocate(sizeof(T))) T{std::forward<Args>(args)...};
  }
  /// A copy of `text` that lives as long as this.
  std::string_view keep(std::string_view text) { return join({}, text); }
  /// `a` and `b` in one; costs the length of `b` alone when `a` was made last, so that growing a text stays linear.
  std::string_view join(std::string_view a, std::string_view b);

  /// One level of nesting, for as long as it lives.
  class Level {
   public:
    explicit Level(Sandbox& sandbox) : sandbox_(sandbox) {
      if (sandbox_.depth_left_ == 0) sandbox_.out_of_depth();
      --sandbox_.depth_left_;
    }
    ~Level() { ++sandbox_.depth_left_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Sandbox& sandbox_;
  };

 private:
  [[noreturn]] void out_of_steps() const;
  [[noreturn]] void out_of_bytes() const;
  [[noreturn]] void out_of_depth() const;
  void check_count(std::size_t n, std::size_t each) const {
    if (n > bytes_left_ / each) out_of_bytes();
  }
  void* allocate(std::size_t bytes);
  char* new_chunk(std::size_t bytes, char*& end);

  RenderLimits limits_;
  std::size_t steps_left_, bytes_left_;
  int depth_left_;
  std::vector<std::unique_ptr<char[]>> chunks_;
  std::size_t next_chunk_ = std::size_t{8} << 10;
  char *objects_ = nullptr, *objects_end_ = nullptr;  // what is left of the current chunk
  char *text_ = nullptr, *text_end_ = nullptr;        // the same for text: only text may follow text
};

}  // namespace atom::engine::jinja
