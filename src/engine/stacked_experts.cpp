#include "stacked_experts.hpp"

#include <charconv>
#include <string_view>

namespace atom::engine {

StackedExperts::Found StackedExperts::find(const Checkpoint& checkpoint, const std::string& name) {
  constexpr std::string_view experts = ".experts.", weight = ".weight";
  const auto at = name.rfind(experts);
  if (at == std::string::npos || !name.ends_with(weight)) return {};
  const std::string_view rest = std::string_view(name).substr(at + experts.size());
  int expert = -1;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), expert);
  if (error != std::errc{} || expert < 0 || end == rest.data() + rest.size() || *end != '.') return {};
  std::string_view part = rest.substr(static_cast<std::size_t>(end - rest.data()) + 1);
  part.remove_suffix(weight.size());
  const bool gate = part == "gate_proj", up = part == "up_proj";
  const std::string stacked = name.substr(0, at + experts.size()) + (gate || up ? "gate_up_proj" : std::string(part));
  const NamedTensor* whole = checkpoint.find(stacked);
  if (!whole || whole->rank != 3 || expert >= whole->dims[0] || ((gate || up) && whole->dims[1] % 2 != 0)) return {};
  NamedTensor slice = *whole;
  const std::size_t each = whole->bytes / static_cast<std::size_t>(whole->dims[0]);
  slice.rank = 2;
  slice.dims[0] = gate || up ? whole->dims[1] / 2 : whole->dims[1];
  slice.dims[1] = whole->dims[2];
  slice.bytes = gate || up ? each / 2 : each;
  slice.data = whole->data + static_cast<std::size_t>(expert) * each + (up ? each / 2 : 0);
  return {&slices_.emplace_back(std::move(slice)), whole};
}

}  // namespace atom::engine
