#include "atom/engine/weight_upload.hpp"

#include <algorithm>
#include <cstdint>
#include <sys/mman.h>
#include <unistd.h>

#include "atom/core/error.hpp"
#include "atom/engine/loader.hpp"

namespace atom::engine {

namespace {

constexpr std::size_t line = 256;  // every parameter begins on one

/// Pages that lie whole in [data, data + bytes): they are read again from a file, or never.
void give_back(void* data, std::size_t bytes) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE)), at = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t first = (at + page - 1) / page * page, last = (at + bytes) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace

WeightUpload::WeightUpload(const model::ModelSpec& whole, model::Rank rank, const model::ParamTable& table)
    : table_(table), shadow_(table), parcels_(table.size()) {
  for (std::size_t i = 0; i < table_.size(); ++i) {
    ATOM_ASSERT(!table_[i].scale, "no device has a scheme with scales");
    parcels_[i].owner = this;
    parcels_[i].ref = &table_[i];
    shadow_[i].param = &parcels_[i];
    shadow_[i].bind = [](void* parcel, void*, int rows, int cols) {
      static_cast<Parcel*>(parcel)->rows = rows;
      static_cast<Parcel*>(parcel)->cols = cols;
    };
  }
  bind_shapes(whole, rank, shadow_);
  const auto plain = [](const model::ParamRef& r) { return !r.layout && !r.encode; };
  const auto embedding = std::ranges::find(table_, "model.embed_tokens.weight", &model::ParamRef::name);
  for (Parcel& p : parcels_) {
    const model::ParamRef& ref = *p.ref;
    if (ref.when != model::Bias::never && !model::has(whole, ref.when)) continue;
    if (whole.tied && ref.name == "lm_head.weight" && embedding != table_.end() && plain(ref) && plain(*embedding) &&
        ref.dtype == embedding->dtype) {
      p.at = parcels_[static_cast<std::size_t>(embedding - table_.begin())].at;
      p.tied = true;
      continue;
    }
    p.at = bytes_;
    p.bytes = ref.layout ? ref.layout->bytes(p.rows, p.cols)
                         : static_cast<std::size_t>(p.rows) * static_cast<std::size_t>(p.cols) *
                               static_cast<std::size_t>(size_of(ref.dtype));
    bytes_ += (p.bytes + line - 1) / line * line;
  }
  for (model::ParamRef& ref : shadow_) ref.bind = &arrive;
}

void WeightUpload::load(const WeightSource& source, ThreadPool& pool, std::byte* memory, Sink sink) {
  memory_ = memory;
  sink_ = sink;
  static_cast<void>(source.load(shadow_, pool));
}

void WeightUpload::arrive(void* parcel, void* data, int rows, int cols) {
  const Parcel& p = *static_cast<Parcel*>(parcel);
  std::byte* to = p.owner->memory_ + p.at;
  if (!p.tied) p.owner->sink_.put(p.owner->sink_.self, to, static_cast<const std::byte*>(data), p.bytes);
  give_back(data, p.bytes);
  p.ref->bind(p.ref->param, to, rows, cols);
}

}  // namespace atom::engine
