#include "atom/engine/loader.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <unordered_map>
#include <unordered_set>

#include "atom/core/error.hpp"
#include "atom/model/packed.hpp"

#include "problems.hpp"
#include "tensor_rows.hpp"

namespace atom::engine {

using model::Axis;
using model::ParamRef;
using model::Share;

namespace {

constexpr std::string_view embedding_name = "model.embed_tokens.weight", head_name = "lm_head.weight";

// Rows of the checkpoint as a part of one parameter.
struct Part {
  TensorRows from;
  Share rows, cols;   // what of them this rank takes
  int first_row = 0;  // where it goes
};

struct Item {
  ParamRef* ref = nullptr;
  Part parts[4];
  int part_count = 0;
  int rows = 0, cols = 0;  // this rank's shape
  bool in_file = false;
  bool elsewhere = false;            // another rank's expert: accounted for, not read
  std::size_t period = 0;            // of a dummy's elements, which repeat; 0: every element is stored
  std::size_t at = 0, scale_at = 0;  // offsets into the block
};

int axis_count(const model::Width& w) {
  return static_cast<int>(std::count_if(std::begin(w.parts), std::end(w.parts), [](Axis a) { return a != Axis::none; }));
}

// The rank's share of part i of a parameter's rows, and of its columns.
Share row_share(const model::ModelSpec& whole, model::Rank rank, const ParamRef& p, int i) {
  const Axis a = p.rows.parts[i];
  return p.cut == TPDim::col ? model::share(whole, a, rank) : Share{0, model::size(whole, a)};
}
Share col_share(const model::ModelSpec& whole, model::Rank rank, const ParamRef& p) {
  const Axis a = p.cols.parts[0];
  return p.cut == TPDim::row ? model::share(whole, a, rank) : Share{0, model::size(whole, a)};
}

// "a.b.qkv_proj.weight", "q_proj" -> "a.b.q_proj.weight"
std::string part_name(const std::string& name, std::string_view part) {
  const auto leaf = name.rfind('.'), module = name.rfind('.', leaf - 1);
  return name.substr(0, module + 1) + std::string(part) + name.substr(leaf);
}
const model::Packed* packed(const std::string& name) {
  const auto leaf = name.rfind('.'), module = name.rfind('.', leaf - 1);
  const std::string_view ours = std::string_view(name).substr(module + 1, leaf - module - 1);
  const auto* p = std::ranges::find(model::packed_modules, ours, &model::Packed::ours);
  return p == std::end(model::packed_modules) ? nullptr : p;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string s = "[";
  for (auto d : shape) s += (s.size() > 1 ? ", " : "") + std::to_string(d);
  return s + "]";
}

bool is_float(DType t) { return t == DType::f32 || t == DType::f16 || t == DType::bf16; }
bool converts(DType from, const ParamRef& to) {
  return from == to.dtype || (is_float(from) && (to.encode || to.dtype == DType::f32));
}

// The parts of a parameter that lie in one tensor with part i of it.
struct Sharing {
  std::int64_t sizes[4] = {}, rows = 0;
  std::size_t count = 0, mine = 0;
  [[nodiscard]] std::span<const std::int64_t> parts() const { return {sizes, count}; }
};
Sharing sharing(const model::ModelSpec& whole, const ParamRef& ref, const model::Packed* pack, int i) {
  Sharing s;
  for (int j = 0; j < std::max(1, axis_count(ref.rows)); ++j) {
    if (j != i && pack && pack->parts[j] != pack->parts[i]) continue;
    if (j == i) s.mine = s.count;
    s.rows += s.sizes[s.count++] = model::size(whole, ref.rows.parts[j]);
  }
  return s;
}

// One item for each parameter that the model has; find(parameter, part, name, shape) is where in a checkpoint it comes from.
template <class Find>
std::vector<Item> itemize(const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table, Find&& find) {
  std::vector<Item> items;
  for (auto& ref : table) {
    if (ref.when != model::Bias::never && !model::has(whole, ref.when)) continue;
    Item item;
    item.ref = &ref;
    const Share experts = model::expert_share(whole.moe.experts, rank);
    item.elsewhere = ref.expert >= 0 && (ref.expert < experts.begin || ref.expert >= experts.begin + experts.count);
    const auto* pack = packed(ref.name);
    const Share cols = col_share(whole, rank, ref);
    item.cols = cols.count;
    item.part_count = std::max(1, axis_count(ref.rows));
    for (int i = 0; i < item.part_count; ++i) {
      const bool tied = whole.tied && ref.name == head_name;
      const std::string name = tied ? std::string(embedding_name) : pack ? part_name(ref.name, pack->parts[i]) : ref.name;
      const Sharing with = sharing(whole, ref, pack, i);
      const std::int64_t want[2] = {with.rows, model::size(whole, ref.cols.parts[0])};
      const std::span<const std::int64_t> shape(want, ref.cols.parts[0] == Axis::none ? 1 : 2);
      const Share rows = row_share(whole, rank, ref, i);
      item.parts[i] = {find(ref, i, name, shape), rows, cols, item.rows};
      item.parts[i].from.take_turns(with.parts(), with.mine, model::size(whole, ref.rows.turns));
      item.rows += rows.count;
    }
    items.push_back(item);
  }
  return items;
}

// "model.layers.46.mlp.gate.weight", "mtp.fc.weight": of a layer behind the last, which drafts tokens.
bool drafts(const model::ModelSpec& whole, std::string_view name) {
  constexpr std::string_view layers = "model.layers.";
  if (name.starts_with("mtp.")) return true;
  if (!name.starts_with(layers)) return false;
  name.remove_prefix(layers.size());
  int layer = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  return error == std::errc{} && end != name.data() + name.size() && *end == '.' && layer >= whole.layers &&
         layer < whole.layers + whole.mtp_layers;
}

// Layers that draft share the model's embedding and head; files repeat both.
bool repeats(std::string_view name) { return name.ends_with(".embed_tokens.weight") || name.ends_with(".shared_head.head.weight"); }

// Resolves every parameter to checkpoint tensors; lists everything that does not fit.
std::vector<Item> account(const Checkpoint& checkpoint, const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table) {
  const bool drafting = std::ranges::any_of(table, [&](const ParamRef& ref) { return drafts(whole, ref.name); });
  Problems problems("checkpoint");
  std::unordered_set<std::string_view> used;
  const auto add = [&](const NamedTensor& t, const std::string& problem) {
    problems.add(t.name + " (" + std::string(checkpoint.file_of(t.name)) + "): " + problem);
  };
  const auto expect_type = [&](const NamedTensor& t, DType type, const ParamRef& ref) {
    if (!converts(type, ref))
      add(t, "type " + (type == DType::other ? t.dtype_name : std::string(name_of(type))) + ", this build reads " +
                 std::string(name_of(ref.dtype)) + "; convert the checkpoint to one type");
  };
  const auto transposed = experts_transposed(checkpoint, whole, table);

  // A part of a tensor of all experts, or of their MXFP4 blocks, whose problems are listed once, not for every expert.
  const auto of_all_experts = [&](const ParamRef& ref, int part, std::span<const std::int64_t> shape) -> std::optional<TensorRows> {
    const std::string name = all_experts(ref);
    const NamedTensor *t = checkpoint.find(name), *scales = nullptr;
    if (!t && (t = checkpoint.find(name + "_blocks"))) scales = checkpoint.find(name + "_scales");
    if (!t || (t->name != name && !scales)) return {};
    const bool first = used.insert(t->name).second;
    if (scales) used.insert(scales->name);
    const std::int64_t parts = std::max(1, axis_count(ref.rows)), experts = whole.moe.experts, rows = parts * shape[0];
    const std::int64_t cols = shape.size() == 2 ? shape[1] : 1;
    TensorRows from(*t);
    from.cols = static_cast<int>(cols);
    const auto refuse = [&](std::initializer_list<std::int64_t> want, const std::string& rest = {}) {
      if (first)
        add(*t, "shape " + shape_text(t->shape()) + ", config.json asks for " + shape_text({want.begin(), want.size()}) + rest);
      return from;
    };
    const auto element = [&](std::int64_t each_row, std::int64_t each_column) {
      from.row = static_cast<std::size_t>(each_row);
      from.col = static_cast<std::size_t>(each_column);
      from.first = static_cast<std::size_t>(ref.expert * rows * (scales ? 1 : cols));
      const std::vector<std::int64_t> sizes(static_cast<std::size_t>(parts), shape[0]);
      from.take_turns(sizes, static_cast<std::size_t>(part), model::size(whole, ref.rows.turns));
      return from;
    };
    if (scales) {
      from.scales = scales;
      from.dtype = DType::bf16;
      if (t->dtype != DType::u8 ||
          !std::ranges::equal(t->shape(), std::initializer_list<std::int64_t>{experts, rows, cols / 32, 16}) || cols % 32 != 0)
        return refuse({experts, rows, cols / 32, 16}, " of U8");
      if (scales->dtype != DType::u8 || !std::ranges::equal(scales->shape(), t->shape().first(3))) {
        if (first) add(*scales, "these are not one byte for each block of " + t->name);
        return from;
      }
      if (first) expect_type(*t, DType::bf16, ref);
      return element(1, 1);
    }
    if (shape.size() == 1) {
      if (!std::ranges::equal(t->shape(), std::initializer_list<std::int64_t>{experts, rows})) return refuse({experts, rows});
      if (first) expect_type(*t, t->dtype, ref);
      return element(1, 1);
    }
    const ExpertShape want{experts, rows, cols};
    if (!(transposed.value_or(false) ? want.transposed(*t) : want.upright(*t)))
      return refuse({experts, rows, cols},
                    ", or " + shape_text(std::initializer_list<std::int64_t>{experts, cols, rows}) + " throughout");
    if (first) expect_type(*t, t->dtype, ref);
    return *transposed ? element(1, rows) : element(cols, 1);
  };

  const auto find = [&](const ParamRef& ref, int part, const std::string& name, std::span<const std::int64_t> shape) {
    const NamedTensor* t = checkpoint.find(name);
    if (!t) {
      if (ref.expert >= 0)
        if (const auto from = of_all_experts(ref, part, shape)) return *from;
      problems.add(name + ": missing" +
                   (name == head_name ? "; the config says tie_word_embeddings=false: set it to true if the head is the embedding"
                    : drafts(whole, name) ? "; config.json announces this layer, which drafts: use --method ngram or none"
                                          : "; the checkpoint is incomplete or of another architecture"));
      return TensorRows{};
    }
    used.insert(t->name);
    if (!has_shape(*t, shape))
      add(*t, "shape " + shape_text(t->shape()) + ", config.json asks for " + shape_text(shape));
    else
      expect_type(*t, t->dtype, ref);
    return TensorRows(*t);
  };
  std::vector<Item> items = itemize(whole, rank, table, find);
  for (const auto* t : checkpoint.tensors()) {
    const bool known_extra = t->name.ends_with(".rotary_emb.inv_freq") || (whole.tied && t->name == head_name) ||
                             (drafts(whole, t->name) && (!drafting || repeats(t->name)));
    if (!known_extra && !used.contains(t->name))
      problems.add(t->name + " (" + std::string(checkpoint.file_of(t->name)) +
                   "): unexpected; nothing in this architecture reads it");
  }
  problems.throw_if_any();
  return items;
}

// The tensors of a checkpoint that does not exist: each begins somewhere in the same noise, and its rows repeat.
struct Invented {
  static constexpr std::size_t period = (std::size_t{1} << 20) + 7, starts = 4096;

  Invented(DType stored, const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table) : dtype(stored) {
    items = itemize(whole, rank, table, [&](const ParamRef&, int, const std::string& name, std::span<const std::int64_t> shape) {
      NamedTensor& t = tensors[name];
      t.dtype = dtype;
      t.rank = static_cast<int>(shape.size());
      std::ranges::copy(shape, t.dims.begin());
      widest = std::max(widest, t.rank == 2 ? static_cast<std::size_t>(shape[1]) : 1);
      return TensorRows(t);
    });
    for (Item& item : items) item.period = period;
  }
  void fill(Dummy values) {
    const auto size = static_cast<std::size_t>(size_of(dtype));
    noise.resize((period + starts + widest) * size);
    if (values == Dummy::random) {
      std::minstd_rand generator(1);
      std::normal_distribution<float> normal(0, 0.02f);
      const auto each = [&]<class T>(T) {
        for (std::size_t at = 0; at < noise.size(); at += sizeof(T)) {
          const T x(normal(generator));
          std::memcpy(noise.data() + at, &x, sizeof x);
        }
      };
      if (dtype == DType::bf16)
        each(bf16{});
      else if (dtype == DType::f16)
        each(fp16{});
      else
        each(float{});
    }
    std::size_t start = 0;
    for (auto& [name, t] : tensors) t.data = noise.data() + (start += 61) % starts * size;
  }

  DType dtype;
  std::unordered_map<std::string, NamedTensor> tensors;  // by name: a tied one is there once
  std::vector<Item> items;
  std::vector<std::byte> noise;
  std::size_t widest = 1;
};

template <class T> T load_as(const std::byte* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
void to_floats(const std::byte* from, DType type, int n, float* to) {
  const auto each = [&]<class T>(T) {
    for (int i = 0; i < n; ++i) to[i] = static_cast<float>(load_as<T>(from + static_cast<std::size_t>(i) * sizeof(T)));
  };
  if (type == DType::bf16) return each(bf16{});
  if (type == DType::f16) return each(fp16{});
  each(float{});
}

constexpr int block_rows = 64;  // rows converted at a time by one thread; a multiple of every layout's row_block

std::size_t scratch_bytes(const Item& item) {
  const TensorRows& from = item.parts[0].from;
  const auto widest = static_cast<std::size_t>(from.cols);
  return (widest + 64) * 4 + block_rows * static_cast<std::size_t>(item.cols) * static_cast<std::size_t>(size_of(item.ref->dtype)) +
         64 + (from.contiguous() ? 0 : block_rows * widest * static_cast<std::size_t>(size_of(from.dtype)) + 64);
}

// Copies rows [begin, end) of the target that come from `part`, converting and laying out; row(r) is where row r lies.
template <class Row>
void copy_rows(const Item& item, const Part& part, std::byte* base, int begin, int end, std::byte* scratch, Row row) {
  const ParamRef& ref = *item.ref;
  const DType type = part.from.dtype;
  const auto from_size = static_cast<std::size_t>(size_of(type)), to_size = static_cast<std::size_t>(size_of(ref.dtype));
  const int full = part.from.cols;
  auto* floats = reinterpret_cast<float*>(scratch);                                 // (full)
  std::byte* rows = scratch + (static_cast<std::size_t>(full) + 64) / 16 * 16 * 4;  // (end - begin, cols)
  std::byte* target = base + item.at;
  const std::size_t row_bytes = static_cast<std::size_t>(item.cols) * to_size;
  for (int r = begin; r < end; ++r) {
    const std::byte* from = row(r);
    std::byte* to =
        ref.layout ? rows + static_cast<std::size_t>(r - begin) * row_bytes : target + static_cast<std::size_t>(r) * row_bytes;
    const std::byte* mine = from + static_cast<std::size_t>(part.cols.begin) * from_size;
    if (ref.encode) {
      to_floats(from, type, full, floats);
      ref.encode(floats, full, part.cols.begin, item.cols, to, reinterpret_cast<float*>(base + item.scale_at) + r);
    } else if (type == ref.dtype && !ref.map) {
      std::memcpy(to, mine, row_bytes);
    } else {
      to_floats(mine, type, item.cols, floats);
      if (ref.map) std::transform(floats, floats + item.cols, floats, ref.map);
      std::memcpy(to, floats, row_bytes);
    }
  }
  if (ref.layout) ref.layout->put(target, item.rows, item.cols, {rows, item.cols, begin, end - begin});
}

// How many of n elements are NaN or infinite: those whose exponent is all ones. Nearly always none, which is found out fast.
template <class Bits> std::size_t count_exponents(const std::byte* p, std::size_t n, Bits exponent) {
  const auto is = [&](std::size_t i) { return (load_as<Bits>(p + i * sizeof(Bits)) & exponent) == exponent; };
  Bits any = 0;
  for (std::size_t i = 0; i < n; ++i) any = static_cast<Bits>(any | (is(i) ? ~Bits{0} : Bits{0}));
  std::size_t count = 0;
  for (std::size_t i = 0; any && i < n; ++i) count += is(i);
  return count;
}
std::size_t not_finite(const std::byte* p, DType type, std::size_t n) {
  if (type == DType::bf16) return count_exponents<std::uint16_t>(p, n, 0x7f80);
  if (type == DType::f16) return count_exponents<std::uint16_t>(p, n, 0x7c00);
  if (type == DType::f32) return count_exponents<std::uint32_t>(p, n, 0x7f800000);
  return 0;
}

// Reads this rank's rows of a part once: copies them unless they stay in the file, and, if asked, counts values that are not
// finite, here, where the rows come into the cache anyway.
std::size_t fill(const Item& item, const Part& part, bool check, std::byte* base, ThreadPool& pool) {
  std::atomic<std::size_t> broken{0};
  const TensorRows& from = part.from;
  const auto full = static_cast<std::size_t>(from.cols), element = static_cast<std::size_t>(size_of(from.dtype));
  const int first = part.first_row / block_rows, last = (part.first_row + part.rows.count + block_rows - 1) / block_rows;
  pool.parallel(last - first, [&](int chunk, int thread) {
    const int begin = std::max((first + chunk) * block_rows, part.first_row);
    const int end = std::min((first + chunk + 1) * block_rows, part.first_row + part.rows.count);
    if (begin >= end) return;
    auto* scratch = static_cast<std::byte*>(pool.scratch(thread));
    const auto source = [&](int r) { return static_cast<std::size_t>(part.rows.begin + r - part.first_row); };
    std::byte* gathered = nullptr;
    if (!from.contiguous()) {
      gathered = scratch + scratch_bytes(item) / 64 * 64 - block_rows * full * element / 64 * 64 - 64;
      from.read(source(begin), static_cast<std::size_t>(end - begin), gathered);
    }
    const auto row = [&](int r) -> const std::byte* {
      if (gathered) return gathered + static_cast<std::size_t>(r - begin) * full * element;
      return item.period ? from.tensor->data + source(r) * full % item.period * element : from.at(source(r));
    };
    if (check) {
      std::size_t bad = 0;
      for (int r = begin; r < end; ++r) bad += not_finite(row(r), from.dtype, full);
      if (bad > 0) broken.fetch_add(bad, std::memory_order_relaxed);
    }
    if (!item.in_file) copy_rows(item, part, base, begin, end, scratch, row);
  });
  return broken.load();
}

struct Placed {
  std::vector<Item> items;
  WeightBytes bytes;
};

// Decides which parameters stay in the file and where the others go. Those of other ranks end here.
Placed place(std::vector<Item> items) {
  std::erase_if(items, [](const Item& item) { return item.elsewhere; });
  Placed p{std::move(items), {}};
  const auto reserve = [&](std::size_t bytes) {
    const std::size_t at = p.bytes.copied;
    p.bytes.copied += (bytes + 63) / 64 * 64;
    return at;
  };
  for (auto& item : p.items) {
    const ParamRef& ref = *item.ref;
    const TensorRows& from = item.parts[0].from;
    const auto element = static_cast<std::size_t>(size_of(ref.dtype));
    const std::size_t plain = static_cast<std::size_t>(item.rows) * static_cast<std::size_t>(item.cols) * element;
    item.in_file = !item.period && !ref.layout && !ref.encode && !ref.map && item.part_count == 1 && from.dtype == ref.dtype &&
                   from.dense() && item.cols == from.cols && reinterpret_cast<std::uintptr_t>(from.tensor->data) % element == 0;
    if (item.in_file) {
      p.bytes.in_file += plain;
      continue;
    }
    item.at = reserve(ref.layout ? ref.layout->bytes(item.rows, item.cols) : plain);
    if (ref.scale) item.scale_at = reserve(static_cast<std::size_t>(item.rows) * sizeof(float));
    p.bytes.scratch = std::max(p.bytes.scratch, scratch_bytes(item));
  }
  return p;
}

// A value that is not finite spoils what it touches: the answers of some prompts, or, through its scale, a whole row.
void report(const Item& item, const Part& part, std::size_t broken, const Checkpoint& checkpoint, Progress* progress) {
  const std::string& name = part.from.tensor->name;
  const std::string what = std::string(checkpoint.file_of(name)) + ": " + name +
                           (item.ref->expert < 0 ? "" : " (expert " + std::to_string(item.ref->expert) + ")") + ": " +
                           std::to_string(broken) + (broken > 1 ? " values are" : " value is") + " NaN or infinite; ";
  if (item.ref->scale) throw Error(what + "no scale can hold that: repair the checkpoint, or load it without quantisation");
  if (progress) progress->warn(what + "answers may be nonsense: download the file again, or use another checkpoint");
}

// Binds every parameter, filling those that do not stay in the file. Without a checkpoint there is nothing to report; `empty`:
// nothing to fill either.
Block load(const Placed& placed, const Checkpoint* checkpoint, bool empty, ThreadPool& pool, Progress* progress) {
  Block block(placed.bytes.copied, "weights");
  pool.reserve(placed.bytes.scratch);
  std::unordered_set<const std::byte*> checked;
  for (std::size_t i = 0; i < placed.items.size(); ++i) {
    const Item& item = placed.items[i];
    const ParamRef& ref = *item.ref;
    for (int p = 0; p < item.part_count && !empty; ++p) {
      const Part& part = item.parts[p];
      const bool check = checkpoint && (item.ref->scale || checked.insert(part.from.at(0)).second);  // a tied tensor once
      if (const std::size_t broken = fill(item, part, check, block.data(), pool); broken > 0)
        report(item, part, broken, *checkpoint, progress);
    }
    if (item.in_file) {
      const std::byte* data = item.parts[0].from.at(static_cast<std::size_t>(item.parts[0].rows.begin));
      ref.bind(ref.param, const_cast<std::byte*>(data), item.rows, item.cols);  // no kernel writes a parameter
    } else {
      ref.bind(ref.param, block.data() + item.at, item.rows, item.cols);
      if (ref.scale) *ref.scale = reinterpret_cast<float*>(block.data() + item.scale_at);
    }
    if (progress) progress->update("loading weights", i + 1, placed.items.size());
  }
  return block;
}

}  // namespace

void bind_shapes(const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table) {
  for (auto& ref : table) {
    int rows = 0;
    for (int i = 0; i < std::max(1, axis_count(ref.rows)); ++i) rows += row_share(whole, rank, ref, i).count;
    ref.bind(ref.param, nullptr, rows, col_share(whole, rank, ref).count);
  }
}

WeightBytes plan_weights(const Checkpoint& checkpoint, const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table) {
  return place(account(checkpoint, whole, rank, table)).bytes;
}

Block load_weights(const Checkpoint& checkpoint, const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table,
                   ThreadPool& pool, Progress* progress) {
  const Placed placed = place(account(checkpoint, whole, rank, table));
  const auto tensors = checkpoint.tensors();
  const auto unused = std::ranges::count_if(tensors, [&](const NamedTensor* t) { return drafts(whole, t->name); });
  const bool drafting = std::ranges::any_of(table, [&](const ParamRef& ref) { return drafts(whole, ref.name); });
  if (progress && unused > 0 && !drafting)
    progress->warn(std::string(checkpoint.file_of(tensors.front()->name)) + ": " + std::to_string(unused) +
                   " tensors of layers behind the last (multi-token prediction) are left out; answers are the same without them");
  return load(placed, &checkpoint, false, pool, progress);
}

WeightBytes plan_dummy(DType stored, const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table) {
  return place(Invented(stored, whole, rank, table).items).bytes;
}

Block load_dummy(Dummy values, DType stored, const model::ModelSpec& whole, model::Rank rank, model::ParamTable& table,
                 ThreadPool& pool, Progress* progress) {
  Invented invented(stored, whole, rank, table);
  invented.fill(values);
  return load(place(invented.items), nullptr, values == Dummy::empty, pool, progress);
}

std::size_t count_parameters(const model::ModelSpec& whole, model::ParamTable& table) {
  std::size_t n = 0;
  for (const auto& [name, t] : Invented(DType::bf16, whole, {}, table).tensors)
    n += static_cast<std::size_t>(t.dims[0]) * static_cast<std::size_t>(t.rank == 2 ? t.dims[1] : 1);
  return n;
}

}  // namespace atom::engine
