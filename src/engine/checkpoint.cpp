#include <algorithm>

#include "atom/core/error.hpp"
#include "atom/engine/json.hpp"
#include "atom/engine/safetensors.hpp"

#include "file.hpp"
#include "problems.hpp"

namespace atom::engine {
namespace {

constexpr auto by_name = [](const NamedTensor* t, std::string_view name) { return t->name < name; };

/// A shard lies beside its index: a name that could lead elsewhere is refused.
bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name.find("..") == name.npos && name.find('/') == name.npos &&
         name.find('\0') == name.npos;
}

}  // namespace

Checkpoint::Checkpoint(const std::string& directory) {
  const std::string single = directory + "/model.safetensors", index = directory + "/model.safetensors.index.json";
  if (exists(single)) {
    files_.emplace_back(single);
  } else if (exists(index)) {
    open_shards(directory, index);
  } else {
    throw Error(directory +
                ": neither model.safetensors nor model.safetensors.index.json in it; give the directory of a checkpoint");
  }
  for (const SafeTensors& file : files_) {
    for (const NamedTensor& t : file.tensors()) tensors_.push_back(&t);
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const NamedTensor* a, const NamedTensor* b) { return a->name < b->name; });
}

void Checkpoint::open_shards(const std::string& directory, const std::string& index_path) {
  const Json index = Json::parse_file(index_path);
  struct Entry {
    std::string_view file, tensor;
    auto operator<=>(const Entry&) const = default;
  };
  std::vector<Entry> promised;
  std::vector<std::string_view> shards;
  Problems problems(index_path);
  for (const auto& [tensor, file] : index.at("weight_map").as_object("weight_map")) {
    promised.push_back({file.as_string("weight_map: " + in_quotes(tensor)), tensor});
    shards.push_back(promised.back().file);
  }
  std::sort(promised.begin(), promised.end());
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  if (shards.empty()) problems.add("weight_map: names no tensor");
  for (const std::string_view shard : shards) {
    if (!is_plain_file_name(shard)) {
      problems.add("weight_map: " + in_quotes(shard) + " is not the name of a file in this directory");
    } else if (!exists(directory + "/" + std::string(shard))) {
      problems.add("weight_map: shard " + in_quotes(shard) + " is absent; download it again");
    }
  }
  problems.throw_if_any();

  std::vector<Entry> held;
  files_.reserve(shards.size());
  for (const std::string_view shard : shards) {
    for (const NamedTensor& t : files_.emplace_back(directory + "/" + std::string(shard)).tensors())
      held.push_back({shard, t.name});
  }
  std::sort(held.begin(), held.end());
  std::vector<Entry> difference;
  std::set_difference(promised.begin(), promised.end(), held.begin(), held.end(), std::back_inserter(difference));
  for (const Entry& e : difference)
    problems.add("weight_map: " + in_quotes(e.tensor) + " is not in its shard " + in_quotes(e.file));
  difference.clear();
  std::set_difference(held.begin(), held.end(), promised.begin(), promised.end(), std::back_inserter(difference));
  for (const Entry& e : difference)
    problems.add("shard " + in_quotes(e.file) + " holds " + in_quotes(e.tensor) + ", which weight_map does not place there");
  problems.throw_if_any();
}

const NamedTensor* Checkpoint::find(std::string_view name) const {
  const auto at = std::lower_bound(tensors_.begin(), tensors_.end(), name, by_name);
  return at != tensors_.end() && (*at)->name == name ? *at : nullptr;
}

std::string_view Checkpoint::file_of(std::string_view name) const {
  for (const SafeTensors& file : files_) {
    for (const NamedTensor& t : file.tensors()) {
      if (t.name == name) return file.path();
    }
  }
  return {};
}

}  // namespace atom::engine
