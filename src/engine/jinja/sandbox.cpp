#include "sandbox.hpp"

#include <algorithm>

namespace atom::engine::jinja {

void Sandbox::out_of_steps() const {
  throw LimitReached("the template takes more than the " + std::to_string(limits_.steps) +
                     " steps allowed; shorten the conversation or raise RenderLimits::steps");
}

void Sandbox::out_of_bytes() const {
  throw LimitReached("the template needs more than the " + std::to_string(limits_.bytes) +
                     " bytes of memory allowed; shorten the conversation or raise RenderLimits::bytes");
}

void Sandbox::out_of_depth() const {
  throw LimitReached("nested deeper than the " + std::to_string(limits_.depth) +
                     " levels allowed; the template recurses without end, or RenderLimits::depth is too low");
}

char* Sandbox::new_chunk(std::size_t bytes, char*& end) {
  constexpr std::size_t largest = std::size_t{1} << 20;
  const std::size_t size = std::max(bytes, std::min(next_chunk_, std::max<std::size_t>(bytes_left_, 1)));
  take(size);
  next_chunk_ = std::min(2 * next_chunk_, largest);
  chunks_.push_back(std::make_unique_for_overwrite<char[]>(size));
  end = chunks_.back().get() + size;
  return chunks_.back().get();
}

void* Sandbox::allocate(std::size_t bytes) {
  constexpr std::size_t grain = alignof(std::max_align_t);
  const std::size_t rounded = (bytes + grain - 1) / grain * grain;
  if (rounded > static_cast<std::size_t>(objects_end_ - objects_)) objects_ = new_chunk(rounded, objects_end_);
  return std::exchange(objects_, objects_ + rounded);
}

std::string_view Sandbox::join(std::string_view a, std::string_view b) {
  if (b.empty()) return a;
  spend_on(b.size());
  const auto room = [&] { return static_cast<std::size_t>(text_end_ - text_); };
  if (a.empty() || a.data() + a.size() != text_ || b.size() > room()) {
    spend_on(a.size());
    if (a.size() > limits_.bytes || b.size() > limits_.bytes) out_of_bytes();
    // Twice the length: what grows once tends to grow again.
    if (a.size() + b.size() > room())
      text_ = new_chunk(a.empty() ? b.size() : std::min(2 * (a.size() + b.size()), std::max(bytes_left_, a.size() + b.size())),
                        text_end_);
    if (!a.empty()) std::memcpy(text_, a.data(), a.size());
    a = {text_, a.size()};
    text_ += a.size();
  }
  std::memcpy(text_, b.data(), b.size());
  text_ += b.size();
  return {a.data(), a.size() + b.size()};
}

}  // namespace atom::engine::jinja
