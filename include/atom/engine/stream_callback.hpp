#pragma once
// StreamCallback: anything callable with a StreamOutput, owned.
// One idea: one virtual call behind a move-only handle, so that no header of the standard library's size is needed for it.
// To extend: nothing to extend.
#include <memory>
#include <type_traits>
#include <utility>

#include "atom/engine/request_output.hpp"

namespace atom::engine {

class StreamCallback {
 public:
  StreamCallback() = default;
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, StreamCallback> && std::is_invocable_v<F&, const StreamOutput&>)
      StreamCallback(F&& f)
      : call_(std::make_unique<Callable<std::remove_cvref_t<F>>>(std::forward<F>(f))) {}

  [[nodiscard]] explicit operator bool() const noexcept { return call_ != nullptr; }
  void operator()(const StreamOutput& output) const { call_->call(output); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual void call(const StreamOutput&) = 0;
  };
  template <class F> struct Callable final : Base {
    template <class G> explicit Callable(G&& g) : f(std::forward<G>(g)) {}
    void call(const StreamOutput& output) override { f(output); }
    F f;
  };
  std::unique_ptr<Base> call_;
};

}  // namespace atom::engine
