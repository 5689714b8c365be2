#include "atom/engine/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <sys/mman.h>

#include "atom/core/error.hpp"
#include "atom/engine/json.hpp"
#include "atom/engine/output_file.hpp"

#include "file.hpp"

namespace atom::engine {
namespace {

static_assert(std::endian::native == std::endian::little, "files hold little-endian numbers; byte swapping is not written");

constexpr std::size_t length_bytes = 8, header_cap = std::size_t{100} << 20;

/// Bits of one element by the file's spelling, DType or not; 0 when unknown.
std::uint64_t bits_of(DType dtype, std::string_view name) {
  if (dtype != DType::other) return std::uint64_t{8} * static_cast<unsigned>(size_of(dtype));
  constexpr std::pair<std::string_view, unsigned> others[] = {{"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F4", 4},
                                                              {"I16", 16},    {"U16", 16},    {"U32", 32},    {"U64", 64}};
  for (const auto& [known, bits] : others) {
    if (known == name) return bits;
  }
  return 0;
}

DType dtype_named(std::string_view name) {
  for (int t = 0; t < static_cast<int>(DType::other); ++t) {
    if (name_of(static_cast<DType>(t)) == name) return static_cast<DType>(t);
  }
  return DType::other;
}

struct Ranged {
  NamedTensor tensor;
  std::uint64_t begin = 0, end = 0;  // bytes after the header
};

/// A header under examination: the names of the file and of the tensor at hand, for messages.
struct HeaderReader {
  const std::string& path;
  std::uint64_t data_bytes;
  std::string name;

  [[noreturn]] void fail(const std::string& problem) const { throw Error(path + ": " + in_quotes(name) + ": " + problem); }

  void read_shape(const Json& shape, NamedTensor& t) const {
    const auto dims = shape.as_array(in_quotes(name) + ": shape");
    if (dims.size() > NamedTensor::max_rank) fail("shape has " + std::to_string(dims.size()) + " dimensions, more than 8");
    for (const Json& dim : dims) {
      const std::int64_t n = dim.as_int(in_quotes(name) + ": shape");
      if (n < 0) fail("shape has the negative dimension " + std::to_string(n));
      t.dims[static_cast<std::size_t>(t.rank++)] = n;
    }
  }

  /// The size that type and shape ask for, compared with the size of the range.
  void check_size(const NamedTensor& t) const {
    constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
    std::uint64_t elements = 1;
    for (const std::int64_t n : t.shape()) {
      if (n != 0 && elements > most / static_cast<std::uint64_t>(n)) fail("the product of its shape overflows");
      elements *= static_cast<std::uint64_t>(n);
    }
    const std::uint64_t bits = bits_of(t.dtype, t.dtype_name);
    if (bits == 0) {  // a type we never heard of: at most 16 bytes an element, something if there are elements
      if ((t.bytes == 0) == (elements == 0) && t.bytes / 16 <= elements) return;
      fail(std::to_string(t.bytes) + " bytes cannot be " + std::to_string(elements) + " elements of type " +
           in_quotes(t.dtype_name));
    }
    if (elements > most / bits) fail("its shape asks for more bytes than 64 bits can count");
    const std::uint64_t wanted = (elements * bits + 7) / 8;
    if (wanted != t.bytes) {
      fail("data_offsets span " + std::to_string(t.bytes) + " bytes, type " + t.dtype_name + " and shape ask for " +
           std::to_string(wanted));
    }
  }

  [[nodiscard]] Ranged read_entry(const Json& entry) const {
    Ranged r;
    NamedTensor& t = r.tensor;
    t.name = name;
    const auto field = [&](const char* key) -> const Json& {
      if (!entry.is_object()) fail("expected an object with dtype, shape and data_offsets");
      const Json* found = entry.find(key);
      if (!found) fail(std::string(key) + ": missing");
      return *found;
    };
    t.dtype_name = field("dtype").as_string(in_quotes(name) + ": dtype");
    t.dtype = dtype_named(t.dtype_name);
    read_shape(field("shape"), t);
    const std::string what = in_quotes(name) + ": data_offsets";
    const auto offsets = field("data_offsets").as_array(what);
    if (offsets.size() != 2) fail("data_offsets: expected two numbers, found " + std::to_string(offsets.size()));
    const std::int64_t begin = offsets[0].as_int(what), end = offsets[1].as_int(what);
    const std::string range = "data_offsets [" + std::to_string(begin) + ", " + std::to_string(end) + "]";
    if (begin < 0 || end < begin) fail(range + " are negative or reversed");
    if (static_cast<std::uint64_t>(end) > data_bytes) {
      fail(range + " end beyond the file's " + std::to_string(data_bytes) + " bytes of data");
    }
    r.begin = static_cast<std::uint64_t>(begin);
    r.end = static_cast<std::uint64_t>(end);
    t.bytes = r.end - r.begin;
    check_size(t);
    return r;
  }

  /// Ranges must tile the data: no byte twice, none that nobody owns.
  void check_tiling(const std::vector<Ranged>& sorted) {
    std::uint64_t at = 0;
    const std::string* before = nullptr;
    for (const Ranged& r : sorted) {
      name = r.tensor.name;
      if (r.begin < at) fail("its bytes overlap those of " + in_quotes(*before));
      if (r.begin > at) fail("bytes " + std::to_string(at) + " to " + std::to_string(r.begin) + " before it belong to no tensor");
      at = r.end;
      before = &r.tensor.name;
    }
    if (at != data_bytes) throw Error(path + ": the last " + std::to_string(data_bytes - at) + " bytes belong to no tensor");
  }
};

std::vector<Ranged> read_header(const std::string& path, std::string_view text, std::uint64_t data_bytes) {
  JsonLimits limits;
  limits.bytes = header_cap;
  limits.depth = 8;
  const Json header = Json::parse(text, path + ": header at byte 8", limits);
  HeaderReader reader{path, data_bytes, {}};
  std::vector<Ranged> ranges;
  for (const auto& [name, entry] : header.as_object({})) {
    if (name == "__metadata__") {
      for (const auto& [key, value] : entry.as_object(name)) static_cast<void>(value.as_string(name + ": " + in_quotes(key)));
      continue;
    }
    reader.name = name;
    ranges.push_back(reader.read_entry(entry));
  }
  std::stable_sort(ranges.begin(), ranges.end(),
                   [](const Ranged& a, const Ranged& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  reader.check_tiling(ranges);
  return ranges;
}

}  // namespace

SafeTensors::SafeTensors(const std::string& path) : SafeTensors() {  // delegates, so that a throw below runs the destructor
  path_ = path;
  const File file(path);
  if (file.size() < length_bytes) {
    throw Error(path + ": " + std::to_string(file.size()) + " bytes are too few for a safetensors file; truncated?");
  }
  void* const base = ::mmap(nullptr, file.size(), PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (base == MAP_FAILED) throw Error(path + ": cannot map: " + system_message());
  mapped_ = {static_cast<const std::byte*>(base), file.size()};

  std::uint64_t length = 0;
  std::memcpy(&length, base, length_bytes);
  const std::string header = path + ": header length " + std::to_string(length) + " at byte 0 ";
  if (length == 0) throw Error(header + "is no header");
  if (length > header_cap) {
    throw Error(header + "is above the " + std::to_string(header_cap) + " accepted; not a safetensors file?");
  }
  if (length > file.size() - length_bytes) {
    throw Error(header + "runs past the end of the file (" + std::to_string(file.size()) + " bytes); truncated?");
  }
  const auto data = mapped_.subspan(length_bytes + length);
  auto ranges = read_header(path, {static_cast<const char*>(base) + length_bytes, length}, data.size());
  tensors_.reserve(ranges.size());
  for (Ranged& r : ranges) {
    r.tensor.data = data.data() + r.begin;
    tensors_.push_back(std::move(r.tensor));
  }
}

SafeTensors::~SafeTensors() {
  if (!mapped_.empty()) ::munmap(const_cast<std::byte*>(mapped_.data()), mapped_.size());
}

SafeTensors& SafeTensors::operator=(SafeTensors&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(mapped_, other.mapped_);
  std::swap(tensors_, other.tensors_);
  return *this;
}

void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& t : tensors) order.push_back(&t);
  std::stable_sort(order.begin(), order.end(),
                   [](const NamedTensor* a, const NamedTensor* b) { return size_of(a->dtype) > size_of(b->dtype); });
  std::string header = "{";
  std::uint64_t at = 0;
  for (const NamedTensor* t : order) {
    ATOM_ASSERT(t->rank >= 0 && t->rank <= NamedTensor::max_rank, "rank of a tensor to be written");
    if (header.size() > 1) header += ',';
    append_json_string(header, t->name);
    header += ":{\"dtype\":";
    append_json_string(header, t->dtype == DType::other ? std::string_view(t->dtype_name) : name_of(t->dtype));
    header += ",\"shape\":[";
    for (int d = 0; d < t->rank; ++d) header += (d ? "," : "") + std::to_string(t->shape()[static_cast<std::size_t>(d)]);
    header += "],\"data_offsets\":[" + std::to_string(at) + ',' + std::to_string(at + t->bytes) + "]}";
    at += t->bytes;
  }
  header += '}';
  header.resize((header.size() + length_bytes + 63) / 64 * 64 - length_bytes, ' ');  // data begins at a multiple of 64
  static_cast<void>(read_header(path, header, at));                                  // refuses here what a reader would refuse

  OutputFile file(path);
  const std::uint64_t length = header.size();
  file.write(&length, length_bytes);
  file.write(header.data(), header.size());
  for (const NamedTensor* t : order) file.write(t->data, t->bytes);
  file.commit();
}

}  // namespace atom::engine
