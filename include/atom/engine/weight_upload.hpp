#pragma once
// WeightUpload: the weights of one rank on their way from the loader to a device.
// One idea: the loader binds each parameter as soon as it is filled, in its kernel's layout. Here that moment is when the parameter
// goes to the device, and its pages on the host are given back, so that the host never holds the model twice.
// To extend: a scheme with scales needs a place for them beside its weight.
#include <cstddef>
#include <vector>

#include "atom/engine/device.hpp"

namespace atom::engine {

class WeightUpload {
 public:
  /// `table`: of one rank of a model of that spec; nothing is bound yet.
  WeightUpload(const model::ModelSpec& whole, model::Rank rank, const model::ParamTable& table);

  /// Of the device's memory. A head tied to the embedding is there once.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  /// Binds every parameter of `table` to its place in `memory`; put(to, from, bytes) copies from the host, and may return before
  /// it has, unless it reads `from` later.
  template <class Put> void run(const WeightSource& source, ThreadPool& pool, std::byte* memory, Put put) {
    load(source, pool, memory,
         {[](void* p, std::byte* to, const std::byte* from, std::size_t n) { (*static_cast<Put*>(p))(to, from, n); }, &put});
  }

 private:
  struct Sink {
    void (*put)(void*, std::byte* to, const std::byte* from, std::size_t bytes);
    void* self;
  };
  struct Parcel {  // stands in for a parameter
    WeightUpload* owner = nullptr;
    const model::ParamRef* ref = nullptr;
    int rows = 0, cols = 0;
    std::size_t at = 0, bytes = 0;
    bool tied = false;  // to what lies there already
  };
  void load(const WeightSource& source, ThreadPool& pool, std::byte* memory, Sink sink);
  static void arrive(void* parcel, void* data, int rows, int cols);

  model::ParamTable table_, shadow_;
  std::vector<Parcel> parcels_;
  std::size_t bytes_ = 0;
  std::byte* memory_ = nullptr;  // while loading
  Sink sink_{};
};

}  // namespace atom::engine
